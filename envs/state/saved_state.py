"""Save and restore environments in the middle of an episode, bit for bit, as plain data.

Our own MuJoCo tasks (``mujoco_vector``) know what they need and save themselves (5 KB for a Humanoid). All others are
saved as what determines their running episodes (``kept``). Where an episode cannot be repeated, another begins;
``trial`` finds out before a run whether that must be expected of an environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gymnasium
    import numpy as np

    from firerl.envs.state.remembering import Kept


def kept(env: gymnasium.Env[Any, Any]) -> Kept:
    """An environment that can be saved: the outermost wrapper of one of Gymnasium's. Its first reset needs a seed."""
    from firerl.envs.state.remembering import Kept

    return Kept(env)


def saves(env: Any) -> bool:
    """Whether ``get_state`` takes it: one of ``kept`` or of ``make``, or a SyncVectorEnv of those of ``kept``."""
    from gymnasium.vector import VectorWrapper

    if isinstance(env, VectorWrapper):
        return False
    return hasattr(env, "save") or all(hasattr(one, "save") for one in getattr(env, "envs", [None]))


def get_state(env: Any) -> dict[str, Any]:
    """The state of one that ``saves``: nested dicts and lists of arrays, numbers and strings."""
    from firerl.envs.state.remembering import Kept

    if isinstance(env, Kept):
        return {"kind": "one", "envs": [env.save()]}
    if hasattr(env, "save"):
        return {"kind": "own", **env.save()}
    state = {"kind": "kept", "envs": [one.save() for one in env.envs]}
    return state if _resets_at_once(env) else {**state, "ended": env._autoreset_envs.copy()}


def set_state(env: Any, state: dict[str, Any]) -> dict[int, np.ndarray]:
    """Restore a state of ``get_state`` in environments that were made with the same arguments, in any process.

    Returns the first observations of those, by number, that cannot go on with their episodes and have begun new ones.
    Raises ValueError where the state is of other environments.
    """
    from firerl.envs.state.remembering import Kept

    kind = "one" if isinstance(env, Kept) else "own" if hasattr(env, "load") else "kept"
    if state["kind"] != kind:
        raise ValueError(f"a state of kind {state['kind']!r} does not fit a {type(env).__name__}")
    if kind == "own":
        env.load(state)
        return {}
    single = [env] if kind == "one" else env.envs
    if len(state["envs"]) != len(single):
        raise ValueError(f"a state of {len(state['envs'])} environments for {len(single)}")
    if "ended" in state:
        env._autoreset_envs = state["ended"].copy()
    loaded = [one.load(saved) for one, saved in zip(single, state["envs"], strict=True)]
    begun = {number: first for number, first in enumerate(loaded) if first is not None}
    if "ended" in state:
        env._autoreset_envs[list(begun)] = False
    return begun


def _resets_at_once(env: Any) -> bool:
    """Whether no step waits for a reset, as in those of ``make``."""
    from gymnasium.vector import AutoresetMode

    return getattr(env, "autoreset_mode", AutoresetMode.SAME_STEP) is AutoresetMode.SAME_STEP

"""Save and restore environments in the middle of an episode, bit for bit, as plain data.

Our own MuJoCo tasks (``mujoco_vector``) know what they need and save themselves (5 KB for a Humanoid). All others are
saved as what determines their running episodes (``kept``). Where an episode cannot be repeated, another begins;
``trial`` finds out before a run whether that must be expected of an environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from gymnasium.vector import VectorEnv


def get_state(vector_env: VectorEnv) -> dict[str, Any]:
    """The state of all environments of ``make``: nested dicts and lists of arrays, numbers and strings."""
    if hasattr(vector_env, "save"):
        return {"kind": "own", **vector_env.save()}
    return {"kind": "kept", "envs": [env.save() for env in _single(vector_env)]}


def set_state(vector_env: VectorEnv, state: dict[str, Any]) -> dict[int, np.ndarray]:
    """Restore a state of ``get_state`` in environments that were made with the same arguments, in any process.

    Returns the first observations of those, by number, that cannot go on with their episodes and have begun new ones.
    Raises ValueError where the state is of other environments.
    """
    if (state["kind"] == "own") != hasattr(vector_env, "load"):
        raise ValueError(f"a state of kind {state['kind']!r} does not fit a {type(vector_env).__name__}")
    if hasattr(vector_env, "load"):
        vector_env.load(state)
        return {}
    single = _single(vector_env)
    if len(state["envs"]) != len(single):
        raise ValueError(f"a state of {len(state['envs'])} environments for {len(single)}")
    loaded = [env.load(saved) for env, saved in zip(single, state["envs"], strict=True)]
    return {number: first for number, first in enumerate(loaded) if first is not None}


def _single(vector_env: Any) -> list[Any]:
    return vector_env.envs

"""Gymnasium environments by name: ``make`` builds N of them as one VectorEnv, ``single`` one.

Episodes end in SAME_STEP mode: the step that ends an episode returns the first observation of the next one and
carries the last observation and info of the old one in ``infos["final_obs"]`` and ``infos["final_info"]``. So
every step is a sample, unlike Gymnasium's default NEXT_STEP, where the step after an end ignores its action.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from firerl.errors import SettingError, unknown

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from firerl.envs.door import Door

LONGEST_EPISODE = 10_000  # steps, where neither the environment nor a person sets a limit

# Families whose names an error lists; any registered environment is accepted.
_LISTED = ("gymnasium.envs.mujoco", "gymnasium.envs.classic_control")


def _base_names() -> list[str]:
    """Short names that an error offers: MuJoCo and classic control."""
    from gymnasium import registry

    return sorted({s.name for s in registry.values() if str(s.entry_point).startswith(_LISTED) and not s.namespace})


def resolve(name: str) -> str:
    """Gymnasium's id for a name: ``Humanoid`` becomes ``Humanoid-v5``; ids and ``module:Id-v0`` pass through.

    ``module:Name`` may also be a class or a function that makes the environment; it is registered here.
    """
    from gymnasium import register, registry

    if not isinstance(name, str) or not name:
        raise SettingError(f"env.name={name!r} is no name of an environment, such as 'Humanoid' or 'CartPole-v1'")
    module, _, env_id = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise SettingError(f"env.name={name!r}: module {module!r} cannot be imported: {error}") from error
    maker = getattr(sys.modules[module], env_id, None) if module else None

    def meant(spec: Any) -> bool:  # not another's of the same name
        return not callable(maker) or spec.entry_point in (maker, name)

    if env_id in registry and meant(registry[env_id]):
        return name
    specs = [s for s in registry.values() if _unversioned(s) == env_id and meant(s)]
    if versions := [s.version for s in specs if s.version is not None]:
        return f"{module}:{env_id}-v{max(versions)}" if module else f"{env_id}-v{max(versions)}"
    if callable(maker):
        register(env_id, entry_point=name)
        return name
    if module:
        raise SettingError(f"env.name={name!r}: module {module!r} registers no environment {env_id!r}")
    raise unknown("environment", name, _base_names())


def base_name(name: str) -> str:
    """The name without module and version: ``Humanoid`` for ``Humanoid-v5`` or ``my_pkg:Humanoid-v0``."""
    bare = name.rpartition(":")[2]
    head, dash, version = bare.rpartition("-v")
    return head if dash and version.isdigit() else bare


def _unversioned(spec: Any) -> str:
    return f"{spec.namespace}/{spec.name}" if spec.namespace else spec.name


def env_seeds(seed: int, num_envs: int) -> list[int | None]:
    """One independent seed for each environment, below 2^32: an environment may hand it on to ``np.random.seed``."""
    return [int(value) for value in np.random.SeedSequence(seed).generate_state(num_envs, np.uint32)]


def make(name: str, num_envs: int, seed: int, /, **kwargs: Any) -> VectorEnv:
    """``num_envs`` copies as one VectorEnv, already seeded and reset: the next ``reset()`` needs no seed.

    MuJoCo's locomotion and pendulum tasks come in our own fast form (``mujoco_vector``), equal to Gymnasium's to the
    last bit. Anything else is Gymnasium's SyncVectorEnv, each environment behind the ``door`` and ``kept``, which gives
    every episode a seed of its own. Infos of steps that end no episode are empty. ``kwargs`` go to the environment (and
    ``max_episode_steps``, as in ``gymnasium.make``). Call ``check`` first where they come from a person: this function
    lets Gymnasium's own errors through.
    """
    env_id = resolve(name)
    with quiet_mujoco():
        vector: Any = _fast_form(env_id, num_envs, kwargs)
        if vector is None:
            from firerl.envs.door_vector import DoorVectorEnv
            from firerl.envs.state.remembering import Kept

            vector = DoorVectorEnv([lambda: Kept(single(name, kwargs))] * num_envs)
    vector.reset(seed=env_seeds(seed, num_envs))
    return vector


def single(name: str, kwargs: Mapping[str, Any], render_mode: str | None = None) -> Door:
    """One environment behind the ``door``; its episodes end after LONGEST_EPISODE steps at the latest, unless it sets
    a limit of its own or ``kwargs`` do. ``render_mode`` takes the place of theirs."""
    import gymnasium

    from firerl.envs.door import Door

    spec = copy.copy(registered(resolve(name)))
    own = {key: value for key, value in kwargs.items() if key != "max_episode_steps"}
    limit = kwargs.get("max_episode_steps") or spec.max_episode_steps or LONGEST_EPISODE
    # not as arguments of make(), where an environment's own might have the name of one of its
    spec.kwargs = {**spec.kwargs, **own, **({"render_mode": render_mode} if render_mode else {})}
    return Door(gymnasium.make(spec, max_episode_steps=limit, disable_env_checker=True), name)


def registered(env_id: str) -> Any:
    """Gymnasium's record of an environment that ``resolve`` has found."""
    from gymnasium import registry

    return registry[env_id.rpartition(":")[2]]


def _fast_form(env_id: str, num_envs: int, kwargs: Mapping[str, Any]) -> VectorEnv | None:
    from firerl.envs.mujoco_tasks import TASKS

    if str(registered(env_id).entry_point) not in TASKS:
        return None
    from firerl.envs.mujoco_vector import fast_form  # imports MuJoCo

    return fast_form(env_id, num_envs, **kwargs)


@contextlib.contextmanager
def quiet_mujoco() -> Iterator[None]:
    """Keep deprecation warnings about Gymnasium's model files off the terminal and out of ./MUJOCO_LOG.TXT."""
    try:
        import mujoco

        before = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(lambda message: None)
    except (ImportError, AttributeError):  # no MuJoCo, or one without the hook
        yield
        return
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)

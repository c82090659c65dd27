"""Gymnasium environments behind one door: ``make`` builds N of them as one VectorEnv, ``check`` looks at one.

Episodes end in SAME_STEP mode: the step that ends an episode returns the first observation of the next one and
carries the last observation and info of the old one in ``infos["final_obs"]`` and ``infos["final_info"]``. So
every step is a sample, unlike Gymnasium's default NEXT_STEP, where the step after an end ignores its action.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from firerl.errors import SettingError, unknown
from firerl.settings import show

if TYPE_CHECKING:
    from gymnasium import Env
    from gymnasium.vector import VectorEnv

# Families whose names an error lists; any registered environment is accepted.
_LISTED = ("gymnasium.envs.mujoco", "gymnasium.envs.classic_control")


@dataclass(frozen=True)
class EnvSpec:
    """What a learner must know of an environment before it builds its networks."""

    name: str  # as given
    id: str  # Gymnasium's id, with its version
    observation_size: int  # numbers in one observation
    discrete: bool  # actions 0 .. action_size-1 instead of a vector
    action_size: int  # number of choices, or length of the action vector
    action_start: int  # first discrete action (Gymnasium's Discrete may start elsewhere than 0)
    low: tuple[float, ...]  # bounds of a continuous action, in the environment's units; may be infinite
    high: tuple[float, ...]
    max_episode_steps: int | None  # steps after which an episode is truncated; None: never
    observation_dtype: str = "float64"  # numpy's name


def _base_names() -> list[str]:
    """Short names that an error offers: MuJoCo and classic control."""
    from gymnasium import registry

    return sorted({s.name for s in registry.values() if str(s.entry_point).startswith(_LISTED) and not s.namespace})


def resolve(name: str) -> str:
    """Gymnasium's id for a name: ``Humanoid`` becomes ``Humanoid-v5``; ids and ``module:Id-v0`` pass through."""
    from gymnasium import registry

    if not isinstance(name, str) or not name:
        raise SettingError(f"env.name={name!r} is no name of an environment, such as 'Humanoid' or 'CartPole-v1'")
    module, _, env_id = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise SettingError(f"env.name={name!r}: module {module!r} cannot be imported: {error}") from error
    if env_id in registry:
        return name
    versions = [s.version for s in registry.values() if s.version is not None and _unversioned(s) == env_id]
    if versions:
        return f"{module}:{env_id}-v{max(versions)}" if module else f"{env_id}-v{max(versions)}"
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


def make(name: str, num_envs: int, seed: int, **kwargs: Any) -> VectorEnv:
    """``num_envs`` copies as one VectorEnv, already seeded and reset: the next ``reset()`` needs no seed.

    MuJoCo's locomotion and pendulum tasks come in our own fast form (``mujoco_vector``), equal to Gymnasium's to the
    last bit, but for the infos of steps that end no episode: these are empty until ``step_infos`` is set. Anything
    else is Gymnasium's SyncVectorEnv. ``kwargs`` go to the environment (and ``max_episode_steps``, as in
    ``gymnasium.make``). Call ``check`` first where they come from a person: this function lets Gymnasium's own errors
    through.
    """
    import gymnasium

    env_id = resolve(name)
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    with _quiet_mujoco():
        vector: Any = _fast_form(env_id, num_envs, kwargs) or gymnasium.make_vec(
            env_id,
            num_envs=num_envs,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": mode},
            disable_env_checker=True,  # check() has looked at one already; the wrapper costs time in every step
            **kwargs,
        )
    vector.reset(seed=env_seeds(seed, num_envs))
    return vector


def _fast_form(env_id: str, num_envs: int, kwargs: Mapping[str, Any]) -> VectorEnv | None:
    from gymnasium import registry

    from firerl.envs.mujoco_tasks import TASKS

    if str(registry[env_id.rpartition(":")[2]].entry_point) not in TASKS:
        return None
    from firerl.envs.mujoco_vector import fast_form  # imports MuJoCo

    return fast_form(env_id, num_envs, **kwargs)


def step_some(vector: VectorEnv, ids: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Step the environments ``ids`` [B] of ``make`` alone and reset none: observations, rewards, terminated, truncated.

    For episodes of which some end for good while others go on. Call ``reset_some`` where one begins again.
    """
    if hasattr(vector, "step_some"):
        return vector.step_some(ids, actions)
    steps = [vector.envs[i].step(action)[:4] for i, action in zip(ids, actions, strict=True)]  # type: ignore[attr-defined]
    return tuple(np.array(part) for part in zip(*steps, strict=True))


def reset_some(vector: VectorEnv, ids: np.ndarray) -> np.ndarray:
    """New episodes in the environments ``ids`` [B] of ``make`` alone; their first observations."""
    if hasattr(vector, "reset_some"):
        return vector.reset_some(ids)
    return np.array([vector.envs[i].reset()[0] for i in ids])  # type: ignore[attr-defined]


@contextlib.contextmanager
def _quiet_mujoco() -> Iterator[None]:
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


def check(name: str, kwargs: Mapping[str, Any] | None = None) -> EnvSpec:
    """Make one environment and describe it; SettingError on anything that ``make`` or a learner could not use."""
    kwargs = dict(kwargs or {})
    try:
        key = json.dumps(kwargs, sort_keys=True)
    except TypeError:  # an argument that is no plain data: no cache
        return _check(name, kwargs)
    return _cached_check(name, key)


@functools.lru_cache(maxsize=64)
def _cached_check(name: str, kwargs_json: str) -> EnvSpec:
    return _check(name, json.loads(kwargs_json))


def _check(name: str, kwargs: dict[str, Any]) -> EnvSpec:
    import gymnasium

    env_id = resolve(name)
    _check_kwargs(env_id, kwargs)
    try:
        with _quiet_mujoco():
            env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if kwargs:
            known = ", ".join(_parameters(env_id))
            raise SettingError(
                f"env.kwargs={show(kwargs)}: the environment {name!r} cannot be made with it: {reason}"
                + (f"; its arguments: {known}" if known else "")
            ) from error
        raise SettingError(f"environment {name!r} cannot be made: {reason}") from error
    try:
        return _describe(name, env_id, env)
    finally:
        env.close()


def _parameters(env_id: str) -> dict[str, inspect.Parameter]:
    """The arguments that an environment's class names itself; {} where that cannot be seen."""
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    entry = gymnasium.spec(env_id).entry_point
    try:
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        found = inspect.signature(creator).parameters.values()  # type: ignore[arg-type]
    except Exception:  # anybody's code
        return {}
    return {p.name: p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _check_kwargs(env_id: str, kwargs: Mapping[str, Any]) -> None:
    """Raise SettingError on a value of another type than its default: many environments notice only when they step."""
    known = _parameters(env_id) if kwargs else {}
    for name, value in kwargs.items():
        if name == "max_episode_steps":  # gymnasium.make's own
            allowed = (
                "" if value is None or (_is_number(value, whole=True) and value >= 1) else "an integer >= 1 or null"
            )
        else:
            allowed = _misfit(value, known[name]) if name in known else ""
        if allowed:
            raise SettingError(f"env.kwargs.{name}={show(value)}: must be {allowed}")


def _misfit(value: Any, parameter: inspect.Parameter) -> str:
    """What a value must be; "" if it is that, or if its default does not tell."""
    default, whole = parameter.default, parameter.annotation in (int, "int")  # a weight may have the default 1
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        return "" if _is_number(value, whole) else "an integer" if whole else "a finite number"
    if isinstance(default, str):
        return "" if isinstance(value, str) else "a text"
    if isinstance(default, tuple) and all(isinstance(number, int | float) for number in default):
        fits = isinstance(value, list | tuple) and len(value) == len(default)
        numbers = fits and all(_is_number(number) or number in (math.inf, -math.inf) for number in value)
        return "" if numbers else f"a list of {len(default)} numbers"
    return "" if not isinstance(default, Mapping) or isinstance(value, Mapping) else "a group of settings"


def _is_number(value: Any, whole: bool = False) -> bool:
    """Whether this is a finite number, as a person counts them."""
    return type(value) is int or (not whole and isinstance(value, float) and math.isfinite(value))


def _describe(name: str, env_id: str, env: Env) -> EnvSpec:
    from gymnasium import spaces

    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, spaces.Box) or len(observation.shape) != 1:
        raise SettingError(
            f"environment {name!r} has observations {_short(observation)}: allowed is a Box with one dimension"
        )
    limit = env.spec.max_episode_steps if env.spec else None
    common: dict[str, Any] = {
        "observation_size": int(observation.shape[0]),
        "max_episode_steps": limit,
        "observation_dtype": str(observation.dtype),
    }
    if isinstance(action, spaces.Discrete):
        return EnvSpec(name, env_id, discrete=True, action_size=int(action.n), action_start=int(action.start),
                       low=(), high=(), **common)  # fmt: skip
    if not isinstance(action, spaces.Box) or len(action.shape) != 1:
        raise SettingError(
            f"environment {name!r} has actions {_short(action)}: allowed are a Box with one dimension and Discrete"
        )
    low, high = (tuple(float(v) for v in bound) for bound in (action.low, action.high))
    return EnvSpec(name, env_id, discrete=False, action_size=len(low), action_start=0, low=low, high=high, **common)


def action_map(spec: EnvSpec) -> tuple[np.ndarray, np.ndarray]:
    """(centre, half width) that take [-1, 1] to the bounds; (0, 1) where a bound is infinite. Both [action_size]."""
    finite = [math.isfinite(lo) and math.isfinite(hi) for lo, hi in zip(spec.low, spec.high, strict=True)]
    low, high = np.array(spec.low), np.array(spec.high)
    centre = np.array([(lo + hi) / 2 if ok else 0.0 for lo, hi, ok in zip(low, high, finite, strict=True)])
    half = np.array([(hi - lo) / 2 if ok else 1.0 for lo, hi, ok in zip(low, high, finite, strict=True)])
    return centre, half


def _short(space: Any) -> str:
    text = str(space)
    return text if len(text) <= 80 else f"{type(space).__name__} of shape {space.shape}"

"""What a learner must know of an environment before it builds its networks, found out by trying one."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from firerl.base.settings import show
from firerl.envs.arguments import check_arguments, known_arguments
from firerl.envs.state.global_draws import untouched
from firerl.envs.vector import env_seeds, quiet_mujoco, registered, resolve, single
from firerl.errors import FirerlError, SettingError

if TYPE_CHECKING:
    from firerl.envs.door import Door

T = TypeVar("T")
FLOATS = ("float16", "float32", "float64")  # that torch has, too


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
    max_episode_steps: int | None  # steps after which an episode is truncated; None: nobody has set a limit
    observation_dtype: str = "float64"  # numpy's name
    action_dtype: str = "float32"  # of a continuous action


def check(name: str, kwargs: Mapping[str, Any] | None = None) -> EnvSpec:
    """Make one environment, reset it, step it once and describe it; SettingError on anything that ``make`` or a learner
    could not use. In every process once for the same environment and arguments; global generators stay as they are."""
    kwargs = dict(kwargs or {})
    env_id = resolve(name)
    try:
        # A notebook registers its environment again and again under one name.
        return _cached_check(name, env_id, registered(env_id).entry_point, json.dumps(kwargs, sort_keys=True))
    except TypeError:  # an argument that is no plain data, an entry point without a hash: no cache
        return _check(name, env_id, kwargs)


@functools.lru_cache(maxsize=64)
def _cached_check(name: str, env_id: str, entry_point: object, kwargs_json: str) -> EnvSpec:
    return _check(name, env_id, json.loads(kwargs_json))


def _check(name: str, env_id: str, kwargs: dict[str, Any]) -> EnvSpec:
    spec = registered(env_id)
    check_arguments(spec, name, kwargs)
    with untouched(), quiet_mujoco():
        try:
            env = single(name, kwargs)
        except (Exception, SystemExit) as error:  # anybody's code
            raise _cannot_be_made(name, kwargs, known_arguments(spec), error) from error
        try:
            found = _describe(name, env_id, env, kwargs.get("max_episode_steps") or spec.max_episode_steps)
            _try(env, found)
        finally:
            with contextlib.suppress(Exception):
                env.close()
    return found


def _cannot_be_made(name: str, kwargs: Mapping[str, Any], known: list[str], error: BaseException) -> SettingError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if not kwargs:
        return SettingError(f"environment {name!r} cannot be made: {reason}")
    strange = [key for key in kwargs if key not in known and key != "max_episode_steps"]
    near = [match for key in strange for match in difflib.get_close_matches(key, known, n=1, cutoff=0.5)]
    return SettingError(
        f"env.kwargs={show(kwargs)}: the environment {name!r} cannot be made with it: {reason}"
        + (f"; did you mean {near[0]!r}?" if near else "")
        + (f"; its arguments: {', '.join(known)}" if known else "")
    )


def _try(env: Door, spec: EnvSpec) -> None:
    """One reset and one step, with such an action as a policy takes. Raises SettingError on what breaks or does not
    fit."""
    name, rng = spec.name, np.random.default_rng(0)
    first, _ = asked(name, "reset(seed=...)", lambda: env.reset(seed=env_seeds(0, 1)[0]))
    _check_observation(name, "reset()", first, env.observation_space)
    observation, reward, *_ = asked(name, "step()", lambda: env.step(random_action(spec, rng)))
    _check_observation(name, "step()", observation, env.observation_space)
    if not math.isfinite(reward):
        raise SettingError(f"environment {name!r}: step() returned the reward {reward}; wanted is a finite number")


def random_action(spec: EnvSpec, rng: np.random.Generator) -> Any:
    """An action as a policy that knows nothing takes it."""
    if spec.discrete:
        return np.int64(spec.action_start + rng.integers(spec.action_size))
    centre, half = action_map(spec)
    return np.clip(centre + half * rng.uniform(-1, 1, len(half)), spec.low, spec.high).astype(spec.action_dtype)


def asked(name: str, call: str, function: Callable[[], T]) -> T:
    """What the environment returns. Raises SettingError on whatever it raises."""
    from firerl.envs.door import STEP, BrokenEnvironment

    try:
        return function()
    except BrokenEnvironment as error:
        raise SettingError(str(error)) from error
    except FirerlError:
        raise
    except (Exception, SystemExit) as error:  # anybody's code
        said = " ".join(str(error).split())[:200]
        if isinstance(error, ValueError) and "values to unpack (expected 5" in said:  # by a wrapper of Gymnasium's
            raise SettingError(f"environment {name!r}: {call} returned not 5 values; wanted is {STEP}") from error
        raise SettingError(f"environment {name!r}: {call} raised {type(error).__name__}: {said}") from error


def _check_observation(name: str, call: str, observation: np.ndarray, space: Any) -> None:
    wrong = ~np.isfinite(observation) | (observation < space.low) | (observation > space.high)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        value, low, high = (float(numbers.flat[i]) for numbers in (observation, space.low, space.high))
        raise SettingError(
            f"environment {name!r}: {call} returned {value:g} at place {i} of the observation; wanted is a finite "
            f"number from {low:g} to {high:g}, as observation_space says"
        )


def _describe(name: str, env_id: str, env: Door, limit: int | None) -> EnvSpec:
    from gymnasium import spaces

    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, spaces.Box) or len(observation.shape) != 1:
        raise SettingError(
            f"environment {name!r} has observations {_short(observation)}: allowed is a Box with one dimension"
        )
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
    if str(action.dtype) not in FLOATS:
        raise SettingError(
            f"environment {name!r} has actions {_short(action)}: of a Box allowed are {', '.join(FLOATS)}; declare one "
            "of these and round in step(), or Discrete"
        )
    low, high = (tuple(float(v) for v in bound) for bound in (action.low, action.high))
    return EnvSpec(name, env_id, discrete=False, action_size=len(low), action_start=0, low=low, high=high,
                   action_dtype=str(action.dtype), **common)  # fmt: skip


def action_map(spec: EnvSpec) -> tuple[np.ndarray, np.ndarray]:
    """(centre, half width) that take a policy's [-1, 1] to the environment's units. Both [action_size], float64.

    Between two bounds they reach from one to the other. Where only one is finite, 1 above or below it is the centre,
    so that actions begin where there are some to choose from; without any it is (0, 1).
    """
    pairs = [_centre_and_half(low, high) for low, high in zip(spec.low, spec.high, strict=True)]
    return np.array([centre for centre, _ in pairs]), np.array([half for _, half in pairs])


def _centre_and_half(low: float, high: float) -> tuple[float, float]:
    if math.isfinite(low) and math.isfinite(high):
        return low / 2 + high / 2, high / 2 - low / 2  # a sum of two may be infinite
    if math.isfinite(low):
        return low + 1.0, 1.0
    return (high - 1.0, 1.0) if math.isfinite(high) else (0.0, 1.0)


def _short(space: Any) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else f"{type(space).__name__} of shape {space.shape}"

"""The door: whatever an environment returns goes through here, in training, in fresh episodes and before a camera.

Environments of others return ends as 0 and 1, rewards as arrays of one number, observations as lists. Here these
become observations [*shape] of the space's dtype, a float and two bools; what cannot is refused in one line that names
the environment, what came and what is wanted.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

STEP = "(observation, reward, terminated, truncated, info)"


class BrokenEnvironment(ValueError):
    """An environment has returned what is no observation, no reward or no end."""


class Door(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The outermost wrapper of every environment that is not our own. ``name`` is what a person calls it.

    The arrays that it returns are the caller's own: an environment may fill the same one again and again.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str):
        super().__init__(env)
        self._name = name
        self._like = np.zeros(env.observation_space.shape or (), env.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        returned: Any = self.env.reset(seed=seed, options=options)
        if not (isinstance(returned, tuple | list) and len(returned) == 2 and isinstance(returned[1], Mapping)):
            raise self._refused("reset()", returned, "(observation, info), where info is a dict")
        return self._observation(returned[0], "reset()"), dict(returned[1])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        returned: Any = self.env.step(action)
        if not (isinstance(returned, tuple | list) and len(returned) == 5 and isinstance(returned[4], Mapping)):
            raise self._refused("step()", returned, f"{STEP}, where info is a dict")
        observation, reward, terminated, truncated, info = returned
        if type(reward) is not float:
            reward = self._read(number, reward, "the reward", "one number")
        if type(terminated) is not bool:
            terminated = self._read(flag, terminated, "terminated", "true or false")
        if type(truncated) is not bool:
            truncated = self._read(flag, truncated, "truncated", "true or false")
        return self._observation(observation, "step()"), reward, terminated, truncated, dict(info)

    def _observation(self, value: Any, call: str) -> np.ndarray:
        try:
            array = np.array(np.asarray(_on_host(value)))  # a copy
        except Exception:  # rows of different lengths; anybody's class
            array = np.array(None)
        shape, dtype = self._like.shape, self._like.dtype
        if array.shape == shape:
            if array.dtype == dtype:
                return array
            floats = dtype.kind == "f"
            if array.dtype.kind in ("biuf" if floats else "biu"):
                converted = array.astype(dtype)
                if floats or np.array_equal(converted, array):  # else the space's type cannot hold these numbers
                    return converted
        wanted = f"of shape {shape} and type {dtype}, as observation_space says"
        raise self._refused(call, value, wanted, "the observation")

    def _read(self, read: Any, value: Any, what: str, wanted: str) -> Any:
        try:
            return read(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refused("step()", value, wanted, what) from None

    def _refused(self, call: str, came: Any, wanted: str, what: str = "") -> BrokenEnvironment:
        shown = f"{what} {_shown(came)}" if what else _parts(came)
        return BrokenEnvironment(f"environment {self._name!r}: {call} returned {shown}; wanted is {wanted}")


def number(value: Any) -> float:
    """A number of any library, also one in an array of size 1, as a float. Raises TypeError, ValueError, OverflowError
    on anything else."""
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, str | bytes):
        raise TypeError("a text is no number")
    array = np.asarray(_on_host(value))
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError("not one real number")
    return float(array.item())


def flag(value: Any) -> bool:
    """A truth value of any library as a bool, 0 and 1 among them. Raises as ``number``."""
    found = number(value)
    if found not in (0.0, 1.0):
        raise ValueError("neither true nor false")
    return bool(found)


def _on_host(value: Any) -> Any:
    """A tensor as something that numpy takes: without a gradient, in main memory."""
    return value.detach().cpu() if hasattr(value, "detach") and hasattr(value, "cpu") else value


def _shown(value: Any) -> str:
    """What came, in a few words."""
    kind = type(value).__name__
    if shape := getattr(value, "shape", ()):
        return f"of shape {tuple(shape)} and type {getattr(value, 'dtype', kind)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # anybody's code
        text = "something"
    return f"{text[:60]} of type {kind}"


def _parts(value: Any) -> str:
    """The same of all that a call has returned."""
    if isinstance(value, tuple | list):
        return f"{len(value)} values ({', '.join(type(part).__name__ for part in value[:6])})"
    return f"one value {_shown(value)}"

"""The states that environments and wrappers offer themselves: ``get_state()`` gives plain data, ``set_state(state)``
takes it."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np


def layers(env: Any) -> Iterator[Any]:
    """The environment's wrappers, from the outside to the inside, then itself."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env
    yield env


def get(env: Any) -> dict[str, Any]:
    """A copy of the state of each layer that offers one, by its place and class; without what is no plain data."""
    found = {}
    for name, layer in _offering(env).items():
        with contextlib.suppress(Exception):  # anybody's code
            found[name] = plain(layer.get_state())
    return found


def give(env: Any, states: Mapping[str, Any]) -> None:
    """Set the states of ``get``."""
    offering = _offering(env)
    for name, state in states.items():
        offering[name].set_state(copy.deepcopy(state))


def trouble(env: Any) -> str:
    """What is wrong with a state that is offered, "" for nothing."""
    for layer in _offering(env).values():
        try:
            plain(layer.get_state())
        except Exception as error:  # anybody's code
            return f"{type(layer).__name__}.get_state() gives no plain data: {' '.join(str(error).split())}"
    return ""


def _offering(env: Any) -> dict[str, Any]:
    return {f"{depth} {type(one).__name__}": one for depth, one in enumerate(layers(env)) if _offers(type(one))}


def _offers(kind: type) -> bool:
    """Whether a class has ``get_state()`` and ``set_state(state)``, with just these arguments."""
    try:
        inspect.signature(kind.get_state).bind(None)  # type: ignore[attr-defined]
        inspect.signature(kind.set_state).bind(None, None)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def plain(value: Any) -> Any:
    """A copy. Raises TypeError on what a checkpoint does not hold."""
    import torch

    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if type(value) is torch.Tensor:
        return value.detach().clone()
    if (type(value) is np.ndarray or isinstance(value, np.generic)) and value.dtype.kind in "biufc":
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if type(value) is dict and all(type(key) in (str, int, float, bool) for key in value):
        return {key: plain(item) for key, item in value.items()}
    raise TypeError(f"it holds a {type(value).__name__}")


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal to the bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if one is None or isinstance(one, int | str | bytes):
        return bool(one == other)
    mine, theirs = np.asarray(one), np.asarray(other)
    return (mine.dtype, mine.shape, mine.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())

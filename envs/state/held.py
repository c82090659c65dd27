"""What an environment holds, as far as that can be seen: numbers, texts, arrays and generators, by their names.

It serves to tell two environments apart, never to save one: what is not understood is left out.
"""

from __future__ import annotations

import enum
import hashlib
import random
import types
from collections import deque
from collections.abc import Iterator, Mapping, Set
from itertools import islice
from typing import Any

import gymnasium
import numpy as np

LARGE = 10_000_000  # bytes of an array that is not looked at
MANY = 20_000  # values, after which nothing more is looked at
DEEP = 12  # names, one in the other

Name = tuple[int, str]  # the depth of the wrapper, the name in it, such as "obs_rms.mean"

_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, property)
_CONSTANT = (gymnasium.Space, gymnasium.envs.registration.EnvSpec)
# They write down what happens, for people: no step depends on it.
_WATCHERS = (gymnasium.wrappers.RecordEpisodeStatistics, gymnasium.wrappers.RecordVideo)


def held(env: gymnasium.Env) -> dict[Name, str]:
    """What stands for each value."""
    found: dict[Name, str] = {}
    seen: set[int] = set()
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    for depth, layer in enumerate(layers):
        if not isinstance(layer, _WATCHERS):
            seen.add(id(layer))
            for name, value in _attributes(layer):
                if not any(value is inner for inner in layers):
                    found.update(islice(_values(value, (depth, name[1:]), seen), MANY - len(found)))
    return found


def _values(value: Any, name: Name, seen: set[int]) -> Iterator[tuple[Name, str]]:
    """The value, or all that it is made of."""
    if isinstance(value, _CODE + _CONSTANT) or name[1].count(".") + name[1].count("[") > DEEP:
        return
    if (text := _text(value)) is not None:
        yield name, text
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    parts = False
    for suffix, part in _parts(value):
        parts = True
        yield from _values(part, (name[0], name[1] + suffix), seen)
    if not parts and " at 0x" not in (text := repr(value)):  # empty, or of a compiled type
        yield name, text


def _text(value: Any) -> str | None:
    """What stands for a value that has no parts."""
    import torch

    if value is None or isinstance(value, bool | int | float | complex | str | bytes | enum.Enum | np.generic):
        return repr(value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = hashlib.blake2b(value.tobytes()).hexdigest() if value.nbytes <= LARGE else ""
        return f"{value.dtype} {value.shape} {content}"
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state(legacy=False))
    if isinstance(value, random.Random):
        return repr(value.getstate())
    if isinstance(value, Set):
        return repr(sorted(map(repr, value)))
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"[{key!r}]", item
    elif isinstance(value, list | tuple | deque | np.ndarray):
        yield ".length", len(value)
        for number, item in enumerate(value):
            yield f"[{number}]", item
    yield from _attributes(value)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Those of the object itself, in its dict or its slots."""
    for name, item in list(getattr(value, "__dict__", {}).items()):
        yield f".{name}", item
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield f".{name}", getattr(value, name)

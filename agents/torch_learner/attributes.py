"""What the attributes of a learner hold: parts with a state of their own, and plain values beside them."""

from __future__ import annotations

import argparse
import io
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from firerl.agents.torch_learner.parts import GENERATORS, Half, Part, is_environment, part_of, uncompiled, untrained
from firerl.agents.torch_learner.plain_values import is_plain, restored, saved
from firerl.errors import SettingError

_OWN = ("_TorchLearner__values", "_TorchLearner__device")
# They change nothing that is learned: every process makes them anew.
_CONSTANT = (types.ModuleType, type, torch.device, torch.dtype, np.dtype, np.ufunc, Dataset)
_ORDER = (
    "generator",
    "sampler",
    "batch_sampler",
    "_iterator",
)  # what of a loader, or a sampler of torch's, has a state

OPEN_FILE = "an open file: open it in train(), for as long as it is read"
ITERATOR = (
    "an iterator, whose place cannot be saved: keep the order and a position in it, as self.order = torch.randperm(n) "
    "and self.position, or take a loader with state_dict(), such as torchdata's StatefulDataLoader"
)
FUNCTION = "a function that no other process finds: write it with def at the top of its module"
GRAPH = "a tensor with the graph that it came of: keep its detach()"
MIXED = "a tuple of parts and of plain values, which cannot be changed: make it a list"
OBJECT = "of type {}: give it state_dict() and load_state_dict(state), of plain values"


@dataclass
class Attributes:
    """What has been found, by its path: ``model``, ``nets['actor']``, ``statistics.mean``."""

    learner: Any
    parts: dict[str, Part] = field(default_factory=dict)
    holders: dict[str, Any] = field(default_factory=dict)  # the learner (""), objects, dicts and lists
    values: dict[Half, dict[str, dict[Any, Any]]] = field(default_factory=lambda: {"weights": {}, "stream": {}})

    def state(self, half: Half) -> dict[str, Any]:
        """A copy: the parts and their kinds, and the plain values by their holders."""
        parts = {path: part for path, part in self.parts.items() if part.half == half}
        return {
            "parts": {path: part.save() for path, part in parts.items()},
            "kinds": {path: part.kind for path, part in parts.items()},
            "values": {path: {key: saved(value) for key, value in held.items()}
                       for path, held in self.values[half].items()},
        }  # fmt: skip

    def load(self, half: Half, given: Mapping[str, Any], device: torch.device) -> list[str]:
        """What has been lost, in words. Raises SettingError where the state has other parts than are here."""
        parts = {path: part for path, part in self.parts.items() if part.half == half}
        kinds = {path: part.kind for path, part in parts.items()}
        for path in [*kinds, *given["kinds"]]:
            here, there = kinds.get(path, "missing"), given["kinds"].get(path, "missing")
            if here != there:
                raise SettingError(f"{self._name(path)} is {there} in the state, and {here} in a learner that has just "
                                   "been built: make it in __init__, and of the same kind for good")  # fmt: skip
        self._put(half, given["values"], device)
        told = [part.load(given["parts"][path], device) for path, part in parts.items()]
        return [text for text in told if text]

    def _put(self, half: Half, given: Mapping[str, Any], device: torch.device) -> None:
        """The plain values; those that the state does not have go."""
        for path in {**self.values[half], **given}:
            here, there = self.values[half].get(path, {}), given.get(path, {})
            holder = self.holders.get(path)
            if holder is None or (isinstance(holder, list) and here.keys() != there.keys()):
                raise SettingError(f"{self._name(path)} holds other values in the state than in a learner that has "
                                   "just been built: make it in __init__, of the same length for good")  # fmt: skip
            held = holder if isinstance(holder, dict | list) else vars(holder)
            for key in [key for key in here if key not in there]:
                del held[key]
            for key, value in there.items():
                held[key] = restored(value, device)

    def check_trained(self) -> None:
        """Raise SettingError where an optimiser trains what is not saved."""
        for path in untrained(self.parts):
            raise SettingError(f"{self._name(path)} trains a tensor that no attribute holds: keep its module, too")

    def _name(self, path: str) -> str:
        return f"{type(self.learner).__name__}.{path}"


def of(learner: Any, left_out: Sequence[str], in_weights: Sequence[str]) -> Attributes:
    """All that is found. Raises SettingError on what cannot be saved, with its name and what to do."""
    found = Attributes(learner)
    _Walk(found, {*left_out, *_OWN}, in_weights).into(learner, "")
    return found


class _Walk:
    def __init__(self, found: Attributes, left_out: set[str], in_weights: Sequence[str]):
        self.found, self.left_out, self.in_weights = found, left_out, in_weights
        self.seen = {id(found.learner)}  # what is met again, under another name, is the same

    def into(self, holder: Any, path: str) -> None:
        """A holder of attributes or items."""
        self.found.holders[path] = holder
        for key, below, value in list(_children(holder, path)):
            if below in self.left_out or _is_constant(value):
                continue
            if is_plain(value):
                self._keep(holder, path, key, below, value)
            elif id(uncompiled(value) if isinstance(value, nn.Module) else value) not in self.seen:
                self._take(value, below)

    def _keep(self, holder: Any, path: str, key: Any, below: str, value: Any) -> None:
        if isinstance(holder, tuple):
            raise self._refused(path, MIXED)
        half: Half = "weights" if any(_within(below, name) for name in self.in_weights) else "stream"
        self.found.values[half].setdefault(path, {})[key] = value

    def _take(self, value: Any, path: str) -> None:
        """What is no plain value: a part, a holder of others, or refused."""
        try:
            part = part_of(value)
        except ValueError as error:
            raise self._refused(path, str(error)) from error
        if part is not None:
            self.seen |= {id(value), id(part.value)}
            self.found.parts[path] = part
            self.into(_Inside(value), path)
        elif _is_holder(value):
            self.seen.add(id(value))
            self.into(value, path)
        else:
            raise self._refused(path, _why_not(value))

    def _refused(self, path: str, why: str) -> SettingError:
        name = path.partition(".")[0].partition("[")[0]
        return SettingError(
            f"{type(self.found.learner).__name__}.{path} is {why}; or leave it as __init__ makes it: "
            f'left_out = ("{name}",)'
        )


class _Inside:
    """What has a state of its own besides that of a part: the generators of a module's, the spaces of an environment,
    from which it draws actions."""

    def __init__(self, part: Any):
        if isinstance(part, nn.Module):
            for name, module in part.named_modules():
                for key, value in vars(module).items():
                    if isinstance(value, GENERATORS):
                        vars(self)[f"{name}.{key}" if name else key] = value
        elif is_environment(part):
            for key in ("action_space", "single_action_space"):
                if (space := getattr(part, key, None)) is not None:
                    vars(self)[key] = space


def _children(holder: Any, path: str) -> Iterator[tuple[Any, str, Any]]:
    """Key, path and value of each."""
    if isinstance(holder, dict):
        yield from ((key, f"{path}[{key!r}]", value) for key, value in holder.items())
    elif isinstance(holder, list | tuple):
        yield from ((number, f"{path}[{number}]", value) for number, value in enumerate(holder))
    else:
        held = vars(holder).items()
        if isinstance(holder, DataLoader | Sampler) and type(holder).__module__.startswith("torch."):
            held = [(key, value) for key, value in held if key in _ORDER]
        for key, value in held:
            if not (key == "_np_random" and _is_nobodys(value)):
                yield key, f"{path}.{key}" if path else key, value


def _is_nobodys(generator: Any) -> bool:
    """Whether a space of Gymnasium's has made it itself, from 128 bits of the system's entropy: nobody who wants the
    same again draws from it."""
    sequence = getattr(getattr(generator, "bit_generator", None), "seed_seq", None)
    entropy = getattr(sequence, "entropy", None)
    return isinstance(entropy, int) and entropy >= 1 << 64


def _is_constant(value: Any) -> bool:
    if isinstance(value, types.BuiltinFunctionType):  # of a module or a class, not a method of somebody's list
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType | type)
    if isinstance(value, types.FunctionType):
        home: Any = sys.modules.get(value.__module__ or "")
        for name in value.__qualname__.split("."):
            home = getattr(home, name, None)
        return home is value
    return isinstance(value, _CONSTANT)


def _is_holder(value: Any) -> bool:
    """A collection, or an object of plain Python, in whose attributes all lies that it is."""
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    if kind in (dict, list, tuple, types.SimpleNamespace, argparse.Namespace):
        return True
    if not hasattr(value, "__dict__") or home in sys.stdlib_module_names:
        return False
    return kind.__basicsize__ == _Plain.__basicsize__ and not (home == "torch" and hasattr(value, "__next__"))


class _Plain:
    """As large as any object that has attributes and nothing of a compiled library."""


def _within(path: str, name: str) -> bool:
    return path == name or path.startswith((f"{name}.", f"{name}["))


def _why_not(value: Any) -> str:
    if isinstance(value, io.IOBase):
        return OPEN_FILE
    if hasattr(value, "__next__"):
        return ITERATOR
    if isinstance(value, types.FunctionType | types.MethodType):
        return FUNCTION
    if isinstance(value, torch.Tensor) and not value.is_meta:
        return GRAPH
    return OBJECT.format(type(value).__name__)

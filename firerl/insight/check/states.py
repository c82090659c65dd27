"""Learner states as plain data: a frozen copy of one, where two differ, one that is spoilt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from firerl.storage import checkpoint

EVALUATE_SEED = 4_000_000_007  # as large as those that runs hand out
PARTS = ("weights", "stream", "globals")


@dataclass(frozen=True)
class Snapshot:
    """A learner's state as a checkpoint holds it: later training cannot reach it."""

    weights: bytes
    stream: bytes
    globals: bytes  # the global generators as they stand for this learner

    def half(self, name: str) -> Any:
        """A fresh copy of one part."""
        return checkpoint.loads(getattr(self, name))

    def whole(self) -> dict[str, Any]:
        """A fresh copy of all parts, as ``Isolated.load`` takes them."""
        return {part: self.half(part) for part in PARTS}


def snapshot(state: Any) -> Snapshot:
    """What ``Isolated.state`` returned, frozen. Raises SettingError on what cannot be stored, with the place."""
    return Snapshot(*(checkpoint.dumps(state[part], f"state()[{part!r}]") for part in PARTS))


def difference(one: Snapshot, other: Snapshot, *parts: str) -> str:
    """The first place where the named parts (all, if none is named) differ, "" if they are equal to the bit."""
    for half in parts or PARTS:
        if getattr(one, half) != getattr(other, half):
            return place(one.half(half), other.half(half), half) or f"{half}: the order of the entries"
    return ""


def place(one: Any, other: Any, path: str) -> str:
    """The first place where two plain values differ, "" if nowhere."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in one or key not in other:
                return f"{path}[{key!r}] (only one has it)"
            if found := place(one[key], other[key], f"{path}[{key!r}]"):
                return found
        return ""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        texts = (place(a, b, f"{path}[{index}]") for index, (a, b) in enumerate(zip(one, other, strict=True)))
        return next((text for text in texts if text), "")
    return "" if checkpoint.dumps(one) == checkpoint.dumps(other) else path


def numbers(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """What ``train`` has returned, for ``place``."""
    return [{str(name): float(value) for name, value in sorted(row.items())} for row in metrics]


def objectives_differ(one: Any, other: Any) -> str:
    """In words; "" where they are the same."""
    same = repr(None if one is None else float(one)) == repr(None if other is None else float(other))
    return "" if same else f"evaluate({EVALUATE_SEED}) is {one} and {other}"


def trained_differently(one: Snapshot, other: Snapshot) -> str:
    """Where arrays differ: an optimiser's groups hold the values themselves, which says nothing."""
    mine, theirs = arrays(one.whole()), arrays(other.whole())
    return place(mine, theirs, "state") if mine or theirs else difference(one, other)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested dicts, lists and tuples, with its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def arrays(value: Any) -> dict[str, np.ndarray]:
    """The tensors and arrays of floats in it, by their place."""
    found = {}
    for path, leaf in leaves(value):
        content = leaf.numpy() if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf
        if isinstance(content, np.ndarray) and content.dtype.kind == "f":
            found[path] = content
    return found


def spoilt(value: Any) -> Any:
    """A copy whose tensors and arrays of floats, those with dimensions, are all NaN."""
    if isinstance(value, Mapping):
        return {key: spoilt(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(spoilt(item) for item in value)
    if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim:
        return torch.full_like(value, float("nan"))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.full_like(value, np.nan)
    return value

"""Plain values as a checkpoint takes them, and back: numbers, texts, arrays, tensors, and what Python collects them
in."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

_KIND = "kind of value"  # the key that tells one of these from a dict
_COLLECTED: dict[type, str] = {
    deque: "deque", set: "set", frozenset: "frozenset", OrderedDict: "OrderedDict", Counter: "Counter",
    torch.Size: "Size",
}  # fmt: skip
_MAKES: dict[str, Any] = {name: kind for kind, name in _COLLECTED.items()}
_SCALARS = (type(None), bool, int, float, str, bytes)


def is_plain(value: Any, above: tuple[int, ...] = ()) -> bool:
    """Whether ``saved`` takes it. ``above`` are the collections that it lies in: one that holds itself is not plain."""
    if type(value) in _SCALARS or isinstance(value, np.generic | np.ndarray):
        return getattr(value, "dtype", np.dtype(bool)).kind in "biufc"
    if isinstance(value, PurePath):
        return True
    if isinstance(value, torch.Tensor):
        return type(value) is torch.Tensor and not value.requires_grad and not value.is_meta
    if type(value) not in (dict, list, tuple, *_COLLECTED) or id(value) in above:
        return False
    inside = (*above, id(value))
    items = list(value.values()) if isinstance(value, dict) else value
    keys = value if isinstance(value, dict) else ()
    return all(type(key) in _SCALARS[:-1] for key in keys) and all(is_plain(item, inside) for item in items)


def saved(value: Any) -> Any:
    """A copy of a plain value, on the CPU. Other values come as they are, for the checkpoint to refuse."""
    if isinstance(value, torch.Tensor):
        copy = on_cpu(value)
        return copy if value.device.type == "cpu" else {_KIND: "tensor of a device", "tensor": copy}
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, PurePath):
        return {_KIND: "Path", "text": str(value)}
    if (name := _COLLECTED.get(type(value))) is None:
        if isinstance(value, dict):  # of a state_dict, any kind
            return {key: saved(item) for key, item in value.items()}
        return type(value)(saved(item) for item in value) if type(value) in (list, tuple) else value
    if isinstance(value, dict):
        return {_KIND: name, "items": {key: saved(item) for key, item in value.items()}}
    items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value  # a set's order is no value
    more = {"maxlen": value.maxlen} if isinstance(value, deque) else {}
    return {_KIND: name, "items": [saved(item) for item in items], **more}


def on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """A copy there that owns just its elements."""
    return tensor.detach().to("cpu", copy=True)


def restored(value: Any, device: torch.device) -> Any:
    """What ``saved`` has copied, copied again; tensors that lay on a device go to ``device``."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(restored(item, device) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value.get(_KIND)
    if kind is None:
        return {key: restored(item, device) for key, item in value.items()}
    if kind == "tensor of a device":
        return value["tensor"].to(device, copy=True)
    if kind == "Path":
        return Path(value["text"])
    more = {"maxlen": value["maxlen"]} if kind == "deque" else {}
    return _MAKES[kind](restored(value["items"], device), **more)

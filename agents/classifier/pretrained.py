"""Weights from a file that a network begins with: ``learner.pretrained``. A file of weights runs no code."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from firerl.errors import MachineError, SettingError, reason

WRAPPED = ("state_dict", "model")  # under which training scripts keep them, beside an optimiser's


def digest(path: str) -> str:
    """The file's SHA-256. Raises SettingError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise SettingError(f"learner.pretrained={path}: must be a file of weights, it cannot be read: {why}") from error


def begin_with(network: nn.Module, path: str, sha256: str) -> None:
    """Put the file's tensors into the network; a last layer of another shape, which names other classes, stays new.

    Raises SettingError where the file is of another network, MachineError where it is away or another file.
    """
    found, own = _tensors(path, sha256), network.state_dict()
    lacking = [name for name in own if name not in found]
    strange = [name for name in found if name not in own]
    other = [name for name in own if name in found and own[name].shape != found[name].shape]
    head = list(own)[-1].rpartition(".")[0]
    wrong = [*lacking, *strange, *(name for name in other if name.rpartition(".")[0] != head)]
    if wrong:
        raise SettingError(
            f"learner.pretrained={path}: these are weights of another network: {len(lacking)} tensors are missing, "
            f"{len(strange)} unknown, {len(other)} of another shape (first {wrong[0]}); only {head} may differ"
        )
    network.load_state_dict({**own, **{name: found[name] for name in own if name not in other}})


@functools.lru_cache(maxsize=1)
def _tensors(path: str, sha256: str) -> dict[str, Tensor]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MachineError(f"learner.pretrained={path}: it cannot be read: {reason(error)}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise MachineError(f"learner.pretrained={path}: it is not the file that the run began with")
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load

            found: Any = load(data)
        else:
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return _named(found)
    except Exception as error:  # a dozen types
        told = " ".join(str(error).split())[:160]
        raise SettingError(
            f"learner.pretrained={path}: must be .safetensors, or tensors by name that torch.save wrote: {told}"
        ) from error


def _named(found: Any) -> dict[str, Tensor]:
    for key in WRAPPED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError("it holds something else")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}

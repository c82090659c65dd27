"""Lack of memory is the machine's failure, whoever meets it."""

from __future__ import annotations

import torch

from firerl.engine.base import MachineFailure


def raise_if_out_of_memory(error: BaseException, who: str) -> None:
    """Raise MachineFailure if ``error``, met by ``who``, means that."""
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
    if on_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError):
        raise MachineFailure(f"{who} ran out of memory: {error}") from error

"""Whose failure it is: what the machine is to blame for, such as a lack of memory, is no part of a run's result."""

from __future__ import annotations

import torch

from firerl.engine.base import MachineFailure
from firerl.errors import MachineError


def raise_if_the_machine_failed(error: BaseException, who: str) -> None:
    """Raise MachineFailure if ``error``, met by ``who``, is the machine's."""
    if isinstance(error, MachineError):
        raise MachineFailure(f"{who}: {error}") from error
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
    if on_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError):
        raise MachineFailure(f"{who} ran out of memory: {error}") from error

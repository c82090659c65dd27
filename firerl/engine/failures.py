"""Whose failure it is: what the machine is to blame for, such as a lack of memory, is no part of a run's result."""

from __future__ import annotations

from firerl.engine import devices
from firerl.engine.base import MachineFailure
from firerl.errors import MachineError


def raise_if_the_machine_failed(error: BaseException, who: str, device: str = "cpu", advice: str = "") -> None:
    """Raise MachineFailure if ``error``, met by ``who``, is the machine's. ``advice``: what to do on a full device."""
    said = " ".join(str(error).split())
    if isinstance(error, MachineError):
        raise MachineFailure(f"{who}: {said}") from error
    if devices.is_out_of_memory(error):
        told = f"{advice} ({said})" if advice else said
        raise MachineFailure(f"{who} ran out of memory of {device}: {told}") from error
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in said
    if on_cpu or isinstance(error, MemoryError):
        raise MachineFailure(f"{who} ran out of memory: {said}", memory=True) from error
    if devices.is_broken(error):
        raise MachineFailure(f"{device} failed under {who}: {said}") from error

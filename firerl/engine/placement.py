"""Which worker lives in which process, and which process computes on which device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def process_of(worker: int, processes: int) -> int:
    """The process that hosts ``worker``."""
    return worker % processes


def device_of(process: int, devices: Sequence[str]) -> str:
    """The device that ``process`` computes on: processes take the devices in turn."""
    return devices[process % len(devices)]


def usual_processes(devices: Sequence[str], cores: int) -> int:
    """How many processes keep ``devices`` busy: one a GPU, which one process fills; on the CPU one a core."""
    return cores if devices[0].startswith("cpu") else len(devices)


def by_process(
    items: Iterable[T], processes: int, worker: Callable[[T], int] = attrgetter("worker")
) -> dict[int, list[T]]:
    """Items by the process that hosts the ``worker`` of each, in their order."""
    split: dict[int, list[Any]] = {}
    for item in items:
        split.setdefault(process_of(worker(item), processes), []).append(item)
    return split

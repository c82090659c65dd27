"""Which worker lives in which process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def process_of(worker: int, processes: int) -> int:
    """The process that hosts ``worker``."""
    return worker % processes


def by_process(
    items: Iterable[T], processes: int, worker: Callable[[T], int] = attrgetter("worker")
) -> dict[int, list[T]]:
    """Items by the process that hosts the ``worker`` of each, in their order."""
    split: dict[int, list[Any]] = {}
    for item in items:
        split.setdefault(process_of(worker(item), processes), []).append(item)
    return split

"""Which worker lives in which process, which workers train as one, which process computes on which device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Of a worker's next interval its own process computes the ``first`` chunks, ``process`` the ``last`` ones."""

    process: int
    first: int
    last: int


@dataclass(frozen=True)
class Placement:
    """``stacked`` workers with consecutive ids are a group: they train as one, so they live in one process.

    Workers that are to be ``alone`` have a process each, after the others. Groups live in turn in the processes, but
    for those that were ``moved``. Workers that are ``shared`` go to and fro between two processes, one way an interval.
    """

    processes: int  # for all that are not alone
    stacked: int = 1
    alone: tuple[int, ...] = ()
    moved: Mapping[int, int] = field(default_factory=dict)  # a group's process, where it is another
    shared: Mapping[int, Share] = field(default_factory=dict)  # by worker, none of a group of several

    @property
    def all_processes(self) -> int:
        """Those of the workers that are alone, too."""
        return self.processes + len(self.alone)

    def group_of(self, worker: int) -> int:
        """The group of ``worker``."""
        return worker // self.stacked

    def process_of(self, worker: int) -> int:
        """The process that hosts ``worker``."""
        if worker in self.alone:
            return self.processes + self.alone.index(worker)
        return self.home(self.group_of(worker))

    def home(self, group: int) -> int:
        """The process of ``group``, but for those of it that are alone."""
        return self.moved.get(group, group % self.processes)

    def split_shared(self, orders: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Those of ``orders`` to advance that two processes share, and the others."""
        split: tuple[list[Any], list[Any]] = ([], [])
        for order in orders:
            split[order.worker not in self.shared or order.died is not None].append(order)
        return split

    def gone_on(self, workers: Iterable[int]) -> Placement:
        """After an interval of these workers, which are shared: each lives where it ended, and goes back next."""
        moved, shared = dict(self.moved), dict(self.shared)
        for worker in workers:
            share = shared[worker]
            shared[worker] = Share(self.process_of(worker), share.last, share.first)
            moved[worker] = share.process
        return replace(self, moved=moved, shared=shared)

    def stands_for(self, process: int) -> int:
        """The process that hosts the same workers where none is alone: ``process`` computes on its device."""
        own = process - self.processes
        return process if own < 0 else self.home(self.group_of(self.alone[own]))

    def split(self, items: Iterable[T], worker: Callable[[T], int] = attrgetter("worker")) -> dict[int, list[T]]:
        """Items by the process that hosts the ``worker`` of each, in their order."""
        split: dict[int, list[Any]] = {}
        for item in items:
            split.setdefault(self.process_of(worker(item)), []).append(item)
        return split


def trips(before: Placement, after: Placement) -> Iterator[tuple[list[int], int, int]]:
    """Whose process changes: the workers of a group (not those that are alone), the old process and the new one."""
    for group in sorted(after.moved):
        old, new = before.home(group), after.home(group)
        if old != new:
            members = range(group * after.stacked, (group + 1) * after.stacked)
            yield [worker for worker in members if worker not in after.alone], old, new


def group_count(workers: int, stacked: int) -> int:
    """How many groups so many workers are: no more processes have work. The last may have slots without a worker."""
    return -(-workers // stacked)


IDLE_WORTH_A_WORD = 0.15


def poor_fit(processes: int, workers: int, stacked: int, chunked: bool = False) -> str:
    """One line where much of the time is idle, since workers or groups do not go evenly into processes; else "".

    ``chunked``: processes share workers."""
    count = group_count(workers, stacked)
    if stacked > 1 and processes > count:
        return (
            f"learner.stacked={stacked}: {workers} workers are {count} group{'s' * (count > 1)}, each in one process: "
            f"{count} of {processes} processes are used"
        )
    turns = -(-count // processes)  # what the fullest process computes, one after the other
    idle = 1 - count / (processes * turns)
    if turns == 1 or idle < IDLE_WORTH_A_WORD or (chunked and stacked == 1):
        return ""
    units = f"{workers} workers" if stacked == 1 else f"{count} groups of workers"
    sharing = "with chunk= (a part of eval_interval) processes share workers; " if stacked == 1 else ""
    return (
        f"{units} in {processes} processes leave {idle:.0%} of their time idle; {sharing}with engine.processes={count} "
        f"the operating system shares the cores evenly, where memory suffices for {count} processes"
    )


def device_of(process: int, devices: Sequence[str]) -> str:
    """The device that ``process`` computes on: processes take the devices in turn."""
    return devices[process % len(devices)]


def usual_processes(devices: Sequence[str], cores: int) -> int:
    """How many processes keep ``devices`` busy: one a GPU, which one process fills; on the CPU one a core."""
    return cores if devices[0].startswith("cpu") else len(devices)

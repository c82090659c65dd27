"""Processes that advance workers, event by event: how long an interval takes, told to a Balance as an engine does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from firerl.engine.balance.balance import Balance
from firerl.engine.interface import Advance, Outcome
from firerl.engine.placement import Placement


@dataclass
class Machine:
    """Worker w trains ``train[w]`` and evaluates ``evaluate[w]`` seconds in a process of slowness 1."""

    train: Sequence[float]
    evaluate: Sequence[float]
    slowness: Sequence[float]
    trip: float = 0.0  # seconds of packing, and of unpacking
    chunks: int = 10
    chunk: int | None = 1
    intervals: int = 3  # between two readies
    placement: Placement = field(init=False)
    balance: Balance = field(init=False)

    def __post_init__(self) -> None:
        self.placement, self.balance = Placement(len(self.slowness)), Balance(self.chunk)

    def interval(self) -> float:
        """Seconds of one interval of all workers."""
        self.balance.asked([Advance(0, self.chunks, 0)])
        now, queues = self.placement, [list[tuple[str, int]]() for _ in self.slowness]
        workers = range(len(self.train))
        for kind in ("begin", "whole"):
            for worker in workers:
                if (worker in now.shared) == (kind == "begin"):
                    queues[now.process_of(worker)].append((kind, worker))
        events = [(0.0, process) for process in range(len(queues))]  # when each is free
        idle, begun, end = set[int](), dict[int, float](), 0.0
        while events:
            time, process = heappop(events)
            end = max(end, time)
            if not queues[process]:
                idle.add(process)
                continue
            kind, worker = queues[process].pop(0)
            pace, share = self.slowness[process], now.shared.get(worker)
            seconds = self.train[worker] * pace
            if kind == "arrive":
                queues[share.process].append(("finish", worker))
                if share.process in idle:
                    idle.discard(share.process)
                    heappush(events, (time, share.process))
                heappush(events, (time, process))
                continue
            if kind == "begin":
                begun[worker] = seconds * share.first / self.chunks
                queues[process].insert(0, ("arrive", worker))
                heappush(events, (time + begun[worker] + self.trip, process))
                continue
            if kind == "finish":
                seconds = seconds * share.last / self.chunks
            evaluate = self.evaluate[worker] * pace
            first, trip = (begun[worker], self.trip) if kind == "finish" else (0.0, 0.0)
            told = Outcome(
                worker,
                train_seconds=first + seconds,
                evaluate_seconds=evaluate,
                begun_seconds=first,
                trip_seconds=trip,
            )
            self.balance.hear(now, told)
            heappush(events, (time + trip + seconds + evaluate, process))
        self.placement = now.gone_on(now.shared)
        self.balance.waited(end)
        return end

    def ready(self) -> list[float]:
        """The intervals up to a ready, then the balancing."""
        seconds = [self.interval() for _ in range(self.intervals)]
        self.placement = self.balance.after(self.placement)
        return seconds

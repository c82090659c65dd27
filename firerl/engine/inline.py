"""All learners in this process, one after the other: for tests, debugging, and breakpoints inside a learner."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from firerl.engine.base import Advance, Create, Done, Interval, LearnerSpec, Load, Outcome, Saved, Transfer
from firerl.engine.host import Host
from firerl.engine.parcels import unpack


class InlineEngine:
    """An engine without processes; see ``firerl.engine.base.Engine``.

    torch and BLAS run with one thread in the whole process from here on, also after ``close``.
    """

    processes = 1
    outdated = False

    def __init__(self, spec: LearnerSpec):
        self._host = Host(spec)
        self._begun: list[Interval] = []  # at most one

    def now(self) -> float:
        return time.perf_counter()

    def create(self, orders: Sequence[Create]) -> None:
        self._host.create(orders)

    def load(self, orders: Sequence[Load]) -> None:
        self._host.load(orders)

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []

        for outcome in self._host.advance(orders):
            outcomes.append(outcome)
            on_outcome(outcome)
        return sorted(outcomes, key=lambda outcome: outcome.worker)

    def transfer(self, orders: Sequence[Transfer]) -> None:
        for order in orders:
            self._host.transfer(order)

    def weights(self, worker: int) -> Any:
        return unpack(worker, self._host.weights([worker])[worker])

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        return self._host.save(folder, prefix, sorted(workers))

    def balance(self) -> int:
        return 0

    def process_of(self, worker: int) -> int:
        return 0

    def begin(self, order: Interval) -> None:
        self._begun.append(order)

    def next(self) -> Done:
        return self._host.interval(self._begun.pop())

    def close(self) -> None:
        """Nothing runs, so nothing is stopped."""

    def __enter__(self) -> InlineEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

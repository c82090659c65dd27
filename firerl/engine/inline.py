"""All learners in this process, one after the other: for tests, debugging, and breakpoints inside a learner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from firerl.engine.failures import Failure
from firerl.engine.host import descendants
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, Done, Interval, LearnerSpec, Load, Outcome, Saved, Transfer
from firerl.engine.parcels import unpack


class InlineEngine:
    """An engine without processes; see ``firerl.engine.interface.Engine``.

    torch and BLAS run with one thread in the whole process from here on, also after ``close``.
    """

    processes = 1
    outdated = False

    def __init__(self, spec: LearnerSpec):
        self._mark = descendants.new_mark()
        self._host = Host(spec)
        self._begun: list[Interval] = []  # at most one

    def now(self) -> float:
        return time.perf_counter()

    def create(self, orders: Sequence[Create]) -> None:
        with descendants.marked(self._mark):
            self._host.create(orders)

    def load(self, orders: Sequence[Load]) -> None:
        with descendants.marked(self._mark):
            self._host.load(orders)

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []

        with descendants.marked(self._mark):
            for outcome in self._host.advance(orders):
                outcomes.append(outcome)
                on_outcome(outcome)
        return sorted(outcomes, key=lambda outcome: outcome.worker)

    def transfer(self, orders: Sequence[Transfer]) -> None:
        with descendants.marked(self._mark):
            for order in orders:
                self._host.transfer(order)

    def weights(self, worker: int) -> Any:
        with descendants.marked(self._mark):
            return unpack(worker, self._host.weights([worker])[worker])

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        with descendants.marked(self._mark):
            return self._host.save(folder, prefix, sorted(workers))

    def balance(self) -> int:
        return 0

    def report(self, hyperparameters: Mapping[str, Any], seed: int, weights: bytes) -> dict[str, float] | Failure:
        """As ``Host.report``."""
        with descendants.marked(self._mark):
            return self._host.report(hyperparameters, seed, weights)

    def process_of(self, worker: int) -> int:
        return 0

    def begin(self, order: Interval) -> None:
        self._begun.append(order)

    def next(self) -> Done:
        with descendants.marked(self._mark):
            return self._host.interval(self._begun.pop())

    def close(self) -> None:
        """Nothing runs, so nothing is stopped but what learners have started."""
        descendants.end(self._mark)

    def __enter__(self) -> InlineEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

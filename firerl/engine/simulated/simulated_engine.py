"""Learners in this process, time as if they were in many: virtual time instead of real time.

What is learned and decided is what every engine gives, to the last bit; only the clock is another. Its model: worker w
has a speed of its own; a process does its share of a request one worker or group after the other, all processes at
once, and who is done waits for the last. What the controller does itself (decisions, the journal) takes as long as it
takes.

Where nobody waits (``begin``, ``next``) each process has a time of its own, and the controller's own work takes none:
who is done first, and with it the whole run, is a function of the seed and the costs where all costs are given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from heapq import heappop, heappush
from pathlib import Path
from time import perf_counter
from typing import Any

from firerl.base.seeding import Purpose, generator
from firerl.engine.balance.balance import MOVE_SECONDS, Balance
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Costs, Create, Done, Interval, LearnerSpec, Load, Outcome, Saved, Transfer
from firerl.engine.local.sharing import Trip, ends
from firerl.engine.parcels import unpack
from firerl.engine.placement import Placement, Share, trips


class SimulatedEngine:
    """An engine of ``processes`` simulated processes; see ``firerl.engine.interface.Engine``.

    Building and loading learners takes no virtual time: it happens once. A failed worker has taken the time of a whole
    interval where that is given. Files need no fsync: a power failure costs a simulation, no training.
    """

    outdated = False

    def __init__(self, spec: LearnerSpec, processes: int, costs: Costs):
        self.processes = processes
        self._placement = Placement(processes, spec.stacked)
        self._host = Host(spec, durable=False)
        self._costs = costs
        self._speeds: dict[int, float] = {}
        self._balance = Balance(spec.chunk)
        self._ahead = 0.0  # seconds of virtual over real time
        self._still: tuple[float, float] | None = None  # at the first ``begin``, and virtual seconds since
        self._under_way: list[tuple[float, int, Done]] = []  # a heap: when it is done, its worker

    def now(self) -> float:
        return perf_counter() + self._ahead if self._still is None else sum(self._still)

    def speed(self, worker: int) -> float:
        """How much faster than the mean this worker trains and evaluates, as a factor."""
        if worker not in self._speeds:
            half = self._costs.speed_spread / 2
            draw = generator(self._costs.seed, Purpose.SPEED, worker).uniform(1 - half, 1 + half)
            self._speeds[worker] = draw if half else 1.0
        return self._speeds[worker]

    def create(self, orders: Sequence[Create]) -> None:
        with self._busy():
            self._host.create(orders)

    def load(self, orders: Sequence[Load]) -> None:
        with self._busy():
            self._host.load(orders)

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        steps = {order.worker: order.steps for order in orders}
        self._balance.asked(orders)
        own, shared = [0.0] * self.processes, list[Trip]()
        with self._busy() as busy:
            for outcome in self._host.advance(orders):
                timed = self._timed(outcome, steps[outcome.worker])
                if (share := self._placement.shared.get(timed.worker)) is None:
                    own[self._placement.process_of(timed.worker)] += timed.train_seconds + timed.evaluate_seconds
                else:
                    timed, trip = self._shared(timed, share)
                    shared.append(trip)
                outcomes.append(timed)
                self._balance.hear(self._placement, timed)
                on_outcome(timed)
            busy.update(enumerate(ends(own, shared)))
            self._balance.waited(max(busy.values()))
        self._placement = self._placement.gone_on(w for w in sorted(steps) if w in self._placement.shared)
        return sorted(outcomes, key=lambda outcome: outcome.worker)

    def _shared(self, outcome: Outcome, share: Share) -> tuple[Outcome, Trip]:
        """An interval that two processes share: where the worker lives begins it."""
        trip = _given(self._costs.seconds_per_copy, MOVE_SECONDS)
        first = outcome.train_seconds * share.first / (share.first + share.last)
        last = outcome.train_seconds - first + outcome.evaluate_seconds
        home = self._placement.process_of(outcome.worker)
        return replace(outcome, begun_seconds=first, trip_seconds=trip), Trip(
            home, share.process, first + trip, last + trip
        )

    def transfer(self, orders: Sequence[Transfer]) -> None:
        with self._busy() as busy:
            for order in orders:
                begun = perf_counter()
                self._host.transfer(order)
                if order.moves:
                    taken = _given(self._costs.seconds_per_copy, perf_counter() - begun)
                    busy[self._placement.process_of(order.target)] += taken

    def weights(self, worker: int) -> Any:
        return unpack(worker, self._host.weights([worker])[worker])

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        saved: list[Saved | Outcome] = []
        with self._busy() as busy:
            for worker in sorted(workers):
                begun = perf_counter()
                saved += (files := self._host.save(folder, prefix, [worker]))
                taken = _given(self._costs.seconds_per_save, perf_counter() - begun) if files else 0.0
                busy[self._placement.process_of(worker)] += taken
        return saved

    def balance(self) -> int:
        after, moved = self._balance.after(self._placement), 0
        with self._busy() as busy:
            for workers, old, new in trips(self._placement, after):
                for process in (old, new):
                    busy[process] += _given(self._costs.seconds_per_copy, MOVE_SECONDS)
                moved += len(workers)
        self._placement = after
        return moved

    def process_of(self, worker: int) -> int:
        return self._placement.process_of(worker)

    def begin(self, order: Interval) -> None:
        self._still = self._still or (self.now(), 0.0)
        begun = perf_counter()
        done = self._host.interval(order)
        outcome = self._timed(done.outcome, order.advance.steps)
        extra = perf_counter() - begun - done.outcome.train_seconds - done.outcome.evaluate_seconds
        taken = outcome.train_seconds + outcome.evaluate_seconds
        taken += _given(self._costs.seconds_per_copy, 0.0) if order.weights is not None else 0.0
        taken += _given(self._costs.seconds_per_save, max(0.0, extra)) if done.saved else 0.0
        heappush(self._under_way, (self._still[1] + taken, outcome.worker, replace(done, outcome=outcome)))

    def next(self) -> Done:
        assert self._still is not None
        now, _, done = heappop(self._under_way)
        self._still = (self._still[0], now)
        return done

    def close(self) -> None:
        """Nothing runs, so nothing is stopped."""

    def _timed(self, outcome: Outcome, steps: int) -> Outcome:
        """The outcome with the seconds that it has taken in virtual time."""
        train = None if self._costs.seconds_per_step is None else self._costs.seconds_per_step * steps
        return replace(
            outcome,
            train_seconds=_given(train, outcome.train_seconds) / self.speed(outcome.worker),
            evaluate_seconds=_given(self._costs.seconds_per_evaluation, outcome.evaluate_seconds)
            / self.speed(outcome.worker),
        )

    @contextmanager
    def _busy(self) -> Iterator[defaultdict[int, float]]:
        """Seconds by process: what happens inside takes as long as the busiest, not as long as it takes here."""
        begun, busy = perf_counter(), defaultdict[int, float](float)
        yield busy
        self._ahead += max(busy.values(), default=0) - (perf_counter() - begun)


def _given(seconds: float | None, measured: float) -> float:
    """A cost of the settings; what was measured where they have none."""
    return measured if seconds is None else seconds

"""The life of every worker of a run, put together from its journal: what explain, report and compare tell from.

A *stretch* is a worker's life between two replacements of its weights; a *measurement* is what an evaluator did from
its start to its end, with the two curves that its verdict was given on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from firerl.config.run_config import RunConfig
from firerl.evolution.population import (
    Copy,
    Decision,
    Evaluation,
    Fail,
    Promote,
    Report,
    Set,
    StartEvaluator,
    State,
    StopEvaluator,
    Values,
    Worker,
    contenders,
)
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal, reading
from firerl.storage.journal.recorded_config import config_of

RUNNING, PROMOTION = "running", "promotion"  # outcomes besides the reasons of StopEvaluator


@dataclass
class Stretch:
    """A worker's life between two replacements of its weights. Steps are the worker's own."""

    worker: int
    origin: str  # initial, copy, promotion; of an evaluator: evaluator
    source: int | None  # whose weights it began with: the donor, the promoted evaluator, the evaluated parent
    start: int
    network_step: int  # training steps behind the network at ``start``
    settings: list[tuple[int, Values]]  # (from step, hyperparameters), in order; the first is from ``start``
    steps: list[int] = field(default_factory=list)  # of the objectives
    objectives: list[float] = field(default_factory=list)
    metrics: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)  # (step, what train() returned)
    end: int | None = None  # None: it goes on
    failure: tuple[int, str] | None = None  # (step, exception's type or NaN)
    before: int | None = None  # index of the stretch, among the source's, that its weights come from


@dataclass(frozen=True)
class Leg:
    """A part of a network's past: its training in one stretch, from ``start`` to ``end`` in that worker's steps."""

    stretch: Stretch
    start: int
    end: int


@dataclass(frozen=True)
class Measurement:
    """An evaluator's work from start to end: ``parent``'s weights trained with ``child``'s hyperparameters."""

    evaluator: int
    parent: int
    child: int
    start: int  # the evaluator's own step
    network_step: int  # of the parent's network at the start
    hyperparameters: Values
    end: int | None = None  # None: it goes on
    outcome: str = RUNNING  # running, promotion, or the reason of the stop
    points: int | None = None  # in the overlap; without overlap, of the evaluator; None while it runs
    best_score_diff: float | None = None  # None: no verdict was asked for
    p_value: float | None = None
    eta: tuple[float, ...] = ()  # the evaluator's curve at the end, or so far
    rho: tuple[float, ...] = ()  # the child's curve then


@dataclass(frozen=True)
class History:
    """A run up to its last committed generation."""

    initial: State
    points: Sequence[Point]  # evaluation points, in order
    stretches: Mapping[int, Sequence[Stretch]]  # by worker, in order; an idle evaluator has none that goes on
    measurements: Sequence[Measurement]  # by their start
    curves: Mapping[
        int, tuple[float, ...]
    ]  # as they stand after the last decision; a promoted child's is its evaluator's
    steps: Mapping[int, int]  # that every worker has reached, after the last decision

    @property
    def step(self) -> int:
        """The largest step that a member has reached: an evaluator may be further where nobody waits."""
        return max((self.steps[w.id] for w in self.initial.workers if not w.is_evaluator), default=0)

    @property
    def died(self) -> bool:
        """As ``extinct``, of the last state."""
        return all(self.stretches[w.id][-1].failure for w in contenders(self.initial))

    @property
    def decisions(self) -> list[Decision]:
        """All decisions, in order."""
        return [decision for point in self.points for decision in point.decisions]

    def ancestry(self, worker: int) -> list[Leg]:
        """The past of the network that ``worker`` holds, or held last, oldest first; legs of no steps are left out.

        The network's own steps behind a leg's place s are ``stretch.network_step + s - stretch.start``.
        """
        legs: list[Leg] = []
        if not self.stretches[worker]:
            return legs  # an evaluator that never started
        stretch = self.stretches[worker][-1]
        end = self.steps[worker] if stretch.end is None else stretch.end
        while True:
            if end > stretch.start:
                legs.append(Leg(stretch, stretch.start, end))
            if stretch.source is None or stretch.before is None:
                return legs[::-1]
            source = self.stretches[stretch.source][stretch.before]
            end = source.start + stretch.network_step - source.network_step
            stretch = source


def read(journal: Journal) -> tuple[RunConfig, History]:
    """Settings and history of a run at one moment, also while it goes on. Raises RunFolderError where it is damaged."""
    with reading(journal.run_dir), journal.moment():
        return gather(journal)


def gather(journal: Journal) -> tuple[RunConfig, History]:
    """As ``read``, for whoever holds the moment and is ``reading``."""
    config = config_of(journal)
    return config, tell(journal.initial_state(), journal.points())


def result_of(journal: Journal) -> Mapping[str, Any] | None:
    """What ``result.json`` beside the journal holds, of its last generation; None: the run has not finished."""
    with reading(journal.run_dir):
        return journal.result()


def tell(initial: State, points: Iterable[Point]) -> History:
    """The history that these reports and decisions make, from the first population on."""
    teller = Teller(initial)
    kept = []
    for point in points:
        kept.append(point)
        teller.tell(point)
    measurements = list(teller.measurements)
    for index in teller.open.values():
        running = measurements[index]
        measurements[index] = replace(running, eta=teller.curves[running.evaluator], rho=teller.curves[running.child])
    return History(initial, kept, teller.stretches, measurements, teller.curves, teller.steps)


@dataclass(frozen=True)
class Moment:
    """A population right after the decisions of one evaluation point."""

    point: Point
    curves: Mapping[int, tuple[float, ...]]  # by worker
    failed: frozenset[int]  # who rests


def moments(history: History) -> Iterator[Moment]:
    """The population after each evaluation point, in order."""
    teller = Teller(history.initial)
    for point in history.points:
        teller.tell(point)
        failed = frozenset(w for w, lives in teller.stretches.items() if lives and lives[-1].failure)
        yield Moment(point, dict(teller.curves), failed)


class Teller:
    """The history so far: ``hear`` a point's reports, then ``apply`` its decisions in order."""

    def __init__(self, initial: State):
        self.initial = initial
        self.curves: dict[int, tuple[float, ...]] = {w.id: () for w in initial.workers}
        self.steps: dict[int, int] = {w.id: w.step for w in initial.workers}
        self.stretches: dict[int, list[Stretch]] = {w.id: [] for w in initial.workers}
        self.measurements: list[Measurement] = []
        self.open: dict[int, int] = {}  # evaluator -> index of its measurement
        for worker in initial.workers:
            if not worker.is_evaluator:
                self.stretches[worker.id] = [Stretch(worker.id, "initial", None, 0, 0, [(0, worker.hyperparameters)])]

    def tell(self, point: Point) -> None:
        """All of a point."""
        for report in point.reports:
            self.hear(report)
        judged = dict(self.curves)  # all verdicts of a point are given on the curves as they stand before them
        for decision in point.decisions:
            self.apply(decision, judged)

    def workers(self) -> dict[int, Worker]:
        """The workers as they stand, as far as histories know them: what fitness and winners are computed from."""
        made = {}
        for w in self.initial.workers:
            last = self.stretches[w.id][-1] if self.stretches[w.id] else None
            running = self.measurements[self.open[w.id]] if w.id in self.open else None
            made[w.id] = replace(
                w,
                hyperparameters={} if last is None or (w.is_evaluator and not running) else last.settings[-1][1],
                step=self.steps[w.id],
                network_step=0 if last is None else last.network_step + self.steps[w.id] - last.start,
                curve=self.curves[w.id],
                evaluation=Evaluation(running.parent, running.child, running.start) if running else None,
                failed=last is not None and last.failure is not None,
            )
        return made

    def hear(self, report: Report) -> None:
        self.steps[report.worker] = report.step
        if report.failure is not None:
            return
        stretch = self.stretches[report.worker][-1]
        stretch.metrics.append((report.step, report.metrics))
        if report.objective is not None:
            stretch.steps.append(report.step)
            stretch.objectives.append(report.objective)
            self.curves[report.worker] += (report.objective,)

    def apply(self, decision: Decision, judged: Mapping[int, tuple[float, ...]]) -> None:
        if isinstance(decision, Copy):
            settings = decision.hyperparameters
            self._begin(decision.worker, "copy", decision.donor, decision.step, decision.network_step, settings)
        elif isinstance(decision, StartEvaluator):
            self._start(decision)
        elif isinstance(decision, Promote | StopEvaluator):
            self._end(decision, judged)
        elif isinstance(decision, Set):
            self.stretches[decision.worker][-1].settings.append((decision.step, decision.hyperparameters))
        elif isinstance(decision, Fail):
            self.stretches[decision.worker][-1].failure = (decision.step, decision.failure)

    def _begin(self, worker: int, origin: str, source: int, step: int, network_step: int, settings: Values) -> None:
        before = len(self.stretches[source]) - 1
        self._close(worker, step)
        self.steps[worker] = step
        self.stretches[worker].append(
            Stretch(worker, origin, source, step, network_step, [(step, settings)], before=before)
        )
        self.curves[worker] = ()

    def _close(self, worker: int, step: int) -> None:
        if self.stretches[worker]:
            self.stretches[worker][-1].end = step

    def _start(self, begun: StartEvaluator) -> None:
        step, network_step, settings = begun.step, begun.network_step, begun.hyperparameters
        self._begin(begun.worker, "evaluator", begun.parent, step, network_step, settings)
        self.open[begun.worker] = len(self.measurements)
        self.measurements.append(Measurement(begun.worker, begun.parent, begun.child, step, network_step, settings))

    def _end(self, ended: Promote | StopEvaluator, judged: Mapping[int, tuple[float, ...]]) -> None:
        index = self.open.pop(ended.worker)
        self.measurements[index] = replace(
            self.measurements[index],
            end=ended.step,
            outcome=PROMOTION if isinstance(ended, Promote) else ended.reason,
            points=ended.points,
            best_score_diff=ended.best_score_diff,
            p_value=ended.p_value,
            eta=judged[ended.worker],
            rho=judged[ended.child],
        )
        if isinstance(ended, Promote):
            settings = self.stretches[ended.child][-1].settings[-1][1]
            step = self.steps[ended.child]  # asynchronous: not the evaluator's
            self._begin(ended.child, "promotion", ended.worker, step, ended.network_step, settings)
            self.curves[ended.child] = judged[ended.worker]
        self._close(ended.worker, ended.step)
        self.curves[ended.worker] = ()

"""The numbers that loggers are told of a run: per worker, per sub-population, and what evolution did."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from firerl.base.terminal import clean
from firerl.evolution.population import Copy, Decision, Promote, Set, StartEvaluator, State, StopEvaluator
from firerl.storage.generation import Point
from firerl.summary.tally import Tally, is_number


class Replay:
    """Follows a run point by point, live or out of the journal, and knows what every worker trains with.

    Where nobody waits (``sync`` false) a point is one report, and sub-populations are told by everybody's latest.
    """

    def __init__(self, initial: State, sync: bool = True):
        self.sync = sync
        self.latest: dict[int, float] = {}  # objectives since the last replacement, of members
        self.steps = {w.id: w.step for w in initial.workers if not w.is_evaluator}
        self.population = {w.id: w.population for w in initial.workers if not w.is_evaluator}
        self.evaluators = any(w.is_evaluator for w in initial.workers)
        self.values: dict[int, Mapping[str, Any]] = {w.id: w.hyperparameters for w in initial.workers}
        self.running: set[int] = set()
        self.tally = Tally()

    def scalars(self, point: Point) -> Iterator[tuple[str, float]]:
        """(tag, value) of one evaluation point; hyperparameters are those that led to its reports."""
        by_population: dict[int, list[float]] = {population: [] for population in self.population.values()}
        for report in point.reports:
            worker = f"worker-{report.worker:02}"
            if report.objective is not None and is_number(report.objective):
                yield f"{worker}/objective", report.objective
                if report.worker in self.population and report.failure is None:
                    by_population[self.population[report.worker]].append(report.objective)
                    self.latest[report.worker] = report.objective
            if report.worker in self.steps:
                self.steps[report.worker] = report.step
            numbers = {**report.metrics, **self.values[report.worker]}
            yield from (
                (f"{worker}/{clean(name)}", float(value)) for name, value in numbers.items() if is_number(value)
            )
        for population, objectives in by_population.items():
            if objectives and not self.sync:
                objectives = [value for w, value in self.latest.items() if self.population[w] == population]
            if objectives:
                yield f"P{population}/best", max(objectives)
                yield f"P{population}/median", statistics.median(objectives)
        self._apply(point)
        yield "evolution/copies", float(self.tally.copies)
        if self.evaluators:
            yield "evolution/evaluators_running", float(len(self.running))
            yield "evolution/evaluators_succeeded", float(self.tally.successes)
            yield "evolution/evaluators_stopped", float(self.tally.stops.total())

    def step(self, point: Point) -> int:
        """Where this point, the last that was told, stands: at its reports' step; at the members' mean step where
        nobody waits, which never goes back."""
        if self.sync:
            return max(report.step for report in point.reports)
        return sum(self.steps.values()) // len(self.steps)

    def _apply(self, point: Point) -> None:
        self.tally.add(point.decisions)
        for decision in point.decisions:
            self._follow(decision)

    def _follow(self, decision: Decision) -> None:
        if isinstance(decision, Copy):
            self.steps[decision.worker] = decision.step
            self.latest.pop(decision.worker, None)
        if isinstance(decision, Copy | StartEvaluator | Set):
            self.values[decision.worker] = decision.hyperparameters
        if isinstance(decision, StartEvaluator):
            self.running.add(decision.worker)
        elif isinstance(decision, Promote | StopEvaluator):
            self.running.discard(decision.worker)

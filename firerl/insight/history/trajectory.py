"""What a run had reached after every number of steps of its whole population, evaluators included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firerl.config.run_config import RunConfig, window_of
from firerl.evolution.exploit import last_mean
from firerl.evolution.population import Copy, Decision, StartEvaluator, Worker, contenders
from firerl.insight.history.history import History, Moment, moments
from firerl.storage.generation import Point

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """A run along its evaluation points [K]. What holds at a point holds until the next: nothing is interpolated."""

    steps: NDArray[np.int64]  # [K] of all workers together, members and evaluators
    evaluator_steps: NDArray[np.int64]  # [K] those of the evaluators among them
    best: Array  # [K] what winner() would call the winner's objective; NaN before the first
    median: Array  # [K] of the last objectives of healthy members, as reported, before any is replaced; NaN likewise
    evaluation_steps: Array  # [K] spent on evaluating alone, where the learner counts it; not among ``steps``
    decisions: tuple[tuple[Decision, ...], ...]  # [K]

    def index(self, budget: float) -> int:
        """The last point within a budget of steps; -1: not even the first is."""
        return int(np.searchsorted(self.steps, budget, side="right")) - 1

    def at(self, budgets: Array, values: Array) -> Array:
        """One of the rows above at several budgets [B]; NaN before the first point."""
        indices = np.searchsorted(self.steps, budgets, side="right") - 1
        return np.where(indices < 0, math.nan, values[np.maximum(indices, 0)])

    def area(self, start: float, end: float) -> float:
        """The mean of ``best`` over the steps from ``start`` to ``end``: the area under it, over its width."""
        inside = self.steps[(self.steps > start) & (self.steps < end)]
        edges = np.array([start, *inside, end], dtype=np.float64)
        if start >= end:
            return float(self.at(np.array([end]), self.best)[0])
        return float(np.sum(np.diff(edges) * self.at(edges[:-1], self.best)) / (end - start))


def trajectory(config: RunConfig, history: History) -> Trajectory:
    """The whole run. One report is one evaluation interval of its worker, failed or not."""
    window = window_of(config)
    workers = history.initial.workers
    members = [w.id for w in workers if not w.is_evaluator]
    rivals = contenders(history.initial)
    steps, by_evaluators, best, median, evaluation = [], [], [], [], []
    latest: dict[int, float] = {}
    spent = _EvaluationSteps()
    for moment in moments(history):
        reports = moment.point.reports
        steps.append(len(reports) * config.eval_interval)
        by_evaluators.append(sum(workers[r.worker].is_evaluator for r in reports) * config.eval_interval)
        for report in reports:
            if report.failure is not None:
                latest.pop(report.worker, None)
            elif report.objective is not None:
                latest[report.worker] = report.objective
        reported = [latest[w] for w in members if w in latest]
        median.append(float(np.median(reported)) if reported else math.nan)
        best.append(_best(rivals, moment, window))
        evaluation.append(spent.after(moment.point))
    return Trajectory(
        steps=np.cumsum(np.array(steps, dtype=np.int64)),
        evaluator_steps=np.cumsum(np.array(by_evaluators, dtype=np.int64)),
        best=_carried(np.array(best, dtype=np.float64)),
        median=_carried(np.array(median, dtype=np.float64)),
        evaluation_steps=np.array(evaluation, dtype=np.float64),
        decisions=tuple(tuple(point.decisions) for point in history.points),
    )


def _best(rivals: list[Worker], moment: Moment, window: int) -> float:
    """As ``firerl.evolution.winner.winner`` ranks: whoever has just been copied into has no curve."""
    scores = [last_mean(moment.curves[w.id], window) for w in rivals if w.id not in moment.failed]
    return max((score for score in scores if score is not None), default=math.nan)


class _EvaluationSteps:
    """The sum over workers of their learners' own counts; a fresh learner counts from 0."""

    def __init__(self) -> None:
        self.total = 0.0
        self.counts: dict[int, float] = {}

    def after(self, point: Point) -> float:
        for report in point.reports:
            count = report.metrics.get("evaluation_steps")
            if count is not None:
                self.total += count - self.counts.get(report.worker, 0.0)
                self.counts[report.worker] = count
        for decision in point.decisions:
            if isinstance(decision, Copy | StartEvaluator) and decision.fresh:
                self.counts.pop(decision.worker, None)
        return self.total


def _carried(values: Array) -> Array:
    """Where there is no value, the last one before."""
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    return np.where(last < 0, math.nan, values[last])

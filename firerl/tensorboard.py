"""A run in TensorBoard: per worker the objective, hyperparameters and metrics; per sub-population best and median.

``tensorboard/`` is outside the run's promises: it is made anew from the journal whenever a run goes on, so that a
crash leaves no point twice, and what is not in the journal (speed, shares of time) starts again with it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from firerl import durable
from firerl.config import RunConfig
from firerl.evolution.population import Copy, Decision, Promote, Set, StartEvaluator, State, StopEvaluator
from firerl.insight.tally import Tally, is_number
from firerl.journal_db import Journal, Point
from firerl.progress import Round, Silent


class TensorBoardObserver(Silent):
    """Writes one event a round, which holds all of its scalars: about 1 ms for 22 workers of 12 scalars."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._writer: Any = None

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.close()
        durable.clear_folder(self.folder)
        self._writer = EventFileWriter(str(self.folder), flush_secs=10)
        self._replay = Replay(journal.initial_state())
        for point in journal.points():
            self._write(max(report.step for report in point.reports), dict(self._replay.scalars(point)))

    def round_done(self, round: Round) -> None:
        if self._writer is None:
            return
        scalars = dict(self._replay.scalars(round.point))
        if round.seconds > 0:
            scalars["speed/steps_per_second"] = round.trained_steps / round.seconds
        scalars.update({f"time/{part}": share for part, share in round.parts.items()})
        self._write(round.step, scalars)

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with suppress(OSError):  # a full disk, say: nobody's run ends because of its pictures
                writer.close()

    def _write(self, step: int, scalars: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is None:
            return
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        try:
            self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        except OSError:
            self.close()


class Replay:
    """Follows a run point by point, live or out of the journal, and knows what every worker trains with."""

    def __init__(self, initial: State):
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
            numbers = {**report.metrics, **self.values[report.worker]}
            yield from ((f"{worker}/{name}", float(value)) for name, value in numbers.items() if is_number(value))
        for population, objectives in by_population.items():
            if objectives:
                yield f"P{population}/best", max(objectives)
                yield f"P{population}/median", statistics.median(objectives)
        self._apply(point)
        yield "evolution/copies", float(self.tally.copies)
        if self.evaluators:
            yield "evolution/evaluators_running", float(len(self.running))
            yield "evolution/evaluators_succeeded", float(self.tally.successes)
            yield "evolution/evaluators_stopped", float(self.tally.stops.total())

    def _apply(self, point: Point) -> None:
        self.tally.add(point.decisions)
        for decision in point.decisions:
            self._follow(decision)

    def _follow(self, decision: Decision) -> None:
        if isinstance(decision, Copy | StartEvaluator | Set):
            self.values[decision.worker] = decision.hyperparameters
        if isinstance(decision, StartEvaluator):
            self.running.add(decision.worker)
        elif isinstance(decision, Promote | StopEvaluator):
            self.running.discard(decision.worker)

"""What hyperparameters led to late in a run: the pieces of training in which a member kept its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from firerl.evolution.population import Values
from firerl.evolution.space import Dimension
from firerl.insight.report.lines import end_of
from firerl.insight.report.run import Run

LATE = 1 / 3  # of the steps so far


@dataclass(frozen=True)
class Piece:
    """Late training of one member with one set of hyperparameters."""

    run: str
    worker: int
    start: int  # steps of the worker
    end: int
    values: Values
    objective: float  # the mean of its evaluations


@dataclass(frozen=True)
class Pieces:
    """Those of one run, with what is needed to put runs together."""

    task: str
    dimensions: Sequence[Dimension]
    pieces: Sequence[Piece]


def late_pieces(run: Run, name: str) -> Pieces:
    """The pieces in the last third of the steps that the run has done so far. A piece without an evaluation is none."""
    begin = int(run.history.step * (1 - LATE))
    members = [worker.id for worker in run.workers if not worker.is_evaluator]
    return Pieces(
        run.config.task, run.space.dimensions, [p for member in members for p in _of_member(run, name, member, begin)]
    )


def _of_member(run: Run, name: str, member: int, begin: int) -> Iterator[Piece]:
    for stretch in run.history.stretches[member]:
        ends = [start for start, _ in stretch.settings[1:]] + [end_of(run, stretch)]
        measured = list(zip(stretch.steps, stretch.objectives, strict=True))
        for (start, values), end in zip(stretch.settings, ends, strict=True):
            start = max(start, begin)
            objectives = [y for step, y in measured if start < step <= end and np.isfinite(y)]
            if objectives:
                yield Piece(name, member, start, end, values, float(np.mean(objectives)))


def together(runs: Sequence[Pieces]) -> tuple[Sequence[Dimension], list[Piece]]:
    """The hyperparameters that all of these runs tune, and their pieces: of runs of one task."""
    if not runs:
        return [], []
    shared = set.intersection(*({d.name for d in run.dimensions} for run in runs))
    return [d for d in runs[0].dimensions if d.name in shared], [piece for run in runs for piece in run.pieces]

"""A population in a few numbers: what its sub-populations reach, what evolution has done so far."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firerl.evolution.population import Copy, Decision, Promote, Report, StartEvaluator, State, StopEvaluator, members


@dataclass
class Tally:
    """What evolution has done so far."""

    copies: int = 0
    starts: int = 0
    successes: int = 0
    stops: Counter[str] = field(default_factory=Counter)  # by reason

    def add(self, decisions: Iterable[Decision]) -> None:
        """Count these too."""
        for decision in decisions:
            self.copies += isinstance(decision, Copy)
            self.starts += isinstance(decision, StartEvaluator)
            self.successes += isinstance(decision, Promote)
            if isinstance(decision, StopEvaluator):
                self.stops[decision.reason] += 1


@dataclass(frozen=True)
class Summary:
    """One sub-population at one evaluation point."""

    population: int
    members: int
    best: float | None  # of the objectives reported at this point; None: there was none
    median: float | None
    hyperparameters: Mapping[str, Sequence[Any]]  # by name, the values of the members


def summaries(state: State, reports: Sequence[Report]) -> list[Summary]:
    """Every sub-population: what its members reported, and what they train with from now on."""
    objectives = {r.worker: r.objective for r in reports if r.failure is None and is_number(r.objective)}
    result = []
    for population in sorted({w.population for w in state.workers if not w.is_evaluator}):
        group = members(state, population)
        reported = [value for w in group if (value := objectives.get(w.id)) is not None]
        values: dict[str, list[Any]] = {}
        for worker in group:
            for name, value in worker.hyperparameters.items():
                values.setdefault(name, []).append(value)
        best, median = (max(reported), statistics.median(reported)) if reported else (None, None)
        result.append(Summary(population, len(group), best, median, values))
    return result


def running_evaluators(state: State) -> int:
    """How many evaluators are at work."""
    return sum(worker.evaluation is not None for worker in state.workers)


def is_number(value: Any) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

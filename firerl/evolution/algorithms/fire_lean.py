"""Lean FIRE: FIRE PBT with fewer evaluators; a parent that none of them measures ranks by its own curve.

Plain FIRE ranks a parent only while an evaluator runs on it, so a parent sub-population of six needs four evaluators
or so. Here a parent's own recent improvement counts beside what an evaluator sees of it: with 6 + 6 members and 2
evaluators no difference to FIRE with 8 + 8 + 6 was measured on the noisy quadratic (docs/lab/evidence-parts.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firerl.base.settings import setting
from firerl.evolution import curves
from firerl.evolution.algorithms import fire
from firerl.evolution.evaluators import Curve
from firerl.evolution.exploit import Workers
from firerl.evolution.population import Decision, Report, Setup, State

Curves = dict[int, NDArray[np.float64]]  # smooth, by member
arrange = fire.arrange


@dataclass(frozen=True)
class Settings(fire.Settings):
    """FIRE PBT's settings and one more."""

    prior: float = setting(1.0, "weight of a parent's own recent curve beside what an evaluator sees", above=0)


def validate(setup: Setup, settings: Settings) -> None:
    """As FIRE PBT, but one evaluator is enough for a parent sub-population."""
    fire.validate(setup, settings, all_ranked=True)


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point; see ``fire.decide``."""
    recent = settings.max_eval_steps // setup.eval_interval  # as many points as an evaluator may have

    def fitness(workers: Workers, made: Mapping[int, Curve], min_points: int) -> dict[int, float | None]:
        return parent_fitness(workers, made, min_points, settings.prior, recent)

    return fire.decide(setup, settings, state, reports, parents=fitness)


def parent_fitness(
    workers: Workers, made: Mapping[int, Curve], min_points: int, prior: float, recent: int
) -> dict[int, float | None]:
    """fitness(m) = seen(m) + prior x own(m), each the mean best_score_diff against the others that have such a curve.

    seen: of the evaluators' current curves; own: of the parents' last ``recent`` points. Means, not sums as in FIRE:
    so both weigh alike, and members with more rivals to compare with do not weigh more. A curve that is missing, or
    shorter than ``min_points``, counts 0; a parent without either has no fitness.
    """
    seen: dict[int, Curves] = {}
    own: dict[int, Curves] = {}
    for w in workers.values():
        if w.evaluation and len(w.curve) >= min_points:
            seen.setdefault(w.population, {})[w.evaluation.parent] = made[w.id].smooth
        elif not w.is_evaluator and w.population > 1 and not w.failed and len(w.curve) >= min_points:
            own.setdefault(w.population, {})[w.id] = curves.smooth(w.curve[-recent:])
    fitness: dict[int, float | None] = {}
    for population in sorted(seen.keys() | own.keys()):
        by_evaluators, by_themselves = (relative(kind.get(population, {}), min_points) for kind in (seen, own))
        for id in sorted(by_evaluators.keys() | by_themselves.keys()):
            fitness[id] = by_evaluators.get(id, 0.0) + prior * by_themselves.get(id, 0.0)
    return fitness


def relative(group: Curves, min_points: int) -> dict[int, float]:
    """Each curve's mean best_score_diff against the others; a single one is 0."""
    diffs = curves.best_score_diffs(list(group.values()), min_points) if group else np.zeros((0, 0))
    return {id: sum(row, 0.0) / max(1, len(group) - 1) for id, row in zip(group, diffs.tolist(), strict=True)}

"""Experiments: can FIRE PBT do with fewer evaluators? Variations of its rules, each a setting, off by default.

``algo=benchmarks.lean_ideas`` in benchmarks/quadratic.py; with all ideas off it is ``algo=fire``. What an idea changes
is one of the functions that ``fire.decide`` calls, replaced while it runs: fit for an experiment, not for the package.

- ``sequential``: Wald's sequential probability ratio test in the place of the sign test and its shrinking patience.
- ``prior``: a parent's fitness also counts how its own recent curve compares with the other parents', so that parents
  whom no evaluator measures are ranked too.
- ``memory``: what an evaluator saw of a parent counts on for so long after its end, for fitness alone.
- ``pick=information``: the parent whose measurement is worth most for knowing who is the best (knowledge gradient).
- ``reach``: measured parents whose evaluator stays wholly below its child rank last, by how high it gets. Without it
  nothing keeps a parent sub-population from the weights that improve fastest of all, the untrained ones.
- ``shared``: an idle evaluator serves whichever parent sub-population has waited longest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from firerl import curves
from firerl.evolution import evaluators, fire
from firerl.evolution.evaluators import Curve, best_score_diff
from firerl.evolution.exploit import Workers
from firerl.evolution.population import (
    Copy,
    Decision,
    Promote,
    Report,
    Setup,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)
from firerl.settings import setting

WIN, MISSED = 0.9, 0.05  # of the sequential test: chance that a real improver wins a pair; chance to stop it
BELOW = 1e6  # far more than any difference of objectives here

arrange, validate = fire.arrange, fire.validate


@dataclass(frozen=True)
class Settings(fire.Settings):
    """FIRE PBT's settings and the ideas."""

    sequential: bool = setting(False, "Wald's sequential test gives the verdicts")
    prior: float = setting(0.0, "weight of a parent's own recent curve in its fitness", minimum=0)
    memory: int = setting(0, "a finished evaluation counts for fitness for so long", "steps", minimum=0)
    pick: str = setting("turn", "whom to evaluate: turn (evaluator_pick), information", choices=("turn", "information"))
    reach: bool = setting(False, "parents whose evaluator stays below its child rank last, by its best")
    shared: bool = setting(False, "evaluators serve all parent sub-populations")


@dataclass(frozen=True)
class Parent(Worker):
    """A member that remembers what an evaluator last saw of it."""

    seen: tuple[float, ...] = ()  # the evaluator's curve
    seen_step: int = 0  # the member's own step then


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point; see ``fire.decide``."""
    ideas = Ideas(setup, settings, evaluators.verdict, evaluators.start, evaluators.improvement_fitness)
    state = replace(state, workers=tuple(_remembering(w) for w in state.workers))
    with ExitStack() as stack:
        for name, idea in (("improvement_fitness", ideas.fitness), ("verdict", ideas.verdict), ("start", ideas.start)):
            stack.enter_context(patch.object(evaluators, name, idea))
        after, decisions = fire.decide(setup, settings, state, reports)
    copied = {d.worker for d in decisions if isinstance(d, Copy)}
    workers = tuple(replace(w, seen=()) if w.id in copied else w for w in after.workers)  # other weights: forgotten
    return replace(after, workers=workers), decisions


def _remembering(w: Worker) -> Worker:
    return w if w.is_evaluator or isinstance(w, Parent) else Parent(**vars(w))


@dataclass(frozen=True)
class Ideas:
    """The replacements of three of fire's functions, for one decision."""

    setup: Setup
    settings: Settings
    plain_verdict: Any
    plain_start: Any
    plain_fitness: Any

    def fitness(self, workers: Workers, made: Mapping[int, Curve], min_points: int) -> dict[int, float | None]:
        """``prior`` and ``memory``. Without both, as in fire; with one, means instead of sums, so that both halves
        weigh alike and members with more rivals to compare with do not weigh more."""
        for w in list(workers.values()):
            if w.evaluation and len(w.curve) >= min_points:
                parent = workers[w.evaluation.parent]
                workers[parent.id] = replace(parent, seen=w.curve, seen_step=parent.step)  # type: ignore[call-arg]
        if not (self.settings.prior or self.settings.memory):
            return self._reaching(workers, made, dict(self.plain_fitness(workers, made, min_points)))
        members = [w for w in workers.values() if not w.is_evaluator]
        if len(self.setup.sizes) == 2 and not any(w.step - w.ready_step >= self.setup.ready_interval for w in members):
            return {}  # nobody asks before the next ready
        fitness: dict[int, float | None] = {}
        for population in range(2, len(self.setup.sizes) + 1):
            seen = _relative(self._seen(workers, population))
            own = _relative(self._own(workers, population)) if self.settings.prior else {}
            for id in seen.keys() | own.keys():
                fitness[id] = seen.get(id, 0.0) + self.settings.prior * own.get(id, 0.0)
        return self._reaching(workers, made, dict(sorted(fitness.items())))

    def _reaching(
        self, workers: Workers, made: Mapping[int, Curve], fitness: dict[int, float | None]
    ) -> dict[int, float | None]:
        """``reach``: parents whose evaluator is wholly below its child rank below all others, by how high it gets."""
        for w in workers.values() if self.settings.reach else ():
            if w.evaluation and fitness.get(w.evaluation.parent) is not None:
                eta, rho = made[w.id].smooth, made[w.evaluation.child].smooth
                if len(rho) and eta.max() < rho.min():
                    fitness[w.evaluation.parent] = float(eta.max()) - BELOW
        return fitness

    def _seen(self, workers: Workers, population: int) -> dict[int, Curve]:
        """What evaluators see of the parents in P(population), or saw within ``memory``."""
        measured = {w.evaluation.parent for w in workers.values() if w.evaluation}
        age = {w.id: 0 if w.id in measured else w.step - w.seen_step for w in _parents(workers, population)}
        return _curves({w.id: w.seen for w in _parents(workers, population) if age[w.id] <= self.settings.memory})

    def _own(self, workers: Workers, population: int) -> dict[int, Curve]:
        """The last points of the parents' own curves, as many as an evaluator may have."""
        points = self.settings.max_eval_steps // self.setup.eval_interval
        return _curves({w.id: w.curve[-points:] for w in _parents(workers, population)})

    def verdict(self, *arguments: Any, **options: Any) -> Promote | StopEvaluator | None:
        """``sequential``, on the pairs of the overlap; without one as in fire."""
        evaluator, eta, rho, child = arguments[-4:]
        shared = curves.overlap(eta.smooth, rho.smooth)
        evaluation, elapsed = evaluator.evaluation, evaluator.step - evaluator.evaluation.started
        if not self.settings.sequential or not shared or child.failed or elapsed >= self.settings.max_eval_steps:
            return self.plain_verdict(*arguments, **options)  # type: ignore[no-any-return]
        pairs = (
            eta.raw[shared.f : shared.f + shared.length] - rho.raw[shared.g : shared.g + shared.length]
        )  # ties count for neither
        ratio = np.sum(pairs > 0) * math.log(WIN / 0.5) + np.sum(pairs < 0) * math.log((1 - WIN) / 0.5)
        p = self.settings.significance
        difference = best_score_diff(eta, rho, self.settings.min_points)
        who = (evaluator.id, evaluation.parent, child.id, evaluator.step)
        if ratio >= math.log((1 - MISSED) / p) and difference > 0:
            return Promote(*who, evaluator.network_step, shared.length, difference, p)
        if ratio <= math.log(MISSED / (1 - p)):
            return StopEvaluator(*who, "no-improvement", shared.length, difference, 1.0)
        return None

    def start(
        self,
        setup: Setup,
        workers: Workers,
        evaluator: Worker,
        fitness: Mapping[int, float | None],
        explored: set[int],
        *rest: Any,
    ) -> StartEvaluator | None:
        """``shared`` and ``pick``: the rules of fire, offered another population or another first in the turn."""
        busy = {w.evaluation.parent for w in workers.values() if w.evaluation}
        free = {
            p: [w for w in _parents(workers, p) if w.id not in busy and w.id not in explored and not w.failed]
            for p in range(2, len(setup.sizes) + 1)
        }
        if self.settings.shared and any(free.values()):
            wait = {p: min(w.evaluated_point for w in group) for p, group in free.items() if group}
            population = min(wait, key=lambda p: (wait[p], len([w for w in _parents(workers, p) if w.id in busy])))
            evaluator = workers[evaluator.id] = replace(evaluator, population=population)
        offered = workers
        candidates = free[evaluator.population]
        if self.settings.pick == "information" and candidates:
            chosen = self._most_informative(workers, evaluator.population, candidates)
            offered = {**workers, chosen.id: replace(chosen, evaluated_point=-2)}
        return self.plain_start(setup, offered, evaluator, fitness, explored, *rest)  # type: ignore[no-any-return]

    def _most_informative(self, workers: Workers, population: int, candidates: Sequence[Worker]) -> Worker:
        """The candidate of the largest knowledge gradient: what its measurement is expected to add to the best.

        The belief about a parent is normal: its mean is what was last seen of it, 0 before; its deviation grows from 0
        at that moment to that of all parents' within ``max_eval_steps``.
        """
        parents = _parents(workers, population)
        means = _relative(_curves({w.id: w.seen for w in parents}))
        spread = float(np.std(list(means.values()))) if len(means) > 1 else 1.0

        def gradient(w: Worker) -> tuple[float, int]:
            age = (w.step - w.seen_step) / self.settings.max_eval_steps if w.id in means else 1.0  # type: ignore[attr-defined]
            deviation = max(spread * math.sqrt(min(1.0, age)), 1e-12)
            rival = max((means.get(other.id, 0.0) for other in parents if other.id != w.id), default=0.0)
            z = -abs(means.get(w.id, 0.0) - rival) / deviation
            density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            return deviation * (z * 0.5 * math.erfc(-z / math.sqrt(2)) + density), -w.evaluated_point

        return max(candidates, key=gradient)


def _parents(workers: Workers, population: int) -> list[Any]:
    return [w for w in workers.values() if w.population == population and not w.is_evaluator]


def _curves(points: Mapping[int, tuple[float, ...]]) -> dict[int, Curve]:
    """Those with enough points to be smoothed."""
    long = {id: np.asarray(curve) for id, curve in points.items() if len(curve) >= curves.MIN_POINTS}
    return {id: Curve(raw, curves.smooth(raw)) for id, raw in long.items()}


def _relative(by_id: Mapping[int, Curve]) -> dict[int, float]:
    """Each curve's mean best_score_diff against the others; a single one is 0."""
    return {
        id: sum(best_score_diff(curve, other, curves.MIN_POINTS) for m, other in by_id.items() if m != id)
        / max(1, len(by_id) - 1)
        for id, curve in by_id.items()
    }

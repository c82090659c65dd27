"""What evaluators decide: the fitness of parents, verdicts on running evaluations, who is evaluated next.

Dalibard & Jaderberg 2021, section 3: an evaluator trains a parent member's weights with a child member's
hyperparameters; given similar performance and similar hyperparameters, the network that improves faster ends up
better.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firerl.base.seeding import Purpose, generator
from firerl.base.settings import setting
from firerl.evolution import curves
from firerl.evolution.exploit import Workers, ranking
from firerl.evolution.population import Evaluation, Promote, Setup, StartEvaluator, StopEvaluator, Worker

SMOOTH: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "gp": curves.smooth,
    "mean": curves.running_mean,
    "none": np.copy,
}


@dataclass(frozen=True)
class EvaluatorSettings:
    """Whom evaluators measure, when they end and what a success brings."""

    max_eval_steps: int = setting(7200, "the longest time of an evaluation", "steps", minimum=1)
    significance: float = setting(0.01, "an evaluator succeeds if p of the sign test is below this", above=0, below=1)
    min_points: int = setting(4, "curves are compared on so many points at least", "evaluations", minimum=1)
    min_steps_before_eval: int = setting(0, "no parent that is younger is evaluated", "steps", minimum=0)
    smoothing: str = setting(
        "gp", "of curves: gp (Gaussian process), mean (running, 5 points), none", choices=[*SMOOTH]
    )
    binom_test: bool = setting(
        True, "evaluators must pass the sign test; false: a better best is a success, and only time ends the others"
    )
    patience: str = setting(
        "shrinking", "shrinking, or fixed: no stop by the sign test before time is up", choices=("shrinking", "fixed")
    )
    success_without_overlap: bool = setting(
        True, "an evaluator that lies wholly above its child succeeds; false: the curves must overlap"
    )
    evaluator_pick: str = setting(
        "least_recent",
        "the parent evaluated next: least_recent, most_recent, random",
        choices=("least_recent", "most_recent", "random"),
    )
    promotion: str = setting(
        "weights", "weights: a success replaces the child's; off: it only ends", choices=("weights", "off")
    )


@dataclass(frozen=True)
class Curve:
    """A worker's objectives and their smooth form, made once a decision. Shapes [n]."""

    raw: NDArray[np.float64]
    smooth: NDArray[np.float64]


def smoothed(workers: Sequence[Worker], smoothing: str = "gp") -> dict[int, Curve]:
    """The curves of these workers, by id."""
    if smoothing == "gp":
        curves.prepare(len(w.curve) for w in workers)
    return {w.id: _smoothed(np.asarray(w.curve, dtype=np.float64).tobytes(), smoothing) for w in workers}


@functools.lru_cache(maxsize=1024)
def _smoothed(points: bytes, smoothing: str) -> Curve:
    """Kept, since where nobody waits one curve grows and all others are as they were a moment ago."""
    raw = np.frombuffer(points)
    return Curve(raw, SMOOTH[smoothing](raw))


def best_score_diff(f: Curve, g: Curve, min_points: int) -> float:
    """How much better f's best is than g's, where they overlap or can be made to on ``min_points``."""
    return curves.best_score_diff(f.raw, g.raw, smooth_f=f.smooth, smooth_g=g.smooth, min_points=min_points)


def least_points(significance: float) -> int:
    """The fewest pairs at which a one-sided sign test can fall below ``significance``: 7 at 0.01."""
    n = 1
    while 0.5**n >= significance:
        n += 1
    return n


def improvement_fitness(workers: Workers, made: Mapping[int, Curve], min_points: int) -> dict[int, float | None]:
    """The fitness of parents: how well their weights train under the child's hyperparameters.

    fitness(m) = sum over the other members m' of the same sub-population with a current evaluator curve of
    best_score_diff(c(m), c(m')). A parent without a current evaluator curve of ``min_points`` has none.
    """
    current: dict[int, dict[int, Curve]] = {}  # population -> parent -> its evaluator's curve
    for worker in workers.values():
        if worker.evaluation and len(worker.curve) >= min_points:
            current.setdefault(worker.population, {})[worker.evaluation.parent] = made[worker.id]
    fitness: dict[int, float | None] = {}
    for by_parent in current.values():
        diffs = curves.best_score_diffs([curve.smooth for curve in by_parent.values()], min_points)
        fitness.update(zip(by_parent, (sum(row, 0.0) for row in diffs.tolist()), strict=True))
    return fitness


def verdict(
    settings: EvaluatorSettings, evaluator: Worker, eta: Curve, rho: Curve, child: Worker
) -> Promote | StopEvaluator | None:
    """Success, a stop (1, 2 or 4), or None: go on. ``eta`` is the evaluator's curve, ``rho`` the child's.

    A child that has failed is not judged: its next ready replaces it.
    """
    evaluation = evaluator.evaluation
    assert evaluation is not None
    elapsed = evaluator.step - evaluation.started  # T
    shared = curves.overlap(eta.smooth, rho.smooth)
    points = shared.length if shared else len(eta.raw)
    if child.failed or (points < settings.min_points and elapsed < settings.max_eval_steps):
        return None
    difference = best_score_diff(eta, rho, settings.min_points)
    p_value = curves.binom_test(eta.raw, rho.raw, smooth_f=eta.smooth, smooth_g=rho.smooth)
    success = _succeeds(settings, shared is not None, points, difference, p_value)
    who = (evaluator.id, evaluation.parent, child.id, evaluator.step)
    if success and settings.promotion == "weights":
        return Promote(*who, evaluator.network_step, points, difference, p_value)
    reason = "no-promotion" if success else _stop_reason(settings, shared is not None, elapsed, p_value)
    return StopEvaluator(*who, reason, points, difference, p_value) if reason else None


def _succeeds(settings: EvaluatorSettings, overlap: bool, points: int, difference: float, p_value: float) -> bool:
    """Whether the evaluator is better than its child, beyond the doubt that the settings allow."""
    needed = settings.min_points if overlap or not settings.binom_test else least_points(settings.significance)
    sure = not settings.binom_test or p_value < settings.significance
    return difference > 0 and sure and points >= needed and (overlap or settings.success_without_overlap)


def _stop_reason(settings: EvaluatorSettings, overlap: bool, elapsed: int, p_value: float) -> str | None:
    """Stops 1, 2 and 4; None: go on."""
    if overlap and settings.binom_test and p_value > patience(settings, elapsed):
        return "no-improvement"
    if elapsed < settings.max_eval_steps:
        return None
    return "timeout" if overlap else "no-overlap"


def patience(settings: EvaluatorSettings, elapsed: int) -> float:
    """The p-value above which an evaluator stops after T = ``elapsed`` steps.

    Shrinking: p + max(0, 1 - T / max_eval_steps). Fixed: p + 1 until the time is up, above any p-value, then p as
    well: the same last word without the early ones.
    """
    left = max(0.0, 1 - elapsed / settings.max_eval_steps)
    return settings.significance + (left if settings.patience == "shrinking" else float(left > 0))


def select_verdicts(
    verdicts: Sequence[Promote | StopEvaluator | None],
) -> tuple[list[Promote], list[StopEvaluator]]:
    """Successes by falling best_score_diff, one for each child; then stops in worker order.

    The other evaluators on a promoted child go on: they are judged next time, against its new curve.
    """
    successes: dict[int, Promote] = {}
    for success in sorted(
        (v for v in verdicts if isinstance(v, Promote)), key=lambda v: (-v.best_score_diff, v.worker)
    ):
        successes.setdefault(success.child, success)
    stops = [v for v in verdicts if isinstance(v, StopEvaluator) and v.child not in successes]
    return list(successes.values()), stops


def replaced_stops(workers: Workers, replaced: set[int]) -> list[StopEvaluator]:
    """Stop 3: exploit has replaced the parent or the child."""
    return [
        StopEvaluator(w.id, w.evaluation.parent, w.evaluation.child, w.step, "replaced", len(w.curve), None, None)
        for w in workers.values()
        if w.evaluation and (w.evaluation.parent in replaced or w.evaluation.child in replaced)
    ]


def apply_promotion(workers: Workers, success: Promote, point: int) -> None:
    """The child's record after a success: the evaluator's curve and network, its own hyperparameters."""
    evaluator, child = workers[success.worker], workers[success.child]
    workers[child.id] = replace(
        child, curve=evaluator.curve, network_step=evaluator.network_step, replaced_step=child.step
    )
    make_idle(workers, evaluator.id, success.parent, point)


def make_idle(workers: Workers, evaluator: int, parent: int, point: int) -> None:
    """The evaluator ends its evaluation of ``parent``, which from now on was evaluated most recently."""
    workers[evaluator] = replace(workers[evaluator], evaluation=None, curve=(), hyperparameters={})
    workers[parent] = replace(workers[parent], evaluated_point=point)


class Starts:
    """What idle evaluators do next at one evaluation point; what is the same for all of them is found once.

    An evaluator's parent is the member evaluated least recently, most recently (never evaluated: last) or any, as
    ``evaluator_pick`` says, in all three just-explored members last and nobody twice at once; equals are drawn. Its
    child is the fittest that has not explored at this very moment, else the best objective, else a keyed draw.
    """

    def __init__(
        self,
        setup: Setup,
        settings: EvaluatorSettings,
        workers: Workers,
        fitness: Mapping[int, float | None],
        explored: set[int],
    ):
        self._setup = setup
        self._fitness = fitness
        self._busy = {w.evaluation.parent for w in workers.values() if w.evaluation}
        self._parents: dict[int, list[Worker]] = {}  # by population
        self._children: dict[int, list[Worker]] = {}
        self._fittest: dict[int, Worker | None] = {}  # child by population; None: nobody is ranked
        turn = {"least_recent": 1, "most_recent": -1, "random": 0}[settings.evaluator_pick]
        self._turns: dict[int, tuple[bool, int]] = {}  # of a parent, the lowest first
        for w in workers.values():
            if w.is_evaluator or w.failed:
                continue
            self._turns[w.id] = (w.id in explored, turn * w.evaluated_point)
            if w.step >= settings.min_steps_before_eval:
                self._parents.setdefault(w.population, []).append(w)
            if w.id not in explored:
                self._children.setdefault(w.population, []).append(w)

    def next(self, evaluator: Worker, step: int) -> StartEvaluator | None:
        """The start of an idle evaluator, to be applied before the next is asked for; None: nothing to measure yet."""
        parents = [w for w in self._parents.get(evaluator.population, []) if w.id not in self._busy]
        children = self._children.get(evaluator.population - 1, [])
        if not parents or not children:
            return None
        at = max(evaluator.step, step)
        draws = generator(self._setup.seed, Purpose.PARENT, evaluator.id, at).random(len(parents)).tolist()
        turns = [self._turns[w.id] for w in parents]
        first = min(turns)
        parent = parents[min((draw, i) for i, draw in enumerate(draws) if turns[i] == first)[1]]
        child = self._fittest_of(evaluator.population - 1, children)
        if child is None:
            child = children[generator(self._setup.seed, Purpose.CHILD, evaluator.id, at).integers(len(children))]
        self._busy.add(parent.id)
        return StartEvaluator(
            evaluator.id, parent.id, child.id, at, parent.network_step, child.hyperparameters, fresh=evaluator.failed
        )

    def _fittest_of(self, population: int, children: Sequence[Worker]) -> Worker | None:
        if population not in self._fittest:
            objectives = {w.id: w.curve[-1] for w in children if w.curve}
            ranked = ranking(self._setup, children, self._fitness) or ranking(self._setup, children, objectives)
            self._fittest[population] = ranked[0] if ranked else None
        return self._fittest[population]


def apply_start(workers: Workers, begun: StartEvaluator) -> None:
    """The evaluator's record at a start."""
    workers[begun.worker] = replace(
        workers[begun.worker],
        step=begun.step,
        network_step=begun.network_step,
        replaced_step=begun.step,
        hyperparameters=begun.hyperparameters,
        curve=(),
        failed=False,
        evaluation=Evaluation(begun.parent, begun.child, begun.step),
    )

"""PB2: Population Based Bandits, PBT that explores by a bandit (Parker-Holder et al. 2020, arXiv 2002.02518).

Exploit is PBT's. The bandit is the paper's and the authors' (their code lives on as ``ray.tune.schedulers.pb2``): a
Gaussian process models the objective's change per step over an interval by the hyperparameters x and the context,
time t at the interval's end and objective R at its start. The kernel is the time-varying one of section 4,
s exp(-|(R, x) - (R', x')|^2 / l) (1 - epsilon)^(|t - t'| / 2), with t, R and x in [0, 1]: t and R in their range over
the last intervals, x between its bounds. A loser gets the x with the largest mu + sqrt(beta) sigma^2, the variance and
not its root, in the context of its donor's last interval: mu given the last intervals, sigma^2 given also the points
chosen before at the same ready; beta = c1 + max(0, log(c2 n)) for n intervals, c1 = 0.2, c2 = 0.4.

Where ours differs: s, l, epsilon and the noise maximise the marginal likelihood by a search in a fixed order, and x the
bound by climbing from keyed draws, where theirs have an optimiser with random starts. The noise is learnt, as in the
authors' first code; Ray's fixes it at 1e-10. The window is the last ``memory`` intervals; Ray's takes 200 to 1,000 by
their likelihood, and fits the process again after each choice of a ready. Where the donor has no interval, the loser
explores as in PBT. ``scale=kind`` scales x on the scale of its kind, log where the range is.

``State.memory`` holds the last intervals and where each member stood at its last ready.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from firerl.base import arithmetic
from firerl.base.arithmetic import Array
from firerl.base.seeding import Purpose, generator
from firerl.base.settings import setting
from firerl.errors import SettingError
from firerl.evolution.algorithms import pbt, random
from firerl.evolution.exploit import objective_fitness
from firerl.evolution.population import Copy, Decision, Report, Setup, State
from firerl.evolution.space import Dimension, Value

C2, CANDIDATES, CLIMBS = 0.4, 128, 4
FEW = 60  # intervals that a first, coarse fit looks at
Shape = tuple[float, float, float]  # log l, epsilon, log of the noise's share of s
LOWEST: Shape = (math.log(1e-5), 1e-5, math.log(1e-10))
HIGHEST: Shape = (math.log(1e5), 0.5, math.log(10.0))
STARTS = [
    (math.log(length), 0.1, math.log(noise))
    for length, noise in itertools.product((1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 30.0), (1e-8, 1e-4, 1e-2, 0.1, 1.0))
]
arrange = pbt.arrange


@dataclass(frozen=True)
class Settings:
    """PB2's settings."""

    truncation: float = setting(
        0.25, "share of the members that copies others, and share that is copied", above=0, maximum=0.5
    )
    fitness_window: int = setting(1, "members rank by the mean of so many last objectives", "evaluations", minimum=1)
    min_steps_before_ready: int = setting(0, "a member younger than this copies no other", "steps", minimum=0)
    exploration: float = setting(0.2, "c1 of beta: a larger one explores more", minimum=0)
    memory: int = setting(200, "how many of the last intervals the bandit knows", "intervals", minimum=1)
    scale: str = setting(
        "linear",
        "how values are scaled: linear, as the authors do, or kind, by logarithms where the range has them",
        choices=("linear", "kind"),
    )


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where the space holds what a bandit over numbers cannot tune."""
    pbt.validate(setup, pbt.Settings())
    for d in setup.space.dimensions:
        if d.choices:
            raise SettingError(f"space.{d.name} has kind {d.kind}: algo=pb2 tunes numbers only, algo=pbt choices too")
    if not setup.space.dimensions:
        raise SettingError("algo=pb2: the space is empty, there is nothing to tune")


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point: PBT's decision, but that the bandit chooses the losers' hyperparameters."""
    options = {name: getattr(settings, name) for name in ("truncation", "fitness_window", "min_steps_before_ready")}
    after, decisions = pbt.decide(setup, pbt.Settings(**options), state, reports)
    memory = _remember(setup, settings, state, reports)
    copies = [(i, d) for i, d in enumerate(decisions) if isinstance(d, Copy)]
    bandit = Bandit.fit([row[1:] for row in memory["intervals"]]) if copies and memory["intervals"] else None
    latest = {row[0]: row[1:3] for row in memory["intervals"]}  # t and R of each member's last interval
    workers, pending = {w.id: w for w in after.workers}, list[list[float]]()
    for i, copy in copies:
        memory["stood"][str(copy.worker)] = [copy.network_step, copy.donor_fitness]
        if bandit and copy.donor in latest:
            draws = generator(setup.seed, Purpose.EXPLORE, copy.worker, copy.step)
            candidates = draws.random((CANDIDATES, len(setup.space.dimensions)))
            x = bandit.choose(latest[copy.donor], candidates, pending, settings.exploration)
            pending.append([*latest[copy.donor], *x])
            pairs = zip(setup.space.dimensions, x, strict=True)
            values = {d.name: _value(d, unit, settings.scale) for d, unit in pairs}
            decisions[i] = replace(copy, hyperparameters=values)
            workers[copy.worker] = replace(workers[copy.worker], hyperparameters=values)
    return State(tuple(workers.values()), after.point, memory), decisions


def _remember(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> dict[str, Any]:
    """``intervals``: rows of whose, t at the end, R at the start, change of R per step, x in [0, 1]^d, oldest first;
    ``stood``: t and R of each member at its last ready."""
    reported, _ = random.unchanged(setup, state, reports)
    intervals, stood = list(state.memory.get("intervals", [])), dict(state.memory.get("stood", {}))
    for worker, old in zip(reported.workers, state.workers, strict=True):
        now = objective_fitness(worker, settings.fitness_window)
        if worker.ready_step == old.ready_step or worker.failed or now is None:
            continue
        step, before = stood.get(str(worker.id), (0, None))
        if before is not None and step < worker.network_step:
            x = [_unit(d, worker.hyperparameters[d.name], settings.scale) for d in setup.space.dimensions]
            change = (now - before) / (worker.network_step - step)
            intervals.append([worker.id, worker.network_step, before, change, *x])
        stood[str(worker.id)] = [worker.network_step, now]
    return {"intervals": intervals[-settings.memory :], "stood": stood}


@dataclass(frozen=True)
class Bandit:
    """The Gaussian process, fitted."""

    points: Array  # [n, 2 + d]: t and R in the range of the n intervals, x
    low: Array  # [2]: the smallest t and R
    span: Array  # [2]: what t and R are divided by
    shape: Shape
    variance: float  # s
    factor: Array  # [n, n]: lower triangular, of the covariance in units of s
    weights: Array  # [n]: the covariance's inverse, times the targets

    @classmethod
    def fit(cls, intervals: Sequence[Sequence[float]]) -> Bandit:
        """The likeliest process of rows of t, R, change of R per step, x."""
        rows = np.array(intervals, dtype=np.float64)
        points, y = np.delete(rows, 2, axis=1), rows[:, 2]
        deviation = np.sqrt(((y - y.mean()) ** 2).mean())
        targets = np.clip((y - y.mean()) / (deviation if deviation > 0 else 1.0), -2, 2)  # cut as by the authors
        low, span = points[:, :2].min(axis=0), np.ptp(points[:, :2], axis=0)
        span = np.where(span > 0, span, 1.0)
        points[:, :2] = (points[:, :2] - low) / span
        shape = likeliest(points, targets)
        _, variance, factor = _likelihood(_apart(points, points), targets, shape)
        weights = arithmetic.backward(factor, arithmetic.forward(factor, targets))
        return cls(points, low, span, shape, variance, factor, weights)

    def choose(
        self, context: Sequence[float], candidates: Array, pending: Sequence[Sequence[float]], c1: float
    ) -> list[float]:
        """The x [d] with the largest upper confidence bound, climbed to from candidates [m, d]; see ``bound``."""
        return _climb(self.bound(context, pending, c1), candidates)

    def bound(
        self, context: Sequence[float], pending: Sequence[Sequence[float]], c1: float
    ) -> Callable[[Array], Array]:
        """The upper confidence bound of x [m, d] in a context of t and R, where ``pending`` rows of t, R, x were chosen
        before at this ready."""
        fixed = (np.array(context) - self.low) / self.span
        rows = [[*((np.array(row[:2]) - self.low) / self.span), *row[2:]] for row in pending]
        known = np.vstack([self.points, np.reshape(rows, (-1, self.points.shape[1]))])
        factor = arithmetic.cholesky(_covariance(_apart(known, known), self.shape)) if rows else self.factor
        beta = c1 + max(0.0, math.log(C2 * len(self.points)))

        def of(x: Array) -> Array:
            at = np.hstack([np.tile(fixed, (len(x), 1)), x])
            to_known = _kernel(_apart(known, at), self.shape)  # [n + pending, m]
            mean = (to_known[: len(self.weights)] * self.weights[:, None]).sum(axis=0)
            solved = arithmetic.forward(factor, to_known)
            variance = self.variance * np.maximum(1 - (solved * solved).sum(axis=0), 0.0)
            return np.asarray(mean + math.sqrt(beta) * variance)

        return of


def _climb(bound: Callable[[Array], Array], candidates: Array) -> list[float]:
    """The best point in [0, 1]^d that is reached from the best few candidates by ever smaller steps along the axes."""
    values = bound(candidates)
    order = np.argsort(-values, kind="stable")[:CLIMBS]
    x, best, step = candidates[order], values[order], 0.1
    moves = np.vstack([np.eye(x.shape[1]), -np.eye(x.shape[1])])
    while step > 5e-4:
        near = np.clip(x[:, None] + step * moves, 0, 1)  # [climbs, 2 d, d]
        found = bound(near.reshape(-1, x.shape[1])).reshape(len(x), -1)
        first = found.argmax(axis=1)
        better = found.max(axis=1) > best
        x = np.where(better[:, None], near[np.arange(len(x)), first], x)
        best = np.where(better, found.max(axis=1), best)
        step = step if better.any() else step / 2
    return [float(unit) for unit in x[int(best.argmax())]]


def likeliest(points: Array, targets: Array) -> Shape:
    """The shape of the largest marginal likelihood, s being what suits it: the best of a few starts on some of the
    points, then ever smaller steps along the axes, first on some and then on all of them."""
    some = slice(None, None, -(-len(points) // FEW))
    apart = _apart(points[some], points[some])
    best = max(STARTS, key=lambda shape: _likelihood(apart, targets[some], shape)[0])
    best = _ascend(apart, targets[some], best, 1.0, 0.01)
    return best if len(points) <= FEW else _ascend(_apart(points, points), targets, best, 0.3, 0.2)


def _ascend(apart: tuple[Array, Array], targets: Array, shape: Shape, size: float, least: float) -> Shape:
    value = _likelihood(apart, targets, shape)[0]
    while size > least:
        improved = False
        for axis, width in enumerate((1.0, 0.1, 2.0)):
            for sign in (1, -1):
                moved = list(shape)
                moved[axis] = min(max(moved[axis] + sign * size * width, LOWEST[axis]), HIGHEST[axis])
                there = (moved[0], moved[1], moved[2])
                found = _likelihood(apart, targets, there)[0] if there != shape else -math.inf
                if found > value:
                    shape, value, improved = there, found, True
                    break
        size = size if improved else size / 2
    return shape


def _likelihood(apart: tuple[Array, Array], targets: Array, shape: Shape) -> tuple[float, float, Array]:
    """The log marginal likelihood (constants left out) with the likeliest s, s itself, the covariance's factor."""
    try:
        factor = arithmetic.cholesky(_covariance(apart, shape))
    except ArithmeticError:  # two points alike, and next to no noise
        return -math.inf, 1.0, np.eye(len(targets))
    solved, n = arithmetic.forward(factor, targets), len(targets)
    square = float((solved * solved).sum())
    variance = min(max(square / n, 1e-5), 1e5)
    log = float(arithmetic.log(np.diag(factor)).sum() + n / 2 * arithmetic.log(np.array([variance]))[0])
    return -square / variance / 2 - log, variance, factor


def _apart(a: Array, b: Array) -> tuple[Array, Array]:
    """Squared distances in (R, x) and distances in t: [len(a), len(b)] each."""
    squares = np.zeros((len(a), len(b)))
    for column in range(1, a.shape[1]):
        difference = a[:, None, column] - b[:, column]
        squares += difference * difference
    return squares, np.abs(a[:, None, 0] - b[:, 0])


def _kernel(apart: tuple[Array, Array], shape: Shape) -> Array:
    length, fading = arithmetic.exp(np.array([shape[0]]))[0], arithmetic.log(np.array([1 - shape[1]]))[0]
    return arithmetic.exp(np.maximum(fading / 2 * apart[1] - apart[0] / length, -700.0))


def _covariance(apart: tuple[Array, Array], shape: Shape) -> Array:
    noise = arithmetic.exp(np.array([shape[2]]))[0]
    return np.asarray(_kernel(apart, shape) + noise * np.eye(len(apart[0])))


def _unit(d: Dimension, value: float, scale: str) -> float:
    """Where between its bounds a value lies."""
    if d.kind == "integer":
        return (value - d.lower + 0.5) / (d.upper - d.lower + 1)
    logs: dict[str, Callable[[float], float]] = {"log_uniform": math.log, "one_minus_log_uniform": _log_of_rest}
    on = logs.get(d.kind, float) if scale == "kind" else float
    return (on(value) - on(d.lower)) / (on(d.upper) - on(d.lower))


def _value(d: Dimension, unit: float, scale: str) -> Value:
    """The value that lies there."""
    if scale == "linear" and d.kind != "integer":
        d = replace(d, kind="uniform")
    return replace(d, low=d.lower, high=d.upper).draw(unit)


def _log_of_rest(x: float) -> float:
    return math.log1p(-x)

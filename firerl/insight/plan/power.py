"""Can evaluators find what is true? Their statistics before a run, by playing single evaluations with the real verdict.

A *true advantage of d*: without noise the evaluator's curve and its child's start at the same level and rise alike, but
the evaluator's grows away, evenly over its time, so that on average it lies d standard deviations of one evaluation's
noise above (2 d at the end). It is a difference of *rates*. A difference of levels from the start would vanish where
curves rise, since the overlap lays equal levels beside each other. An advantage of 0 is an equal network. To promote
an equal network is a *false promotion*, which costs a member its diversity and the evaluator its time.

Assumed: independent normal noise; true curves that rise by ``rise`` an evaluation; an evaluator that starts where its
child's curve started (a parent that stands lower first has to get there, and finds less than is said here); a child as
old as random exploit leaves it; and stop 3: at each ready exploit replaces the child, or the parent, with the chance of
a member of random rank (a child that is the fittest is in fact replaced less often).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firerl.base.settings import build
from firerl.config.run_config import RunConfig
from firerl.evolution import find
from firerl.evolution.evaluators import SMOOTH, Curve, EvaluatorSettings, verdict
from firerl.evolution.exploit import selected
from firerl.evolution.population import Evaluation, Promote, Worker

DIFFERENCES = (0.0, 0.5, 1.0)  # standard deviations of one evaluation's noise
AGES = 4  # different lengths of a child's curve: few are quick to play

Values = NDArray[np.float64]


class End(NamedTuple):
    """How one evaluation ended."""

    promoted: bool
    replaced: bool  # exploit ended it (stop 3)
    points: int  # the evaluator's, at the end


def judge(settings: EvaluatorSettings, eval_interval: int, eta: Curve, rho: Curve) -> bool | None:
    """The rules' verdict on an evaluator's curve and its child's: promoted or not; None: the evaluation goes on."""
    child = Worker(0, 1, is_evaluator=False)
    evaluator = Worker(
        2, 2, is_evaluator=True, step=len(eta.raw) * eval_interval, evaluation=Evaluation(1, 0, started=0)
    )
    found = verdict(settings, evaluator, eta, rho, child)
    if found is None:
        return None
    # promotion=off turns a success into a stop; it has found the advantage all the same.
    return isinstance(found, Promote) or found.reason == "no-promotion"


def curve(raw: Values, settings: EvaluatorSettings) -> Curve:
    """A curve [n] and its smooth form, as these settings have it."""
    return Curve(raw, SMOOTH[settings.smoothing](raw))


@dataclass(frozen=True)
class Case:
    """All that the statistics of an evaluation depend on."""

    settings: EvaluatorSettings
    eval_interval: int  # steps
    ready_interval: int  # steps
    steps: int  # of the run
    rise: float = 0.0  # of a true curve, an evaluation, in standard deviations of the noise
    child_replaced: float = 0.0  # chance at a ready
    parent_replaced: float = 0.0  # chance at a ready, once the evaluator has min_points
    evaluators: int = 1

    @property
    def points(self) -> int:
        """How many points an evaluator has when its time is up."""
        return math.ceil(self.settings.max_eval_steps / self.eval_interval)

    @property
    def per_ready(self) -> int:
        """Evaluations between two readies."""
        return self.ready_interval // self.eval_interval

    @property
    def evaluations(self) -> int:
        """Of one worker in the whole run."""
        return self.steps // self.eval_interval


def case_of(config: RunConfig) -> Case | None:
    """The case of a run's evaluators, of those that serve P2, for P1; None where its algorithm has none."""
    algorithm = find.algorithm(config.algo.name)
    settings = build(algorithm.Settings, config.algo.settings, "algo.")
    if not config.evaluators or not isinstance(settings, EvaluatorSettings):
        return None
    truncation = float(getattr(settings, "truncation", 0.0))
    child, parent = config.sizes[0], config.sizes[1]
    k = selected(truncation, parent)
    serving = len(range(0, config.evaluators, len(config.sizes) - 1))
    # Parents rank among those that evaluators measure, by their own objective among all.
    ranked = parent if getattr(settings, "parent_fitness", "") == "objective" else min(parent, serving)
    return Case(
        settings=settings,
        eval_interval=config.eval_interval,
        ready_interval=config.ready_interval,
        steps=config.steps,
        child_replaced=selected(truncation, child) / child,
        parent_replaced=k / ranked if ranked >= 2 * k else 0.0,
        evaluators=config.evaluators,
    )


@dataclass(frozen=True)
class Share:
    """A share of evaluations, with its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{100 * self.value:.0f} % (+-{100 * self.error:.0f})"


@dataclass(frozen=True)
class Power:
    """What one evaluation that begins can find, and what evaluators do in a run."""

    points: int  # that an evaluator has when its time is up
    found_half: Share  # a true advantage of 0.5 standard deviations ends in a promotion
    found_one: Share  # of 1
    false: Share  # an equal network ends in one
    replaced: Share  # of evaluations between equals: exploit ended it (stop 3)
    taken: float  # points that an evaluation between equals takes, mean
    begun: float  # evaluations of the whole run, as many as fit one after another

    @property
    def false_promotions(self) -> float:
        """In the run, if every evaluator's network equalled its child's."""
        return self.begun * self.false.value


def power(case: Case, evaluations: int = 200) -> Power:
    """Play ``evaluations`` at each difference; a pure function. Costs some 5 ms an evaluation."""
    ends = sample(case, DIFFERENCES, evaluations)
    equal, half, one = (ends[difference] for difference in DIFFERENCES)
    taken = float(np.mean([end.points for end in equal]))
    return Power(
        points=case.points,
        found_half=share([end.promoted for end in half]),
        found_one=share([end.promoted for end in one]),
        false=share([end.promoted for end in equal]),
        replaced=share([end.replaced for end in equal]),
        taken=taken,
        begun=case.evaluators * max(0, case.evaluations - 1) / taken,
    )


@dataclass(frozen=True)
class _Trial:
    """One evaluation to be played: its child's points at the start, its own when exploit ends it, the noise of both."""

    difference: float
    length: int
    time: int
    eta: Values  # [points]
    rho: Values  # [length + points]


def sample(case: Case, differences: Sequence[float], evaluations: int) -> dict[float, list[End]]:
    """So many evaluations with each of these true advantages. The noise is the same for every difference.

    All are played together, point by point, so that curves of one length are smoothed one after the other: what a
    length needs is made once.
    """
    lengths = child_lengths(case)
    live = [
        trial
        for number in range(evaluations)
        for trial in _trials(case, differences, lengths[number % len(lengths)], np.random.default_rng([0, number]))
    ]
    live.sort(key=lambda trial: trial.length)
    ends: dict[float, list[End]] = {difference: [] for difference in differences}
    for n in range(1, case.points + 1):
        going = []
        for trial in live:
            eta, rho = curve(trial.eta[:n], case.settings), curve(trial.rho[: trial.length + n], case.settings)
            promoted = judge(case.settings, case.eval_interval, eta, rho)
            if promoted is None and n != trial.time:
                going.append(trial)
            else:  # a verdict comes before exploit
                ends[trial.difference].append(End(bool(promoted), promoted is None, n))
        live = going
    return ends


def _trials(case: Case, differences: Sequence[float], length: int, rng: np.random.Generator) -> list[_Trial]:
    """One evaluation at each difference."""
    time = _replaced_at(case, rng)
    eta, rho = rng.standard_normal(case.points), rng.standard_normal(length + case.points)
    true = case.rise * np.arange(length + case.points)
    return [
        _Trial(difference, length, time, eta + true[: case.points] + advantage(case, difference), rho + true)
        for difference in differences
    ]


def advantage(case: Case, difference: float) -> Values:
    """How far the evaluator's true curve lies above its child's at each of its points, shape [points]."""
    return 2 * difference * np.arange(case.points) / max(1, case.points - 1)


def child_lengths(case: Case) -> list[int]:
    """Points of a child's curve when an evaluation starts: the middles of ``AGES`` equally likely parts.

    Random exploit leaves a member alone for a geometric number of readies.
    """
    longest = case.evaluations // 2  # the middle of the run
    if case.child_replaced in (0.0, 1.0):
        return [0 if case.child_replaced else longest]
    parts = (np.arange(AGES) + 0.5) / AGES
    readies = np.log1p(-parts) / math.log1p(-case.child_replaced)  # the geometric's quantiles, as real numbers
    return [min(longest, round(float(r) * case.per_ready)) for r in readies]


def _replaced_at(case: Case, rng: np.random.Generator) -> int:
    """The evaluator's points at the ready where exploit ends the evaluation; 0: never."""
    phase = int(rng.integers(case.per_ready))  # evaluations since the last ready, when this one starts
    for points in range(case.per_ready - phase, case.points, case.per_ready):
        child, parent = rng.random(2)
        measured = points >= case.settings.min_points
        if child < case.child_replaced or (measured and parent < case.parent_replaced):
            return points
    return 0


def share(outcomes: list[bool]) -> Share:
    """The share of True, with a standard error that is not 0 where all agree (one more of each is counted)."""
    n, hits = len(outcomes), sum(outcomes)
    smoothed = (hits + 1) / (n + 2)
    return Share(hits / n, math.sqrt(smoothed * (1 - smoothed) / n))

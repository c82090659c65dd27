"""Can evaluators find what is true? Their statistics before a run, by playing single evaluations with the real verdict.

A *true advantage of d*: without noise the evaluator's curve and its child's start at the same level and rise alike, but
the evaluator's grows away, evenly over its time, so that on average it lies d standard deviations of one evaluation's
noise above (2 d at the end). It is a difference of *rates*: one of levels from the start vanishes where curves rise,
since the overlap lays equal levels beside each other. An advantage of 0 is an equal network; promoting one is a
*false promotion*, which costs a member its diversity and the evaluator its time.

Assumed: independent normal noise; true curves that rise by ``rise`` an evaluation; an evaluator that starts where its
child's curve started (a parent that stands lower first has to get there, and finds less than is said here); a child as
old as random exploit leaves it; and stop 3: at each ready exploit replaces the child, or the parent, with the chance of
a member of random rank (a child that is the fittest is in fact replaced less often).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firerl.evolution.evaluators import SMOOTH, Curve, EvaluatorSettings, verdict
from firerl.evolution.exploit import selected
from firerl.evolution.population import Evaluation, Promote, Setup, Worker

DIFFERENCES = (0.0, 0.5, 1.0)  # standard deviations of one evaluation's noise

Values = NDArray[np.float64]


class End(NamedTuple):
    """How one evaluation ended."""

    promoted: bool
    apart: bool  # promoted without overlap, where no sign test is made
    points: int  # the evaluator's, at the end


def play(settings: EvaluatorSettings, eval_interval: int, eta: Values, rho: Values, length: int) -> End:
    """Play one evaluation point by point, with the rules' own verdict.

    ``eta`` [n] are all points that the evaluator can have, ``rho`` [length + n] those of its child, which has ``length``
    of them when the evaluation starts. Raises ValueError where n points do not last until the time is up.
    """
    smooth = SMOOTH[settings.smoothing]
    child = Worker(0, 1, is_evaluator=False)
    for n in range(1, len(eta) + 1):
        evaluator = Worker(2, 2, is_evaluator=True, step=n * eval_interval, evaluation=Evaluation(1, 0, started=0))
        mine, its = (Curve(raw, smooth(raw)) for raw in (eta[:n], rho[: length + n]))
        found = verdict(settings, evaluator, mine, its, child)
        if found is not None:
            # promotion=off turns a success into a stop; it has found the advantage all the same.
            promoted = isinstance(found, Promote) or found.reason == "no-promotion"
            return End(promoted, promoted and found.p_value == 0, n)
    raise ValueError(f"{len(eta)} points end before max_eval_steps={settings.max_eval_steps}")


@dataclass(frozen=True)
class Case:
    """All that the statistics of an evaluation depend on."""

    settings: EvaluatorSettings
    eval_interval: int  # steps
    ready_interval: int  # steps
    steps: int  # of the run
    rise: float = 0.0  # of a true curve, an evaluation
    child_replaced: float = 0.0  # chance at a ready
    parent_replaced: float = 0.0  # chance at a ready, once the evaluator has min_points
    evaluators: int = 1
    noise: float = 1.0  # standard deviation of an evaluation's noise, in the unit of ``rise`` and of an advantage
    grows: int = 0  # steps over which an advantage grows, then it stays; 0: max_eval_steps

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


def case_of(setup: Setup, settings: EvaluatorSettings, steps: int, rise: float = 0.0) -> Case:
    """The case of a run's evaluators: of those that serve P2, for P1."""
    truncation = float(getattr(settings, "truncation", 0.0))
    child, parent = setup.sizes[0], setup.sizes[1]
    k = selected(truncation, parent)
    serving = len(range(0, setup.evaluators, len(setup.sizes) - 1))
    # Parents rank among those that evaluators measure, by their own objective among all.
    ranked = parent if getattr(settings, "parent_fitness", "") == "objective" else min(parent, serving)
    return Case(
        settings=settings,
        eval_interval=setup.eval_interval,
        ready_interval=setup.ready_interval,
        steps=steps,
        rise=rise,
        child_replaced=selected(truncation, child) / child,
        parent_replaced=k / ranked if ranked >= 2 * k else 0.0,
        evaluators=setup.evaluators,
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


def power(case: Case, evaluations: int = 400, seed: int = 0) -> Power:
    """Play ``evaluations`` at each difference; a pure function. Costs 1 to 10 ms an evaluation."""
    equal, half, one = (sample(case, difference, evaluations, seed) for difference in DIFFERENCES)
    taken = float(np.mean([end.points for end in equal]))
    begun = case.evaluators * max(0, case.evaluations - 1) / taken
    return Power(
        points=case.points,
        found_half=share([end.promoted for end in half]),
        found_one=share([end.promoted for end in one]),
        false=share([end.promoted for end in equal]),
        replaced=share([end.replaced for end in equal]),
        taken=taken,
        begun=begun,
    )


class Sampled(NamedTuple):
    """How one evaluation of a population ended."""

    promoted: bool
    replaced: bool
    points: int


def sample(case: Case, difference: float, evaluations: int, seed: int = 0) -> list[Sampled]:
    """So many evaluations with this true advantage. The noise is the same for every difference."""
    trials = [_trial(case, np.random.default_rng([seed, number])) for number in range(evaluations)]
    ahead = advantage(case, difference)
    ends = []
    for length, time, raw in sorted(trials, key=lambda trial: trial[:2]):  # curves of one length share their kernels
        true = case.rise * np.arange(length + case.points)
        eta = case.noise * raw[: case.points] + true[: case.points] + ahead
        rho = case.noise * raw[case.points :] + true
        ends.append(_cut(case, eta, rho, length, time))
    return ends


def advantage(case: Case, difference: float) -> Values:
    """How far the evaluator's true curve lies above its child's at each of its points, shape [points]."""
    grows = math.ceil((case.grows or case.settings.max_eval_steps) / case.eval_interval)
    return 2 * difference * np.minimum(1.0, np.arange(case.points) / max(1, grows - 1))


def _trial(case: Case, rng: np.random.Generator) -> tuple[int, int, Values]:
    """The child's points at the start, the evaluator's when exploit ends it, the noise of both."""
    phase = int(rng.integers(case.per_ready))  # evaluations since the last ready, when this one starts
    length = _child_points(case, phase, rng)
    time = min(case.points, _replaced_at(case, phase, rng))
    return length, time, rng.standard_normal(2 * case.points + length)


def _cut(case: Case, eta: Values, rho: Values, length: int, time: int) -> Sampled:
    """Play until exploit ends it after ``time`` points: verdicts come before exploit."""
    if time == case.points:
        end = play(case.settings, case.eval_interval, eta, rho, length)
        return Sampled(end.promoted, False, end.points)
    try:
        end = play(case.settings, case.eval_interval, eta[:time], rho[: length + time], length)
    except ValueError:
        return Sampled(False, True, time)
    return Sampled(end.promoted, False, end.points)


def _child_points(case: Case, phase: int, rng: np.random.Generator) -> int:
    """How long the child's curve is when an evaluation starts, ``phase`` evaluations after a ready."""
    longest = case.evaluations // case.per_ready
    readies = longest if case.child_replaced == 0 else min(longest, int(rng.geometric(case.child_replaced)) - 1)
    return readies * case.per_ready + phase


def _replaced_at(case: Case, phase: int, rng: np.random.Generator) -> int:
    """The evaluator's points at the ready where exploit ends the evaluation; more than it can have: never."""
    for points in range(case.per_ready - phase, case.points, case.per_ready):
        child, parent = rng.random(2)
        measured = points >= case.settings.min_points
        if child < case.child_replaced or (measured and parent < case.parent_replaced):
            return points
    return case.points


def share(outcomes: list[bool]) -> Share:
    """The share of True, with a standard error that is not 0 where all agree (one more of each is counted)."""
    n, hits = len(outcomes), sum(outcomes)
    smoothed = (hits + 1) / (n + 2)
    return Share(hits / n, math.sqrt(smoothed * (1 - smoothed) / n))


def with_settings(case: Case, **changes: object) -> Case:
    """The same case with other settings, the evaluators' own or the case's, by name."""
    own = {f.name for f in fields(case.settings)}
    settings = replace(case.settings, **{name: value for name, value in changes.items() if name in own})  # type: ignore[arg-type]
    return replace(case, settings=settings, **{n: v for n, v in changes.items() if n not in own})  # type: ignore[arg-type]

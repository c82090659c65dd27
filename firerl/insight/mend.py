"""The smallest change of settings with which evaluators find what is true, and what it costs.

Searched step by step: all single changes, then all that can be added to the best of them, and so on. It is the smallest
in that search, not proven to be the smallest of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from firerl.insight.power import Case, Power, power, sample, with_settings
from firerl.settings import show

CHANGES = 3  # at most, together
MOST_POINTS = 120  # of an evaluation: more take long to play


@dataclass(frozen=True)
class Target:
    """When the statistics count as good."""

    power: float = 0.8  # to find a true advantage of one standard deviation of the noise
    false: float = 0.05  # promotions between equals

    def reached(self, found: Power, *, power_alone: bool = False, slack: float = 0.0) -> bool:
        """``slack``: so many standard errors may be missing. ``power_alone``: promotions between equals may be half as
        frequent as of those that are better, no more."""
        one, false = found.found_one, found.false
        most = one.value / 2 if power_alone else self.false
        return one.value + slack * one.error >= self.power and false.value - slack * false.error <= most


@dataclass(frozen=True)
class Freedom:
    """What else may change beside the algorithm's settings, and what that does to the noise of an evaluation."""

    granularity: int = 1  # of eval_interval, in steps
    over_interval: bool = False  # an evaluation averages over its interval: twice as long, noise / sqrt(2)
    averaged: tuple[str, int] | None = None  # a setting and its value: what an evaluation averages over, at a cost


def freedom_of(settings: Mapping[str, Any], granularity: int) -> Freedom:
    """Of a learner with these complete settings. One that says nothing of averaging has noise that no setting changes:
    known are ``objective`` and ``objective_episodes``, as V-MPO has them."""
    objective, episodes = settings.get("objective"), settings.get("objective_episodes")
    if not isinstance(objective, str) or not isinstance(episodes, int):
        return Freedom(granularity)
    if objective == "fresh":
        return Freedom(granularity, averaged=("learner.objective_episodes", episodes))
    return Freedom(granularity, over_interval=True)


@dataclass(frozen=True)
class Change:
    """Other settings, as ``launch`` takes them, and the case they make."""

    arguments: Mapping[str, Any]
    case: Case
    evaluation: float = 1.0  # an evaluation costs so many times as much

    def cost(self, before: Case, old: Power, new: Power) -> str:
        """What it costs, in words."""
        parts = [f"evaluations that fit in the run {old.begun:,.0f} -> {new.begun:,.0f}"]
        readies = before.steps // before.ready_interval, self.case.steps // self.case.ready_interval
        if readies[0] != readies[1]:
            parts.append(f"readies {readies[0]} -> {readies[1]}")
        if self.case.eval_interval != before.eval_interval:
            parts.append(f"points of a worker {before.evaluations} -> {self.case.evaluations}")
        if self.evaluation != 1:
            parts.append(f"an evaluation costs {self.evaluation:g} times as much")
        return ", ".join(parts)

    def typed(self) -> dict[str, Any]:
        """All arguments that ``launch`` needs: presets count in evaluations, so another interval names the rest too."""
        if "eval_interval" not in self.arguments:
            return dict(self.arguments)
        case = self.case
        pinned = {"ready_interval": case.ready_interval, "algo.max_eval_steps": case.settings.max_eval_steps}
        return {**self.arguments, **pinned, "steps": case.steps}

    def text(self) -> str:
        """As it is typed."""
        return " ".join(f"{name}={show(value)}" for name, value in self.typed().items())


@dataclass(frozen=True)
class Mend:
    """What was found. ``change`` None: nothing in range reaches the power; ``both`` False: the power alone."""

    change: Change | None
    power: Power | None
    both: bool
    tried: int


def mend(
    case: Case,
    freedom: Freedom,
    target: Target = Target(),
    *,
    changes: int = CHANGES,
    screening: int = 40,
    evaluations: int = 200,
    on_try: Callable[[int], None] = lambda tried: None,
) -> Mend:
    """Search up to so many ``changes`` together; ``screening`` evaluations a try, ``evaluations`` for what looks good.

    Deterministic.
    """
    start = replace(case, grows=case.grows or case.settings.max_eval_steps)  # an advantage is of the network's
    best, tried = Change({}, start), 0
    strong: tuple[Change, Power] | None = None
    for _ in range(changes):
        scored: list[tuple[float, Change]] = []
        for change in extensions(best, freedom):
            tried += 1
            on_try(tried)
            ends = sample(change.case, (0.0, 1.0), screening, ages=1)
            false, found = (float(np.mean([end.promoted for end in ends[d]])) for d in (0.0, 1.0))
            scored.append((min(found / target.power, 1.0) - 0.5 * max(0.0, false - target.false), change))
            if found < target.power or (strong and false > target.false):
                continue
            sure = power(change.case, evaluations)
            if target.reached(sure, slack=1):
                return Mend(change, sure, True, tried)
            if strong is None and target.reached(sure, power_alone=True, slack=1):
                strong = change, sure
        if not scored:
            break
        best = max(scored, key=lambda pair: pair[0])[1]  # the first, and so the smallest, of equals
    return Mend(*strong, False, tried) if strong else Mend(None, None, False, tried)


def extensions(change: Change, freedom: Freedom) -> Iterator[Change]:
    """One setting more that differs, smaller changes first."""
    case, given = change.case, change.arguments
    for factor in (2, 4):
        steps = factor * case.settings.max_eval_steps
        if "algo.max_eval_steps" not in given and steps <= case.steps // 2 and factor * case.points <= MOST_POINTS:
            yield _with(change, {"algo.max_eval_steps": steps}, max_eval_steps=steps)
    for factor in (2, 4, 8):
        ready = factor * case.ready_interval
        if "ready_interval" not in given and ready <= case.steps // 4:
            yield _with(change, {"ready_interval": ready}, ready_interval=ready)
    if "eval_interval" not in given:
        yield from _shorter(change, freedom)
        yield from _averaging(change, freedom)
    if case.settings.patience != "fixed" and case.settings.binom_test:
        yield _with(change, {"algo.patience": "fixed"}, patience="fixed")
    if case.settings.success_without_overlap:
        yield _with(change, {"algo.success_without_overlap": False}, success_without_overlap=False)
    if case.settings.significance > 0.001 and case.settings.binom_test:
        yield _with(change, {"algo.significance": 0.001}, significance=0.001)


def _shorter(change: Change, freedom: Freedom) -> Iterator[Change]:
    """More evaluations in the same steps."""
    case = change.case
    for factor in (2, 5):
        interval, rest = divmod(case.eval_interval, factor)
        if not rest and interval and interval % freedom.granularity == 0 and factor * case.points <= MOST_POINTS:
            noise = case.noise * (math.sqrt(factor) if freedom.over_interval else 1.0)
            yield _with(
                change, {"eval_interval": interval}, eval_interval=interval, rise=case.rise / factor, noise=noise
            )


def _averaging(change: Change, freedom: Freedom) -> Iterator[Change]:
    """Less noise an evaluation: over more episodes, or over longer intervals of which there are as many."""
    case = change.case
    if freedom.averaged and freedom.averaged[0] not in change.arguments:
        name, value = freedom.averaged
        for factor in (2, 4, 8):
            better = _with(change, {name: factor * value}, noise=case.noise / math.sqrt(factor))
            yield replace(better, evaluation=change.evaluation * factor)
    if freedom.over_interval:
        for factor in (2, 4):
            longer = {
                "eval_interval": factor * case.eval_interval,
                "ready_interval": factor * case.ready_interval,
                "max_eval_steps": factor * case.settings.max_eval_steps,
            }
            if longer["ready_interval"] <= case.steps // 4:
                typed = {("algo." if name == "max_eval_steps" else "") + name: value for name, value in longer.items()}
                better = _with(change, typed, **longer, rise=factor * case.rise, noise=case.noise / math.sqrt(factor))
                yield better


def _with(change: Change, arguments: Mapping[str, Any], **changes: Any) -> Change:
    """``change`` and these; a run stays a whole number of readies."""
    case = with_settings(change.case, **changes)
    steps = math.ceil(case.steps / case.ready_interval) * case.ready_interval
    typed = {**change.arguments, **arguments}
    if steps != case.steps:
        typed["steps"] = steps
    return Change(typed, replace(case, steps=steps), change.evaluation)

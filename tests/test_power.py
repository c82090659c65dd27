"""The statistics of evaluations before a run: against integrals, against the judge, and what changes mend them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import curve_judge
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from firerl import compose as composing
from firerl.compose import compose
from firerl.evolution import fire
from firerl.insight.mend import Change, Freedom, Target, extensions, freedom_of, mend
from firerl.insight.power import Case, advantage, child_lengths, play, power, sample, settings_case, with_settings
from firerl.insight.warning import warning
from firerl.request import resolve

INTERVAL = 10


def case(points: int = 12, per_ready: int = 4, evaluations: int = 100, **more: Any) -> Case:
    """A case whose evaluators have so many points; further arguments are the case's or the evaluators'."""
    made = Case(fire.Settings(max_eval_steps=points * INTERVAL), INTERVAL, per_ready * INTERVAL, evaluations * INTERVAL)
    return with_settings(made, **more)


def promoted(of: Case, difference: float, evaluations: int) -> float:
    return float(np.mean([end.promoted for end in sample(of, [difference], evaluations)[difference]]))


@pytest.mark.parametrize("difference", [0.0, 1.0, 1.5])
def test_success_without_overlap_has_its_exact_probability(difference: float) -> None:
    # Seven points, a verdict on no fewer, curves as they are: in an overlap the first pair is never won (the lower
    # curve has just reached the other's start), so that seven of seven are only won where all lie above all.
    flat = case(7, evaluations=1, smoothing="none", min_points=7)
    assert child_lengths(flat) == [0]
    ahead = advantage(flat, difference)
    np.testing.assert_allclose(ahead, 2 * difference * np.arange(7) / 6)

    def density(highest: float) -> float:
        above = np.prod(norm.sf(highest - ahead))
        return float(7 * norm.pdf(highest) * norm.cdf(highest) ** 6 * above)

    exact = quad(density, -8, 8)[0]
    if difference == 0:
        assert exact == pytest.approx(1 / math.comb(14, 7))
    n = 3000
    assert abs(promoted(flat, difference, n) - exact) < 4 * math.sqrt(exact * (1 - exact) / n) + 1 / n


def test_evaluations_end_as_the_judge_has_it() -> None:
    settings = fire.Settings(max_eval_steps=12, smoothing="none")
    kinds = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rise, length = (0.0, 0.3, 2.0)[seed % 3], (0, 5)[seed % 2]
        eta = rise * np.arange(12) + rng.standard_normal(12) + (seed % 5) / 2
        rho = rise * np.arange(length + 12) + rng.standard_normal(length + 12)
        for n in range(1, 13):
            f, g = eta[:n], rho[: length + n]
            expected = curve_judge.verdict(f, g, f, g, n, 12)
            if expected != "go on":
                break
        end = play(settings, 1, eta, rho, length)
        assert (end.promoted, end.points) == (expected == "success", n)
        kinds.add(expected)
    assert kinds >= {"success", "no-improvement", "no-overlap"}


@pytest.mark.parametrize("rise", [0.0, 0.2])
def test_larger_advantages_are_found_more_often(rise: float) -> None:
    shares = [promoted(case(12, 12, rise=rise), d, 120) for d in (-1.0, 0.0, 1.0, 3.0)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] + 0.1


def test_less_noise_or_more_time_finds_more() -> None:
    short = case(12, 4, child_replaced=0.25, parent_replaced=1 / 3)
    longer = with_settings(replace(short, grows=120), ready_interval=480, max_eval_steps=360)
    assert promoted(longer, 1.0, 150) > promoted(short, 1.0, 150) + 0.1
    assert promoted(replace(short, noise=0.2), 1.0, 150) > promoted(short, 1.0, 150)


@pytest.mark.parametrize(("child", "parent"), [(0.25, 0.0), (0.25, 1 / 3), (0.0, 0.5)])
def test_exploit_ends_as_many_evaluations_as_it_must(child: float, parent: float) -> None:
    # Far below the child an evaluator goes on to the end of its time, unless exploit ends it.
    of = case(12, 4, child_replaced=child, parent_replaced=parent, min_points=4, smoothing="none", patience="fixed")
    ends = sample(of, [-1e6], 1000)[-1e6]
    survives = []
    for first in (1, 2, 3, 4):  # evaluations to the first ready
        chance = 1.0
        for points in range(first, 12, 4):
            chance *= (1 - child) * (1 - parent if points >= 4 else 1)
        survives.append(chance)
    exact = 1 - sum(survives) / 4
    assert np.mean([end.replaced for end in ends]) == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 1000))
    assert not any(end.promoted for end in ends)


def test_children_are_as_old_as_random_exploit_leaves_them() -> None:
    of = case(12, 4, 1000, child_replaced=0.25)
    ages = np.random.default_rng(0).exponential(-1 / math.log(0.75), 100_000)  # the geometric's, as real numbers
    np.testing.assert_allclose(child_lengths(of), np.quantile(ages, [1 / 8, 3 / 8, 5 / 8, 7 / 8]) * 4, atol=1)
    assert child_lengths(case(12, 4, 10, child_replaced=0.01)) == [5, 5, 5, 5]  # never longer than half the run


def test_power_counts_what_fits_into_the_run() -> None:
    of = case(7, 2, 100, evaluators=3, child_replaced=0.25)
    found = power(of, 50)
    ends = sample(of, [0.0], 50)[0.0]
    assert found.points == 7
    assert found.taken == np.mean([end.points for end in ends])
    assert found.begun == pytest.approx(3 * 99 / found.taken)
    assert found.false_promotions == found.begun * found.false.value
    assert 0 < found.false.error < 0.1
    assert power(of, 50) == found


def test_the_case_of_a_run() -> None:
    found = settings_case(resolve(compose(["learner=quadratic"])))
    assert found is not None
    assert (found.points, found.per_ready, found.evaluations, found.evaluators) == (18, 6, 360, 6)
    assert found.child_replaced == 2 / 8
    assert found.parent_replaced == pytest.approx(2 / 6)  # of the six that are measured
    own = settings_case(resolve(compose(["learner=quadratic", "algo.parent_fitness=objective"])))
    assert own is not None
    assert own.parent_replaced == 2 / 8
    for algo in ("pbt", "random", "mfpbt"):
        assert settings_case(resolve(compose(["learner=quadratic", f"algo={algo}"]))) is None


def cached(compose_groups: Callable[[Mapping[str, str]], Any]) -> Callable[[Mapping[str, str]], Any]:
    """Hydra's part is the same for all: half a second each time."""
    known: dict[str, Any] = {}

    def groups(chosen: Mapping[str, str]) -> Any:
        if repr(chosen) not in known:
            known[repr(chosen)] = compose_groups(chosen)
        return copy.deepcopy(known[repr(chosen)])

    return groups


def test_every_change_is_a_run_that_launch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    of = settings_case(resolve(compose(["learner=quadratic"])))
    assert of is not None
    changes: dict[frozenset[str], Change] = {}  # in another order they are the same run
    for free in (Freedom(1, over_interval=True), Freedom(5)):
        for first in extensions(Change({}, of), free):
            for change in [first, *extensions(first, free)]:
                changes.setdefault(frozenset(change.text().split()), change)
    assert len(changes) > 50
    monkeypatch.setattr(composing, "compose_groups", cached(composing.compose_groups))
    for arguments, change in changes.items():
        made = settings_case(resolve(compose(["learner=quadratic", *arguments])))
        assert made is not None
        assert (made.settings, made.steps) == (change.case.settings, change.case.steps)
        assert (made.ready_interval, made.eval_interval) == (change.case.ready_interval, change.case.eval_interval)


def test_what_averages_is_read_from_the_learner() -> None:
    assert freedom_of({"noise": 1.0}, 5) == Freedom(5)
    assert freedom_of({"objective": "training", "objective_episodes": 8}, 5) == Freedom(5, over_interval=True)
    fresh = freedom_of({"objective": "fresh", "objective_episodes": 8}, 5)
    assert fresh.averaged == ("learner.objective_episodes", 8)
    changes = [c for c in extensions(Change({}, case()), fresh) if "learner.objective_episodes" in c.arguments]
    assert [c.case.noise for c in changes] == pytest.approx([2**-0.5, 0.5, 8**-0.5])
    assert [c.evaluation for c in changes] == [2, 4, 8]


def test_mend_takes_the_first_that_reaches_the_target_or_says_so() -> None:
    of = case(8, 4, 64, child_replaced=0.25)
    options: dict[str, Any] = {"changes": 1, "screening": 10, "evaluations": 20}
    first = next(extensions(Change({}, of), Freedom()))
    easy = mend(of, Freedom(), Target(1e-9, 1.0), **options)
    assert easy.change is not None
    assert (easy.change.arguments, easy.both, easy.tried) == (first.arguments, True, 1)
    never = mend(of, Freedom(), Target(1.5, 0.0), **options)
    assert (never.change, never.power, never.both) == (None, None, False)
    assert never.tried > 5


def test_launch_warns_of_settings_alone() -> None:
    few = warning(resolve(compose(["learner=quadratic", "preset=smoke"])))
    assert few is not None
    assert "7 points" in few
    assert "\n" not in few
    enough = ["learner=quadratic", "algo.max_eval_steps=360", "ready_interval=360"]
    assert warning(resolve(compose(enough))) is None
    assert warning(resolve(compose(["learner=quadratic", "algo=pbt"]))) is None

"""The statistics of evaluations before a run: against integrals, against the judge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import curve_judge
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.evolution.algorithms import fire
from firerl.insight.plan.power import Case, advantage, case_of, child_lengths, curve, judge, power, sample

INTERVAL = 10


def case(
    points: int = 12, per_ready: int = 4, evaluations: int = 100, settings: Mapping[str, Any] = {}, **more: Any
) -> Case:
    """A case whose evaluators have so many points and these ``settings``; further arguments are the case's."""
    own = fire.Settings(max_eval_steps=points * INTERVAL, **settings)
    return Case(own, INTERVAL, per_ready * INTERVAL, evaluations * INTERVAL, **more)


def promoted(of: Case, difference: float, evaluations: int) -> float:
    return float(np.mean([end.promoted for end in sample(of, [difference], evaluations)[difference]]))


@pytest.mark.parametrize("difference", [0.0, 1.0, 1.5])
def test_success_without_overlap_has_its_exact_probability(difference: float) -> None:
    # Seven points, a verdict on no fewer, curves as they are: in an overlap the first pair is never won (the lower
    # curve has just reached the other's start), so that seven of seven are only won where all lie above all.
    flat = case(7, evaluations=1, settings={"smoothing": "none", "min_points": 7})
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
            found = judge(settings, 1, curve(f, settings), curve(g, settings))
            if expected != "go on":
                break
            assert found is None
        assert found == (expected == "success")
        kinds.add(expected)
    assert kinds >= {"success", "no-improvement", "no-overlap"}


@pytest.mark.parametrize("rise", [0.0, 0.2])
def test_larger_advantages_are_found_more_often(rise: float) -> None:
    shares = [promoted(case(12, 12, rise=rise), d, 120) for d in (-1.0, 0.0, 1.0, 3.0)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] + 0.1


def test_more_time_finds_more() -> None:
    short = case(12, 4, child_replaced=0.25, parent_replaced=1 / 3)
    longer = case(36, 48, child_replaced=0.25, parent_replaced=1 / 3)
    assert promoted(longer, 1.0, 150) > promoted(short, 1.0, 150) + 0.1


@pytest.mark.parametrize(("child", "parent"), [(0.25, 0.0), (0.25, 1 / 3), (0.0, 0.5)])
def test_exploit_ends_as_many_evaluations_as_it_must(child: float, parent: float) -> None:
    # Far below the child an evaluator goes on to the end of its time, unless exploit ends it.
    settings = {"min_points": 4, "smoothing": "none", "patience": "fixed"}
    of = case(12, 4, 100, settings, child_replaced=child, parent_replaced=parent)
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
    found = case_of(resolve(compose(["learner=quadratic"])))
    assert found is not None
    assert (found.points, found.per_ready, found.evaluations, found.evaluators) == (18, 6, 360, 6)
    assert found.child_replaced == 2 / 8
    assert found.parent_replaced == pytest.approx(2 / 6)  # of the six that are measured
    own = case_of(resolve(compose(["learner=quadratic", "algo.parent_fitness=objective"])))
    assert own is not None
    assert own.parent_replaced == 2 / 8
    for algo in ("pbt", "random", "mfpbt"):
        assert case_of(resolve(compose(["learner=quadratic", f"algo={algo}"]))) is None

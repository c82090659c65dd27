"""Statistics against scipy, whole enumerations and what must hold of any values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from firerl.insight.compare import statistics

quick = settings(max_examples=30, deadline=None, database=None, derandomize=True)
numbers = st.integers(-50, 50).map(float)  # whole: many ties
samples = st.lists(numbers, min_size=3, max_size=7)
RNG = np.random.default_rng(5)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_the_interval_is_scipys(statistic: statistics.Statistic) -> None:
    x = RNG.normal(3.0, 2.0, 25)
    theirs = scipy.stats.bootstrap((x,), statistic, n_resamples=40_000, method="percentile", rng=RNG)
    ours = statistics.estimate(x, statistic)
    assert ours.value == statistic(x)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.06)


def test_the_interval_of_four_values_is_that_of_all_resamples() -> None:
    x = [0.0, 1.0, 5.0, 7.0]
    everything = [float(np.mean(draw)) for draw in itertools.product(x, repeat=4)]
    low, high = np.percentile(everything, [2.5, 97.5])
    ours = statistics.mean(x)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.26)  # the next mean is 0.25 away


def test_curves_are_resampled_whole() -> None:
    curves = RNG.normal(size=(4, 9))  # 4 points of 9 runs
    low, high = statistics.bootstrap(curves, np.median)
    for row, a, b in zip(curves, low, high, strict=True):
        assert (a, b) == tuple(float(bound) for bound in statistics.bootstrap(row, np.median))


def test_too_few_values_have_no_interval() -> None:
    assert statistics.median([4.0]) == statistics.Estimate(4.0, None, None, 1)
    assert statistics.mean([4.0, 6.0]) == statistics.Estimate(5.0, None, None, 2)
    assert statistics.probability_of_improvement([1.0, 2.0], [0.0, 1.0, 3.0]).low is None
    assert statistics.median([1.0, 2.0, 9.0]).low == 1.0  # of three the median's interval spans all


@given(samples)
@quick
def test_an_interval_holds_its_figure_and_moves_with_the_values(x: list[float]) -> None:
    one, other = statistics.median(x), statistics.median([value + 8.0 for value in x])
    assert one.low is not None
    assert one.high is not None
    assert min(x) <= one.low <= one.value <= one.high <= max(x)
    assert (other.value, other.low, other.high) == (one.value + 8, one.low + 8, one.high + 8)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=8))
@quick
def test_the_sign_flip_test_is_scipys_permutation_test(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    theirs = scipy.stats.permutation_test(
        (x, y),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    ours = statistics.paired(x, y)
    assert ours.exact
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.mean.value == pytest.approx(float(np.mean(x - y)))


def test_the_sign_flip_test_in_whole_numbers() -> None:
    # Sums at least as far from 0 as 6: +++ and --- of eight.
    assert statistics.sign_flip([1.0, 2.0, 3.0]) == (0.25, True)
    # 4 = 1 + 3: (-+...) flips of the 0 count twice: |a 1 + b 3| >= 4 for 2 of 4.
    assert statistics.sign_flip([1.0, 3.0, 0.0]) == (0.5, True)
    assert statistics.sign_flip([0.0, 0.0]) == (1.0, True)
    assert statistics.sign_flip([0.1] * 8) == (2 / 256, True)  # sums that rounding would make unequal


def test_many_pairs_are_flipped_at_random_and_near_the_exact_p() -> None:
    d = RNG.normal(0.4, 1.0, 17)
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])  # all 2^17
    exact = float(np.mean(np.abs(sums) >= abs(math.fsum(d)) - 1e-9))
    p_value, tried_all = statistics.sign_flip(d)
    assert not tried_all
    assert p_value == pytest.approx(exact, abs=4 * math.sqrt(exact / statistics.FLIPS))
    assert statistics.sign_flip([1.0] * 40)[0] == 1 / (statistics.FLIPS + 1)  # never 0


@given(samples, samples)
@quick
def test_the_probability_of_improvement_is_the_u_statistic(x: list[float], y: list[float]) -> None:
    u = scipy.stats.mannwhitneyu(x, y).statistic
    one, other = statistics.probability_of_improvement(x, y), statistics.probability_of_improvement(y, x)
    assert one.value == pytest.approx(u / (len(x) * len(y)))
    assert one.value + other.value == pytest.approx(1.0)
    assert statistics.probability_of_improvement(x, x).value == 0.5
    moved = statistics.probability_of_improvement([v + 8.0 for v in x], [v + 8.0 for v in y])
    assert moved == one


def test_the_interval_of_the_probability_resamples_both_sides() -> None:
    x, y = RNG.normal(0.5, 1.0, 9), RNG.normal(0.0, 1.0, 6)
    draws = [np.mean(np.sign(RNG.choice(x, len(x))[:, None] - RNG.choice(y, len(y))) / 2 + 0.5) for _ in range(20_000)]
    ours = statistics.probability_of_improvement(x, y)
    assert (ours.low, ours.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.025)
    assert ours.n == 6


@pytest.mark.parametrize("x", [[], [1.0, math.nan], [[1.0], [2.0]]])
def test_what_are_no_values_is_refused(x: list[float]) -> None:
    with pytest.raises(ValueError, match="values are a 1-D array"):
        statistics.median(x)


def test_unequal_lengths_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="2 values cannot be paired with 3"):
        statistics.paired([1.0, 2.0], [1.0, 2.0, 3.0])

"""Overlaps worked out by hand, the sign test against scipy."""

from __future__ import annotations

import curve_judge as judge
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from test_smoothing import rising

from firerl.evolution.curves import Overlap, best_score_diff, best_score_diffs, binom_test, overlap, smooth
from firerl.evolution.curves.pair import _sign_test

levels = st.lists(st.integers(-6, 6), min_size=1, max_size=7).map(lambda ys: np.array(ys, dtype=float))
finite = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
noisy = st.lists(finite, min_size=1, max_size=30).map(np.array)


def diff(f: object, g: object, min_points: int = 4) -> float:
    """best_score_diff of curves that count as smooth."""
    return best_score_diff(f, g, smooth_f=f, smooth_g=g, min_points=min_points)  # type: ignore[arg-type]


def sign(f: object, g: object) -> float:
    return binom_test(f, g, smooth_f=f, smooth_g=g)  # type: ignore[arg-type]


# overlap

BY_HAND = [
    # f starts lower; it first reaches g's start (2) at index 2; g has 2 points
    ([0, 1, 2, 3, 4], [2, 5], Overlap(2, 0, 2)),
    # it jumps over g's start; f's remainder [3, 4] is the shorter
    ([0, 1, 3, 4], [2, 5, 6, 7], Overlap(2, 0, 2)),
    # g starts lower
    ([4, 9], [1, 2, 5, 6, 3], Overlap(0, 2, 2)),
    # equal starts
    ([1, 2, 3], [1, 0], Overlap(0, 0, 2)),
    # reached, left again: the first time counts
    ([0, 3, 1, 3, 4], [2, 2, 2], Overlap(1, 0, 3)),
    # reached by the last point alone
    ([0, 1, 2], [2, 3, 4], Overlap(2, 0, 1)),
    # never reached: wholly below, and crossing without overlap
    ([0, 1], [2, 3], None),
    ([0, 1], [2, 0], None),
    ([], [1, 2], None),
]


@pytest.mark.parametrize(("f", "g", "expected"), BY_HAND)
def test_overlap_by_hand(f: list[float], g: list[float], expected: Overlap | None) -> None:
    assert overlap(f, g) == expected
    assert overlap(g, f) == (expected and Overlap(expected.g, expected.f, expected.length))


@given(levels, levels)
def test_overlap_is_as_long_as_can_be_and_inside(f: np.ndarray, g: np.ndarray) -> None:
    shared = overlap(f, g)
    if shared is None:
        lower, other = (f, g) if f[0] <= g[0] else (g, f)
        assert lower.max() < other[0]
    else:
        assert min(shared.f, shared.g) == 0
        assert shared.length == min(len(f) - shared.f, len(g) - shared.g) >= 1


# best_score_diff

DIFFERENCES = [
    ([0, 1, 2, 3, 4], [2, 5], -2),  # best of [2, 3] - best of [2, 5]
    ([0, 1, 3, 4], [2, 5, 6, 7], -1),  # best of [3, 4] - best of [2, 5]: the rest of g is not in the overlap
    ([4, 9], [1, 2, 5, 6, 3], 3),  # best of [4, 9] - best of [5, 6]
    ([0, 3, 1, 3, 4], [2, 2, 2], 1),
]


@pytest.mark.parametrize(("f", "g", "expected"), DIFFERENCES)
def test_best_score_diff_by_hand(f: list[float], g: list[float], expected: float) -> None:
    assert diff(f, g) == expected
    assert diff(g, f) == -expected


SHIFTED = [  # overlaps of one point count
    # f falls, g is one point at 0: offset 5 lays f's start on it, 0 - 0
    ([5, 4, 3], [0], 0),
    # g rises by 1, f by 3: offset 10 lays start on start, [0, 3, 6] - [0, 1, 2]. Just above offset 13, f's part starts
    # at 16 - 13 = 3 and is 1 point: 3 - 0; just above 10 it is [3, 6] beside [0, 1]: 6 - 1 = 5
    ([10, 13, 16], [0, 1, 2], 5),
    # the same curve, higher: just above offset 10 f reaches g's start at 11 and is a step ahead, [1, 2] beside [0, 1]
    ([10, 11, 12], [0, 1, 2], 1),
    # no rise in either: nothing is gained
    ([10, 10, 10], [0, 0, 0], 0),
    # offset 10 lays start on start: 0 - 2; offset 8 lays f's start on g's record 2: 2 - 2
    ([10, 9], [0, 2], 0),
    # f's later rise counts through a short g: just above offset 10, [5] beside [0]
    ([10, 15], [0], 5),
    # offset 6 lays f's start on g's record 4, whose rest is one point: 4 - 4; offset 10: [0, 5] - [0, 4] = 1; just
    # above 10: [5] beside [0]
    ([10, 15], [0, 4], 5),
]


@pytest.mark.parametrize(("f", "g", "expected"), SHIFTED)
def test_a_curve_wholly_above_is_shifted_down(f: list[float], g: list[float], expected: float) -> None:
    assert diff(f, g, min_points=1) == expected
    assert diff(g, f, min_points=1) == 0  # wholly below: nothing is known


FOUR_POINTS = [
    # f rises a hundredth as fast as g. On one point each step would count; start on start it is .05 - 5, and with f's
    # start on g's record 2 it is .03 - 3
    ([9, 9.01, 9.02, 9.03, 9.04, 9.05], [0, 1, 2, 3, 4, 5], 0),
    # start on start 8 - 4; just above offset 20 f's part starts at 2 and goes on from its start: 8 - 0 - 3
    ([20, 22, 24, 26, 28], [0, 1, 2, 3, 4], 5),
    # the same, but that g ends after three points
    ([20, 22, 24, 26, 28], [0, 1, 2], 0),
    # f has three points
    ([20, 22, 24], [0, 1, 2, 3, 4], 0),
    # g's rise is over after two points: f's start on g's record 3 at index 1 leaves [0, 0, 0, 1] beside [3, 3, 3, 3]
    ([9, 9, 9, 10], [0, 3, 3, 3, 3], 1),
    # one g shorter, and that is too few: start on start, [0, 0, 0, 1] - [0, 3, 3, 3]
    ([9, 9, 9, 10], [0, 3, 3, 3], 0),
]


@pytest.mark.parametrize(("f", "g", "expected"), FOUR_POINTS)
def test_offsets_leave_at_least_four_points(f: list[float], g: list[float], expected: float) -> None:
    assert diff(f, g) == pytest.approx(expected, abs=1e-7)
    assert (diff(f, g) > 0) == (expected > 0)
    assert diff(g, f) == 0


def test_neither_overlap_nor_wholly_above_is_zero() -> None:
    # f = [2, 0] starts above all of g and falls into it
    assert diff([2, 0], [0, 1]) == diff([0, 1], [2, 0]) == 0


@settings(max_examples=150, deadline=None)
@given(levels, levels, st.integers(1, 5))
def test_the_shift_finds_what_a_dense_search_finds(f: np.ndarray, g: np.ndarray, min_points: int) -> None:
    f = f + 20  # wholly above
    expected = judge.largest_shifted_difference(f, g, min_points)
    assert diff(f, g, min_points) == pytest.approx(expected, abs=2e-6)


@given(levels, levels, st.integers(1, 5))
def test_more_points_are_never_easier(f: np.ndarray, g: np.ndarray, min_points: int) -> None:
    """Above the other a curve loses offsets; where the two overlap the number decides nothing."""
    assert diff(f, g, min_points + 1) <= diff(f, g, min_points) or overlap(f, g) is not None
    if overlap(f, g) is not None:
        assert diff(f, g, min_points) == diff(f, g, 1)


@given(noisy, noisy)
def test_best_score_diff_is_antisymmetric_where_curves_overlap(f: np.ndarray, g: np.ndarray) -> None:
    if overlap(f, g) is not None:
        assert diff(f, g) == -diff(g, f)
    else:
        assert diff(f, g) >= 0 <= diff(g, f)
        assert 0 in (diff(f, g), diff(g, f))


@given(
    st.lists(levels | noisy, max_size=6),
    st.lists(st.sampled_from([0, 0, 20, 2000]), min_size=6, max_size=6),
    st.integers(1, 5),
)
def test_all_pairs_at_once_are_each_pair_to_the_last_bit(
    some: list[np.ndarray], heights: list[int], min_points: int
) -> None:
    some = [y + height for y, height in zip(some, heights, strict=False)]
    expected = [[0.0 if f is g else diff(f, g, min_points) for g in some] for f in some]
    assert np.array_equal(best_score_diffs(some, min_points), np.reshape(expected, (len(some), len(some))))


# On a grid of 2^-10 sums and multiples by powers of two are exact, so the curves themselves are moved without rounding
dyadic = st.lists(st.integers(-4096, 4096), min_size=1, max_size=14).map(lambda ys: np.array(ys) / 1024)
offsets = st.integers(-(2**20), 2**20).map(float)


@settings(max_examples=150, deadline=None)
@given(dyadic, dyadic, offsets, st.integers(-40, 40), st.sampled_from([0, 0, 9]))
@example(np.array([755, -2268, 0, 0]) / 1024, np.array([0, -810, 0, -706]) / 1024, -16384.0, 0, 0)
def test_where_and_in_what_unit_curves_are_measured_decides_nothing(
    f: np.ndarray, g: np.ndarray, offset: float, power: int, height: int
) -> None:
    """The difference of the smooth curves is the same under an offset, and exactly 2^k times it in another unit."""
    f, unit = f + height, 2.0**power
    assert best_score_diff(unit * f, unit * g) == unit * best_score_diff(f, g)
    assert binom_test(unit * f, unit * g) == binom_test(f, g)
    # Of the rounding, and of the doubles at the offset; what was 0 stays exactly 0.
    step = 2.0**-28 * max(np.ptp(smooth(f)), np.ptp(smooth(g))) + np.spacing(abs(offset))
    moved = best_score_diff(f + offset, g + offset)
    assert moved == pytest.approx(best_score_diff(f, g), abs=step)
    assert (moved > 0) == (best_score_diff(f, g) > 0)
    assert binom_test(f + offset, g + offset) == binom_test(f, g)


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 25), st.integers(5, 25), st.integers(0, 10**6), st.floats(-1e6, 1e6))
def test_an_evaluator_above_its_child_that_only_falls_is_never_better(n: int, m: int, seed: int, offset: float) -> None:
    draws = np.random.default_rng(seed)
    f, g = 50 - np.sort(draws.exponential(size=n)), draws.normal(size=m)
    assert diff(np.array(f) + offset, g + offset) == 0
    assert best_score_diffs([f + offset, g + offset]).max() == 0


@given(dyadic, st.integers(20, 2000), offsets)
def test_a_curve_that_never_rises_is_no_better_than_itself_moved_up(y: np.ndarray, height: int, offset: float) -> None:
    falling = offset - np.maximum.accumulate(y)
    assert diff(falling + height, falling) == 0


def test_smooth_curves_are_computed_when_not_given() -> None:
    f, g = rising(12, 1) + 0.5, rising(20, 2)
    assert best_score_diff(f, g) == diff(smooth(f), smooth(g))
    assert binom_test(f, g) == binom_test(f, g, smooth_f=smooth(f), smooth_g=smooth(g))


# binom_test


@pytest.mark.parametrize(
    ("f", "g", "expected"),
    [
        ([0, 1, 2, 3, 4], [0, 0, 0, 0, 0], 1 / 16),  # a tie and 4 wins: 1/2^4
        ([0, 1, 2, 3, 4], [0, 0, 0, 9, 9], 11 / 16),  # a tie, 2 wins of 4: (6 + 4 + 1) / 16
        ([0, 0, 0], [0, 0, 0], 1.0),  # no untied pair
        ([0, 0, 0], [0, 1, 2], 1.0),  # no win
        ([5, 6], [0, 1], 0.0),  # wholly above
        ([0, 1], [5, 6], 1.0),  # wholly below
        ([2, 0], [0, 1], 1.0),  # neither, and no overlap
        ([], [0, 1], 1.0),
        ([0, 1, 2, 5], [2, 3], 1 / 2),  # [2, 5] beside [2, 3]: a tie and one win
    ],
)
def test_binom_test_by_hand(f: list[float], g: list[float], expected: float) -> None:
    assert sign(f, g) == expected


def test_binom_test_counts_raw_values_in_the_smooth_overlap() -> None:
    # smooth: f reaches g's start 2 at index 2, so raw [7, 1] stands beside raw [3, 0]
    assert binom_test([9, 9, 7, 1], [3, 0], smooth_f=[0, 1, 2, 3], smooth_g=[2, 3]) == 1 / 4


@given(st.integers(0, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_sign_test_is_scipys(n: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(0, n))
    expected = binomtest(wins, n, alternative="greater").pvalue if n else 1.0
    assert _sign_test(wins, n) == pytest.approx(expected, rel=1e-11)


@given(noisy, noisy)
def test_binom_test_against_scipy_on_any_curves(f: np.ndarray, g: np.ndarray) -> None:
    shared = overlap(f, g)
    if shared is not None:
        pairs = list(zip(f[shared.f :], g[shared.g :], strict=False))
        wins, losses = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
        expected = binomtest(wins, wins + losses, alternative="greater").pvalue if wins + losses else 1.0
        assert sign(f, g) == pytest.approx(expected, rel=1e-11)

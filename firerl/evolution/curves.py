"""Learning curves: where two of them overlap, and which of the two improves faster.

Source: Dalibard & Jaderberg 2021 (arXiv 2109.13800). A curve is a 1-D array [n] of objective values at consecutive
evaluations, higher is better. Every function here is deterministic and draws nothing at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firerl.evolution.smoothing import MIN_POINTS, Curve, as_curve, prepare, running_mean, smooth

__all__ = [
    "MIN_POINTS",
    "Curve",
    "Overlap",
    "best_score_diff",
    "best_score_diffs",
    "binom_test",
    "overlap",
    "prepare",
    "running_mean",
    "smooth",
]


@dataclass(frozen=True)
class Overlap:
    """Where two curves f and g run through the same objective values: f[f : f + length] beside g[g : g + length]."""

    f: int  # first index in f
    g: int  # first index in g
    length: int


def overlap(smooth_f: ArrayLike, smooth_g: ArrayLike) -> Overlap | None:
    """Where two smooth curves [n], [m] overlap; None where they do not.

    The lower-starting curve runs until it first reaches the other's start; the overlap begins there and at the other's
    first index, and lasts until the shorter remainder ends.
    """
    f, g = as_curve(smooth_f), as_curve(smooth_g)
    if not len(f) or not len(g):
        return None
    reached = np.flatnonzero(f >= g[0]) if f[0] <= g[0] else np.flatnonzero(g >= f[0])
    if not len(reached):
        return None
    start_f, start_g = (int(reached[0]), 0) if f[0] <= g[0] else (0, int(reached[0]))
    return Overlap(start_f, start_g, min(len(f) - start_f, len(g) - start_g))


def best_score_diff(
    f: ArrayLike,
    g: ArrayLike,
    *,
    smooth_f: ArrayLike | None = None,
    smooth_g: ArrayLike | None = None,
    min_points: int = MIN_POINTS,
) -> float:
    """How much better the best of f is than the best of g in their overlap, on the smooth curves.

    Antisymmetric where the curves overlap. Without overlap, and f wholly above g: the largest difference (at least 0)
    that f shifted down can have, over the offsets that make the curves overlap on at least ``min_points`` points.
    Otherwise 0: nothing is known. In steps of 2^-30 of the larger range, about 9 digits, so that what would be 0 but
    for rounding is 0, wherever the curves lie. Smooth curves that are given are not computed again.
    """
    f, g = _smoothed(f, smooth_f), _smoothed(g, smooth_g)
    shared = overlap(f, g)
    if shared is not None:
        in_f, in_g = _inside(f, g, shared)
        difference = in_f.max() - in_g.max()
    elif _wholly_above(f, g):
        difference = max(0.0, _largest_shifted_diff(_Best(f), _Best(g), min_points))
    else:
        return 0.0
    return float(_rounded(difference, max(np.ptp(f), np.ptp(g))))


def best_score_diffs(smooth_curves: Sequence[Curve], min_points: int = MIN_POINTS) -> NDArray[np.float64]:
    """best_score_diff of all pairs of smooth curves, to the last bit: [N, N], f in rows, g in columns, 0 with itself.

    No curve may be empty. Costs O(N) vector operations.
    """
    if not smooth_curves:
        return np.zeros((0, 0))
    curves = _Bests(smooth_curves)
    diffs = np.zeros((len(smooth_curves), len(smooth_curves)))
    for i, lower in enumerate(curves.each):
        others = np.flatnonzero(curves.starts >= curves.starts[i])
        reached = np.searchsorted(lower.running, curves.starts[others])  # where the lower curve first gets there
        overlaps = reached < len(lower.y)
        j, first = others[overlaps], reached[overlaps]
        shared = np.minimum(len(lower.y) - first, curves.lengths[j])
        gain = lower.inside(first, shared) - curves.running[j, shared - 1]
        diffs[i, j], diffs[j, i] = gain, 0.0 - gain
        apart = others[~overlaps]
        above = apart[curves.lowest[apart] > lower.running[-1]]
        if len(above):
            diffs[above, i] = np.maximum(0.0, curves.largest_shifted_diffs(above, lower, min_points))
    ranges = np.array([np.ptp(y) for y in smooth_curves])
    return _rounded(diffs, np.maximum(ranges[:, None], ranges))


def _rounded(difference: Any, scale: Any) -> Any:
    """Differences in steps of 2^-30 of ``scale``, rounded up to a power of two."""
    digits = 30 - np.frexp(scale)[1]
    return np.ldexp(np.rint(np.ldexp(difference, digits)), -digits)


def binom_test(
    f: ArrayLike, g: ArrayLike, *, smooth_f: ArrayLike | None = None, smooth_g: ArrayLike | None = None
) -> float:
    """p-value of the one-sided sign test that f's raw values in the overlap exceed g's more often than by chance.

    Ties count for neither; without an untied pair it is 1. Without overlap: 0 if f lies wholly above g, else 1. Smooth
    curves, which decide where the overlap is, are not computed again if given.
    """
    f, g = as_curve(f), as_curve(g)
    smooth_f, smooth_g = _smoothed(f, smooth_f), _smoothed(g, smooth_g)
    shared = overlap(smooth_f, smooth_g)
    if shared is None:
        return 0.0 if _wholly_above(smooth_f, smooth_g) else 1.0
    in_f, in_g = _inside(f, g, shared)
    wins, losses = int(np.sum(in_f > in_g)), int(np.sum(in_f < in_g))
    return _sign_test(wins, wins + losses)


class _Best:
    """Best values over parts of one curve y [n]."""

    def __init__(self, y: Curve):
        self.y = y
        self.running = np.maximum.accumulate(y)  # [n] up to each index

    @cached_property
    def records(self) -> NDArray[np.intp]:
        """Indices of the values above all before them; the first always is one."""
        return np.flatnonzero(np.concatenate([[True], self.y[1:] > self.running[:-1]]))

    def inside(self, first: NDArray[np.intp], length: NDArray[np.intp]) -> Curve:
        """[k] the best of the ``length`` values from ``first`` on, for k parts: two powers of two cover a part."""
        power = np.frexp(length)[1] - 1  # the largest 2^power <= length
        return np.maximum(self.powers[power, first], self.powers[power, first + length - 2**power])

    @cached_property
    def powers(self) -> Curve:
        """[power, n] the best of the 2^power values from each index on, where there are so many."""
        rows = [self.y]
        while 2 ** len(rows) <= len(self.y):
            half = 2 ** (len(rows) - 1)
            rows.append(np.concatenate([np.maximum(rows[-1][:-half], rows[-1][half:]), np.full(half, np.inf)]))
        return np.stack(rows)


def _largest_shifted_diff(f: _Best, g: _Best, min_points: int) -> float:
    """The largest best_score_diff(f - c, g) over all offsets c at which the two overlap on enough points, f wholly
    above g; -inf where no offset lets them.

    Where the overlap starts changes only as c passes a *record*, a value above all before it; between two such offsets
    the difference falls with c, so its supremum lies at the smallest, and finitely many offsets are looked at:
    c = f[0] - g[j] starts g's part at its record j; c just above (f's record before i) - g[0] starts f's part at its
    record i. The latter is a limit: taken as the value that the difference comes arbitrarily near to. A part that
    starts in f jumps over g's start by up to one evaluation's gain, which counts for f, as in any overlap.

    Each curve's gain is a difference of its own values, so that the offset leaves no rounding behind: that of an f
    which never rises is exactly 0.
    """
    j = g.records
    lengths = np.minimum(len(f.y), len(g.y) - j)
    starts_in_g = (f.running[lengths - 1] - f.y[0]) - (g.inside(j, lengths) - g.y[j])
    largest = starts_in_g.max(initial=-np.inf, where=lengths >= min_points)

    before, i = f.records[:-1], f.records[1:]
    lengths = np.minimum(len(f.y) - i, len(g.y))
    starts_in_f = (f.inside(i, lengths) - f.y[before]) - (g.running[lengths - 1] - g.y[0])
    return float(starts_in_f.max(initial=largest, where=lengths >= min_points))


class _Bests:
    """Best values over parts of N curves, in arrays that are as long as the longest."""

    def __init__(self, curves: Sequence[Curve]):
        self.each = [_Best(y) for y in curves]
        self.lengths = np.array([len(y) for y in curves], dtype=np.intp)
        self.starts = np.array([y[0] for y in curves])
        self.lowest = np.array([y.min() for y in curves])
        self.running = np.full((len(curves), self.lengths.max()), np.inf)  # [N, longest]
        for row, one in zip(self.running, self.each, strict=True):
            row[: len(one.y)] = one.running

    @cached_property
    def _powers(self) -> Curve:
        """[N, power, longest], as for one curve."""
        powers = np.full((len(self.each), int(self.lengths.max()).bit_length(), self.running.shape[1]), np.inf)
        for rows, one in zip(powers, self.each, strict=True):
            rows[: len(one.powers), : len(one.y)] = one.powers
        return powers

    @cached_property
    def _steps(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Curve]:
        """The records of all curves but the first of each: whose, its index, the value of the record before it."""
        whose = np.repeat(np.arange(len(self.each)), [len(one.records) - 1 for one in self.each])
        index = np.concatenate([one.records[1:] for one in self.each])
        before = np.concatenate([one.y[one.records[:-1]] for one in self.each])
        return whose, index, before

    def largest_shifted_diffs(self, above: NDArray[np.intp], g: _Best, min_points: int) -> Curve:
        """``_largest_shifted_diff`` of each of the curves ``above`` [k], which all lie wholly above g."""
        j = g.records
        lengths = np.minimum(self.lengths[above][:, None], len(g.y) - j)  # [k, records of g]
        gains = self.running[above[:, None], lengths - 1] - self.starts[above][:, None]
        starts_in_g = gains - (g.inside(j, lengths) - g.y[j])
        largest = np.full(len(self.each), -np.inf)
        largest[above] = starts_in_g.max(axis=1, initial=-np.inf, where=lengths >= min_points)

        is_above = np.zeros(len(self.each), dtype=bool)
        is_above[above] = True
        whose, index, before = self._steps
        lengths = np.minimum(self.lengths[whose] - index, len(g.y))
        these = is_above[whose] & (lengths >= min_points)
        whose, index, before, lengths = whose[these], index[these], before[these], lengths[these]
        power = np.frexp(lengths)[1] - 1
        inside = np.maximum(self._powers[whose, power, index], self._powers[whose, power, index + lengths - 2**power])
        np.maximum.at(largest, whose, (inside - before) - (g.running[lengths - 1] - g.y[0]))
        return largest[above]


@lru_cache(maxsize=4096)
def _sign_test(wins: int, n: int) -> float:
    """P(X >= wins), X ~ Binomial(n, 1/2): scipy.stats.binomtest's p-value for alternative 'greater'.

    In whole numbers, so that it is exact and the same on every machine, and scipy.stats need not be loaded.
    """
    tail, ways = 0, math.comb(n, wins)
    for k in range(wins, n + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return tail / 2**n


def _wholly_above(smooth_f: Curve, smooth_g: Curve) -> bool:
    return bool(len(smooth_f) and len(smooth_g) and smooth_f.min() > smooth_g.max())


def _inside(f: Curve, g: Curve, shared: Overlap) -> tuple[Curve, Curve]:
    return f[shared.f : shared.f + shared.length], g[shared.g : shared.g + shared.length]


def _smoothed(y: ArrayLike, smooth_y: ArrayLike | None) -> Curve:
    return smooth(y) if smooth_y is None else as_curve(smooth_y)

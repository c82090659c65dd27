"""Two learning curves: where they overlap, and which of the two improves faster."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firerl.evolution.curves.smoothing import MIN_POINTS, Curve, as_curve, smooth


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
        difference = max(0.0, _largest_shifted_diff(f, g, min_points))
    else:
        return 0.0
    return float(rounded(difference, max(np.ptp(f), np.ptp(g))))


def _largest_shifted_diff(f: Curve, g: Curve, min_points: int) -> float:
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
    # The best up to each index: also that of a part which begins at a record, since all before it is lower.
    best_f, best_g = np.maximum.accumulate(f), np.maximum.accumulate(g)
    j = records(g)
    n = np.minimum(len(f), len(g) - j)
    starts_in_g = (best_f[n - 1] - f[0]) - (best_g[j + n - 1] - g[j])
    largest = starts_in_g.max(initial=-np.inf, where=n >= min_points)

    before, i = records(f)[:-1], records(f)[1:]
    n = np.minimum(len(f) - i, len(g))
    starts_in_f = (best_f[i + n - 1] - f[before]) - (best_g[n - 1] - g[0])
    return float(starts_in_f.max(initial=largest, where=n >= min_points))


def records(y: Curve) -> NDArray[np.intp]:
    """Indices of the values of y [n] above all before them; the first always is one."""
    return np.flatnonzero(np.concatenate([[True], y[1:] > np.maximum.accumulate(y)[:-1]]))


def rounded(difference: Any, scale: Any) -> Any:
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

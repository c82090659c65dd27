"""What a handful of runs says: medians and means with bootstrap intervals, paired differences, who is better.

Arrays in, small dataclasses out; every random draw has the seed 0, so that the same values give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOUNDS = (2.5, 97.5)  # percentiles: all intervals are of 95 %
RESAMPLES = 10_000
LEAST = 3  # values for an interval
EXACT = 16  # pairs whose 2^n sign flips are all tried
FLIPS = 100_000  # drawn where there are more pairs

Array = NDArray[np.float64]
Statistic = Callable[..., Any]  # of the last axis, as np.median and np.mean


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; no interval where there are too few values for one."""

    value: float
    low: float | None
    high: float | None
    n: int  # values behind it


@dataclass(frozen=True)
class Paired:
    """The mean difference of paired values, and how often chance alone makes one as large."""

    mean: Estimate
    p_value: float  # two-sided
    exact: bool  # all sign flips were tried


def bootstrap(x: ArrayLike, statistic: Statistic, resamples: int = RESAMPLES) -> tuple[Array, Array]:
    """The bounds of the 95 % percentile interval of ``statistic`` over the last axis of x [..., n].

    The columns are resampled together, so that of curves [points, n] whole curves are. Raises ValueError on no value.
    """
    x = np.asarray(x, dtype=np.float64)
    n = x.shape[-1]
    draws = np.random.default_rng(0).integers(n, size=(resamples, n))
    low, high = np.percentile(statistic(x[..., draws], axis=-1), BOUNDS, axis=-1)
    return low, high


def estimate(x: ArrayLike, statistic: Statistic) -> Estimate:
    """``statistic`` of x [n] with its percentile bootstrap interval, from ``LEAST`` values on.

    The percentile interval, since it is there for a median too, where the acceleration of BCa is not defined. From few
    values it is too narrow: of a median of three it spans the values, and misses the truth one time in four.
    """
    x = _values(x)
    low, high = bootstrap(x, statistic) if len(x) >= LEAST else (None, None)
    return Estimate(float(statistic(x)), _number(low), _number(high), len(x))


def median(x: ArrayLike) -> Estimate:
    """The median of x [n] with its interval."""
    return estimate(x, np.median)


def mean(x: ArrayLike) -> Estimate:
    """The mean of x [n] with its interval."""
    return estimate(x, np.mean)


def paired(x: ArrayLike, y: ArrayLike) -> Paired:
    """x minus y, pair by pair: [n] each, the mean difference, its interval, and the sign-flip permutation test.

    For values of several tasks, normalise and concatenate them. Raises ValueError on unequal lengths or no pair.
    """
    x, y = _values(x), _values(y)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values cannot be paired with {len(y)}")
    p_value, exact = sign_flip(x - y)
    return Paired(mean(x - y), p_value, exact)


def sign_flip(differences: ArrayLike) -> tuple[float, bool]:
    """(p, exact) of the two-sided test that differences [n] are as often below 0 as above, by their mean.

    If x and y were alike, each difference could as well have the other sign. Up to ``EXACT`` pairs all 2^n flips are
    tried and p is exact; with more, ``FLIPS`` are drawn and count beside the one that was seen.
    """
    d = _values(differences)
    exact = len(d) <= EXACT
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(FLIPS, len(d)))
    seen = abs(math.fsum(d)) - 1e-12 * np.abs(d).sum()  # rounding must not make equal sums differ
    extreme = int(np.count_nonzero(np.abs(signs @ d) >= seen))
    return (extreme / len(signs) if exact else (extreme + 1) / (len(signs) + 1)), exact


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> Estimate:
    """P(X > Y) over all pairs of x [n] and y [m], ties half, with its interval.

    As in Agarwal et al. 2021 ("Deep RL at the edge of the statistical precipice"): the bootstrap is stratified, x and
    y are resampled each by itself. ``n`` is the smaller of the two counts.
    """
    x, y = _values(x), _values(y)
    n = min(len(x), len(y))
    wins = (np.sign(x[:, None] - y) + 1) / 2  # [n, m]
    if n < LEAST:
        return Estimate(float(wins.mean()), None, None, n)
    rng = np.random.default_rng(0)
    rows = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=RESAMPLES)  # how often each value is drawn
    columns = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=RESAMPLES)
    draws = ((rows @ wins) * columns).sum(axis=1) / wins.size
    low, high = np.percentile(draws, BOUNDS)
    return Estimate(float(wins.mean()), float(low), float(high), n)


def _values(x: ArrayLike) -> Array:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values are a 1-D array of finite numbers, at least one, got shape {values.shape}: {values}")
    return values


def _number(value: Array | None) -> float | None:
    return None if value is None else float(value)

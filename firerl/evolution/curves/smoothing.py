"""Smooth learning curves: a Gaussian process, and a running mean as its alternative.

A curve is a 1-D array [n] of objective values at consecutive evaluations. The numbers are the same on every processor,
to the last bit, as ``firerl.base.arithmetic`` explains.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firerl.base import arithmetic

Curve = NDArray[np.float64]

GRID = 24  # values of each of the Gaussian process's two hyperparameters
MIN_POINTS = 4  # shorter curves are their own smooth curve, and shorter overlaps say nothing


def smooth(y: ArrayLike) -> Curve:
    """The smooth curve [n] of a curve [n]: the posterior mean of a Gaussian process over the index 0..n-1.

    Targets are normalised to mean 0 and variance 1, the kernel is RBF(length scale l) + White(variance v), and the
    marginal likelihood is maximised over 24 x 24 values of (l, v): l geometric from max(1, n / 6) to 10 n, v from 0.01
    to 10; the first maximum wins. Bounded so, it cannot interpolate the noise of short curves. The smooth curve of
    y + c is the smooth curve of y plus c. Fewer than 4 points or a constant curve: a copy of the curve itself.
    Raises ValueError on an array that is not 1-D or not finite.
    """
    y = as_curve(y)
    if len(y) < MIN_POINTS or y.min() == y.max():
        return y.copy()
    exponent = int(np.frexp(np.abs(y).max())[1])
    unit = np.ldexp(y, -exponent)  # a power of two, so nothing is rounded: squares of huge objectives must not overflow
    rise = unit - unit[0]  # what a constant added to the curve does not change
    mean, deviation = rise.mean(), rise.std()
    posterior = _processes({len(y)})[len(y)].posterior_mean((rise - mean) / deviation)
    return np.ldexp(unit[0] + (mean + deviation * posterior), exponent)


def prepare(lengths: Iterable[int]) -> None:
    """Make what ``smooth`` needs for curves of these lengths: in a fraction of the time that they take one by one."""
    _processes({n for n in lengths if n >= MIN_POINTS})


def forget() -> None:
    """Drop what is kept from one curve to the next of its length: it changes no number, only time and memory."""
    _kept.clear()


def running_mean(y: ArrayLike) -> Curve:
    """The mean [n] of each value and its two neighbours on either side, fewer at the ends: an alternative to smooth().

    Centred, as the Gaussian process is, so that it neither lags nor sees less of the curve than that does; what is
    missing is the model that fits its width to the noise. Like there, fewer than 4 points or a constant curve: a copy.
    """
    y = as_curve(y)
    if len(y) < MIN_POINTS or y.min() == y.max():
        return y.copy()
    neighbours = np.lib.stride_tricks.sliding_window_view(np.pad(y, 2, constant_values=np.nan), 5)
    return np.asarray(np.nanmean(neighbours, axis=1))


def as_curve(y: ArrayLike) -> Curve:
    """``y`` as a curve. Raises ValueError on an array that is not 1-D or not finite."""
    curve = np.asarray(y, dtype=np.float64)
    if curve.ndim != 1 or not np.isfinite(curve).all():
        raise ValueError(f"a curve is a 1-D array of finite numbers, got shape {curve.shape}: {curve}")
    return curve


@dataclass(frozen=True)
class _Solver:
    """(F'F + vI)^-1 for the kernels FF' of L length scales, all v at once: H' F'F H is tridiagonal, and L D L' with v.

    F are the features of ``_features_of`` at the points of the curve, for even and for odd polynomials.

    z' (K + vI)^-1 z = (z'z - z'F (F'F + vI)^-1 F'z) / v and |K + vI| = v^(n - 2R) |F'F + vI| (Woodbury), so no n x n
    matrix is ever formed.
    """

    weights: Curve  # [K, R, p, L]: F's times H
    pivots: Curve  # [R, p, L, v] of D
    below: Curve  # [R, p, L, v] of L, below the diagonal; the first is 0

    def forward(self, projected: Curve) -> Curve:
        """L^-1 F'z [R, p, L, v] of a curve's z' T [K, p]."""
        right = (self.weights * projected[: len(self.weights), None, :, None]).sum(axis=0)  # [R, p, L]
        solved = np.empty_like(self.pivots)
        solved[0] = right[0, ..., None]
        for r in range(1, len(solved)):
            np.multiply(self.below[r], solved[r - 1], out=solved[r])
            np.subtract(right[r, ..., None], solved[r], out=solved[r])
        return solved

    def coefficients(self, solved: Curve, scale: int, variance: int) -> Curve:
        """The posterior mean's [K, p] in Chebyshev polynomials, for one (l, v)."""
        pivots, below = self.pivots[:, :, scale, variance], self.below[:, :, scale, variance]  # [R, p]
        x = solved[:, :, scale, variance] / pivots
        for r in range(len(x) - 2, -1, -1):
            x[r] -= below[r + 1] * x[r + 1]
        return np.asarray((self.weights[..., scale] * x).sum(axis=1))


@dataclass(frozen=True)
class _Process:
    """The Gaussian processes of one curve length n: 24 length scales in groups, 24 variances."""

    polynomials: Curve  # [K, p, n] T_2k+p at the points of the curve
    solvers: tuple[_Solver, ...]
    constant: Curve  # [l, v] log |K + vI|

    @cached_property
    def size(self) -> int:
        """Bytes."""
        parts = (array for s in self.solvers for array in (s.weights, s.pivots, s.below))
        return self.polynomials.nbytes + sum(array.nbytes for array in parts)

    def posterior_mean(self, z: Curve) -> Curve:
        """The mean [n] at the curve's own points of the likeliest process, z [n] of mean 0 and variance 1."""
        projected = (self.polynomials * z).sum(axis=2)
        solved = [solver.forward(projected) for solver in self.solvers]
        pairs = zip(self.solvers, solved, strict=True)
        fit = np.concatenate([(x * x / solver.pivots).sum(axis=0).sum(axis=0) for solver, x in pairs])  # [l, v]
        likelihood = (fit - (z * z).sum()) / _VARIANCES - self.constant
        scale, variance = (int(i) for i in np.unravel_index(np.argmax(likelihood), likelihood.shape))  # l: outer loop
        group = 0
        while scale >= solved[group].shape[2]:
            scale -= solved[group].shape[2]
            group += 1
        found = self.solvers[group].coefficients(solved[group], scale, variance)
        return np.asarray((self.polynomials[: len(found)] * found[:, :, None]).sum(axis=0).sum(axis=0))


class _Kept:
    """Processes by curve length, the latest used last. Those of 250 lengths up to 500 points take 75 MB."""

    def __init__(self, most: int):
        self.most = most  # bytes
        self.made = OrderedDict[int, _Process]()
        self.size = 0

    def clear(self) -> None:
        """Forget all."""
        self.made.clear()
        self.size = 0

    def add(self, n: int, process: _Process) -> None:
        """Keep it, and forget as many others as make room for it."""
        self.made[n] = process
        self.size += process.size
        while self.size > self.most and len(self.made) > 1:
            self.size -= self.made.popitem(last=False)[1].size


_kept = _Kept(100 * 2**20)
BATCH = 16  # lengths; more at once take more memory and no less time


def _processes(lengths: set[int]) -> dict[int, _Process]:
    """The processes of these lengths, made where they are not kept."""
    found = {}
    for n in sorted(lengths & _kept.made.keys()):
        _kept.made.move_to_end(n)
        found[n] = _kept.made[n]
    missing = sorted(lengths - found.keys())
    alone = [[n] for n in missing if n < 6]  # their length scales are others
    rest = missing[len(alone) :]
    for batch in [*alone, *(rest[i : i + BATCH] for i in range(0, len(rest), BATCH))]:
        for n, process in zip(batch, _make_processes(batch), strict=True):
            _kept.add(n, process)
            found[n] = process
    return found


def _make_processes(lengths: Sequence[int]) -> list[_Process]:
    """The processes of these lengths [N], which share their length scales in units of the length.

    Arrays end in [..., p, l, N] or so and are summed over an axis before these: in that order, whatever N is.
    """
    features = _features(max(1 / lengths[0], 1 / 6))
    size = max(len(weights) for weights in features)
    polynomials, sums = [], np.empty((2 * size, len(lengths)))
    for i, n in enumerate(lengths):
        x = np.arange(1.0 - n, n, 2.0) / n  # the middles of n equal parts of (-1, 1)
        even, odd = _chebyshev(x, 2 * size, size)
        polynomials.append(np.stack([even[:size], odd], axis=1))
        sums[:, i] = even.sum(axis=1)  # of T_0, T_2, ...; those of T_1, T_3, ... are 0
    k = np.arange(size)
    # T_i T_j = (T_(i+j) + T_|i-j|) / 2
    products = np.stack([sums[k[:, None] + k + p] + sums[np.abs(k[:, None] - k)] for p in (0, 1)], axis=2) / 2
    solvers = [_solvers(weights, products) for weights in features]
    made = []
    for n, points, own in zip(lengths, polynomials, zip(*solvers, strict=True), strict=True):
        determinants = np.concatenate([s.pivots.prod(axis=0).prod(axis=0) for s in own])  # |F'F + vI|
        free = np.concatenate([np.full(s.pivots.shape[2], n - 2 * len(s.pivots)) for s in own])
        made.append(_Process(points, own, arithmetic.log(determinants) + free[:, None] * arithmetic.log(_VARIANCES)))
    return made


def _solvers(weights: Curve, products: Curve) -> list[_Solver]:
    """A solver for each of N lengths, from the sums of products of polynomials [K, K, p, N] over the points."""
    size, most, lengths = len(weights), weights.shape[1], products.shape[-1]
    right = np.zeros((*weights.shape, lengths))  # [K, R, p, L, N]
    for k in range(size):
        right += products[k, :size, None, :, None] * weights[k, ..., None]
    gram = np.zeros((most, *right.shape[1:]))  # [R, R, p, L, N]
    for k in range(size):
        gram += weights[k, :, None, ..., None] * right[k]
    diagonal, beside, turned = _tridiagonal(gram, np.repeat(weights[..., None], lengths, axis=-1))
    pivots = np.empty((*diagonal.shape, GRID))  # [R, p, L, N, v]
    below = np.zeros_like(pivots)
    pivots[0] = diagonal[0][..., None] + _VARIANCES
    for r in range(1, most):
        below[r] = beside[r - 1][..., None] / pivots[r - 1]
        pivots[r] = (diagonal[r][..., None] + _VARIANCES) - below[r] * beside[r - 1][..., None]
    return [_Solver(turned[..., i].copy(), pivots[..., i, :].copy(), below[..., i, :].copy()) for i in range(lengths)]


def _tridiagonal(a: Curve, basis: Curve) -> tuple[Curve, Curve, Curve]:
    """Householder's reflections of many matrices a [R, R, ...]: the diagonal [R, ...] of H' a H, what is beside it
    [R - 1, ...], and basis H [K, R, ...]."""
    rows = np.concatenate([a, basis])  # both are multiplied by H from the right
    size = a.shape[1]
    for k in range(size - 2):
        v = rows[k + 1 : size, k].copy()  # [m, ...]
        norm = np.sqrt((v * v).sum(axis=0))
        v[0] += np.where(v[0] < 0, -norm, norm)
        square = (v * v).sum(axis=0)
        v *= np.sqrt(2 / np.where(square > 0, square, np.inf))  # the reflection is I - v v'; nothing to turn: I
        rest = rows[k + 1 : size, k:]
        rest -= v[:, None] * (v[:, None] * rest).sum(axis=0)
        rest = rows[k:, k + 1 :]
        rest -= (rest * v).sum(axis=1)[:, None] * v
    diagonal = np.stack([rows[r, r] for r in range(size)])
    beside = np.stack([rows[r + 1, r] for r in range(size - 1)])
    return diagonal, beside, rows[size:]


SHORT = 6  # so many of the length scales, the shortest, need more polynomials than the others


@lru_cache(maxsize=4)
def _features(shortest: float) -> tuple[Curve, ...]:
    """The kernels of 24 length scales, geometric from ``shortest`` to 10 of the curve's length, in two groups."""
    low, high = arithmetic.log(np.array([shortest, 10.0]))
    scales = 2 * arithmetic.exp(low + (high - low) * np.arange(GRID) / (GRID - 1))  # x runs from -1 to 1
    return _features_of(scales[:SHORT], 18), _features_of(scales[SHORT:], 12)


def _features_of(scales: Curve, size: int) -> Curve:
    """Weights [K, R, p, L] with k(x, x') = sum_p sum_r F_rp(x) F_rp(x'), F_rp(x) = sum_k T_2k+p(x) weights[k, r, p].

    The shortest scale, 1/3, needs 36 polynomials for an error of 1e-13. Their coefficients fall so fast that a pivoted
    Cholesky decomposition of these ends after a dozen columns.
    """
    nodes = arithmetic.sin(np.arange(1.0 - 2 * size, 2 * size, 2.0) * (np.pi / (4 * size)))  # Chebyshev's
    apart = nodes[:, None] - nodes
    kernels = arithmetic.exp(-(apart * apart) / (2 * scales * scales)[:, None, None])  # [L, nodes, nodes]
    halves = []
    for rows in _chebyshev(nodes, size, size):  # [K, nodes]: interpolation's coefficients are sums over nodes
        to_coefficients = rows / np.where(rows[:, :1] == 1, 2 * size, size)
        half = (to_coefficients[:, :, None] * kernels[:, None]).sum(axis=2)  # [L, K, nodes]
        coefficients = (half[:, :, None, :] * to_coefficients).sum(axis=3)  # [L, K, K]
        halves.append([_pivoted_cholesky(one) for one in coefficients])
    most = max(len(columns) for half in halves for columns in half)
    weights = np.zeros((size, most, 2, len(scales)))
    for p, half in enumerate(halves):
        for scale, columns in enumerate(half):
            weights[:, : len(columns), p, scale] = np.transpose(columns)
    return weights


def _pivoted_cholesky(a: Curve) -> list[Curve]:
    """Columns [K] whose products with themselves add up to ``a`` [K, K], but for 1e-16 on its diagonal."""
    rest, columns = a.copy(), list[Curve]()
    while len(columns) < len(a) and rest.diagonal().max() > 1e-16:
        pivot = int(rest.diagonal().argmax())
        columns.append(rest[pivot] / np.sqrt(rest[pivot, pivot]))
        rest -= columns[-1][:, None] * columns[-1]
    return columns


def _chebyshev(x: Curve, even: int, odd: int) -> tuple[Curve, Curve]:
    """T_0, T_2, ... [even, n] and T_1, T_3, ... [odd, n] at x [n]."""
    twice = 4 * x * x - 2  # 2 T_2: T_(m+2) = 2 T_2 T_m - T_(m-2)
    rows = np.empty((even, len(x))), np.empty((odd, len(x)))
    rows[0][0], rows[0][1], rows[1][0], rows[1][1] = 1.0, twice / 2, x, (twice - 1) * x
    for half in rows:
        for k in range(2, len(half)):
            np.multiply(twice, half[k - 1], out=half[k])
            half[k] -= half[k - 2]
    return rows


_VARIANCES = arithmetic.exp(2.302585092994046 * (3 * np.arange(GRID) / (GRID - 1) - 2))  # 0.01 to 10, of the noise

"""The judge: curves and verdicts once more, slow and obvious, from the rules alone and with other libraries.

Nothing here comes from firerl. Smoothing is scikit-learn's Gaussian process at every point of the grid, the sign test
is scipy's, the shift of a curve wholly above the other is a search over many offsets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel


def smooth_all(curves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The smooth curve of each [n]. Those of one length are the targets of one process: it is fitted once for them."""
    smooth = [np.array(y, dtype=float) for y in curves]
    for n in {len(y) for y in curves if len(y) >= 4}:
        same = [k for k, y in enumerate(curves) if len(y) == n and len(set(y)) > 1]
        x, targets = np.arange(n)[:, None], np.stack([curves[k] for k in same], axis=1)  # [n, 1], [n, curves]
        best = np.full(len(same), -np.inf)
        for scale in np.geomspace(max(1, n / 6), 10 * n, 24):
            for variance in np.geomspace(0.01, 10, 24):
                kernel = RBF(scale) + WhiteKernel(variance)
                process = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None, normalize_y=True).fit(x, targets)
                z, solved = process.y_train_.reshape(n, -1), process.alpha_.reshape(n, -1)
                likelihood = -0.5 * (z * solved).sum(axis=0) - np.log(np.diag(process.L_)).sum()  # of each curve
                better = likelihood > best
                if better.any():
                    best = np.maximum(best, likelihood)
                    mean = process.predict(x).reshape(n, -1)
                    for column in np.flatnonzero(better):
                        smooth[same[column]] = mean[:, column]
    return smooth


def overlap(f: np.ndarray, g: np.ndarray) -> tuple[int, int, int] | None:
    """First index in f, first index in g, length."""
    if f[0] > g[0]:
        turned = overlap(g, f)
        return turned and (turned[1], turned[0], turned[2])
    for i in range(len(f)):
        if f[i] >= g[0]:
            return i, 0, min(len(f) - i, len(g))
    return None


def difference_inside(f: np.ndarray, g: np.ndarray) -> float | None:
    """Best of f less best of g in their overlap; None without one."""
    shared = overlap(f, g)
    if shared is None:
        return None
    i, j, length = shared
    return max(f[i : i + length]) - max(g[j : j + length])


def largest_shifted_difference(f: np.ndarray, g: np.ndarray, min_points: int = 4) -> float:
    """Over f - c: each c that lays a value of f on one of g, a bit more, a bit less, and 50 between; at least 0.

    Offsets that leave fewer than ``min_points`` in the overlap do not count.
    """
    step = 1e-6
    aligned = np.unique(np.subtract.outer(f, g))
    best = 0.0
    for offset in [*aligned, *(aligned + step), *(aligned - step), *np.linspace(aligned[0], aligned[-1], 50)]:
        shared = overlap(f - offset, g)
        if shared and shared[2] >= min_points:
            i, j, length = shared
            best = max(best, max(f[i : i + length]) - offset - max(g[j : j + length]))
    return best if best > 1e-9 * max(np.ptp(f), np.ptp(g)) else 0.0  # f - c + c is not f: a difference of rounding


def best_score_diff(f: np.ndarray, g: np.ndarray) -> float:
    """Of two smooth curves."""
    inside = difference_inside(f, g)
    if inside is not None:
        return inside
    return largest_shifted_difference(f, g) if min(f) > max(g) else 0.0


def binom_test(f: np.ndarray, g: np.ndarray, smooth_f: np.ndarray, smooth_g: np.ndarray) -> float:
    """Of raw values, in the overlap of the smooth curves."""
    shared = overlap(smooth_f, smooth_g)
    if shared is None:
        return 0.0 if min(smooth_f) > max(smooth_g) else 1.0
    i, j, length = shared
    untied = [(a, b) for a, b in zip(f[i : i + length], g[j : j + length], strict=True) if a != b]
    wins = sum(a > b for a, b in untied)
    return float(binomtest(wins, len(untied), alternative="greater").pvalue) if untied else 1.0


def verdict(
    eta: np.ndarray, rho: np.ndarray, smooth_eta: np.ndarray, smooth_rho: np.ndarray, elapsed: int, max_eval_steps: int
) -> str:
    """ "success", the reason of a stop, or "go on", at p = 0.01 and from 4 points on."""
    p = 0.01
    shared = overlap(smooth_eta, smooth_rho)
    points = shared[2] if shared else len(eta)
    out_of_time = elapsed >= max_eval_steps
    if points < 4 and not out_of_time:
        return "go on"
    p_value = binom_test(eta, rho, smooth_eta, smooth_rho)
    better = best_score_diff(smooth_eta, smooth_rho) > 0
    if better and p_value < p and points >= (4 if shared else 7):
        return "success"
    if shared is None:
        return "no-overlap" if out_of_time else "go on"
    if p_value > p + max(0, 1 - elapsed / max_eval_steps):
        return "no-improvement"
    return "timeout" if out_of_time else "go on"

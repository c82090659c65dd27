"""Smoothing against the judge and against whole kernels; the same bits whatever is kept and whatever the processor."""

from __future__ import annotations

import time
import warnings
from functools import lru_cache

import curve_judge as judge
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firerl.evolution.curves import smoothing
from firerl.evolution.curves.smoothing import forget, prepare, smooth


def rising(n: int, seed: int = 0, noise: float = 0.2) -> np.ndarray:
    return np.log1p(np.arange(n)) + noise * np.random.default_rng(seed).standard_normal(n)


@lru_cache(maxsize=1)
def whole_kernels(n: int) -> list[tuple[np.ndarray, ...]]:
    squares = (np.arange(n)[:, None] - np.arange(n)) ** 2
    scales = np.geomspace(max(1, n / 6), 10 * n, 24)
    return [tuple(np.linalg.eigh(np.exp(-squares / (2 * scale**2)))) for scale in scales]


def judge_dense(y: np.ndarray) -> np.ndarray:
    """The judge's smooth curve through whole n x n kernels, fast enough for long curves."""
    z = (y - y.mean()) / y.std()
    best, mean = -np.inf, z
    for s, u in whole_kernels(len(y)):
        projected = u.T @ z
        for variance in np.geomspace(0.01, 10, 24):
            likelihood = -np.sum(projected**2 / (s + variance)) - np.sum(np.log(s + variance))
            if likelihood > best:
                best, mean = likelihood, u @ (s / (s + variance) * projected)
    return y.mean() + y.std() * mean


@pytest.mark.parametrize("y", [rising(4), rising(9, noise=1.0), np.array([3.0, -1, 2, 2, 8])], ids=["4", "9", "5"])
def test_smooth_is_scikit_learns_posterior_mean(y: np.ndarray) -> None:
    np.testing.assert_allclose(smooth(y), judge.smooth_all([y])[0], atol=1e-9 * np.ptp(y))


@pytest.mark.parametrize("n", [4, 5, 6, 7, 12, 31, 64, 101])
def test_smooth_agrees_with_whole_kernels_at_any_length(n: int) -> None:
    walk = np.cumsum(np.random.default_rng(n).standard_normal(n))
    noise = np.random.default_rng(n + 1).standard_normal(n)
    for y in (rising(n, n), walk, noise, np.arange(n) * 1.0, np.sin(np.arange(n) / 3), np.eye(n)[n // 2]):
        np.testing.assert_allclose(smooth(y), judge_dense(y), atol=1e-10 * np.ptp(y))


def test_smooth_known_numbers() -> None:
    # Printed by the judge
    known = [2.040834923463, 2.450291388777, 3.116999648596, 3.883000351404, 4.549708611223, 4.959165076538]
    np.testing.assert_allclose(smooth([1, 3, 2, 5, 4, 6]), known, rtol=1e-11)


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 40), st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_smooth_moves_and_scales_with_the_curve(n: int, seed: int, shift: float, scale: float) -> None:
    y = rising(n, seed)
    np.testing.assert_allclose(smooth(scale * y + shift), scale * smooth(y) + shift, atol=1e-8 * (scale + abs(shift)))
    np.testing.assert_allclose(smooth(y[::-1]), smooth(y)[::-1], atol=1e-8)


def test_smooth_removes_noise_and_keeps_the_trend() -> None:
    trend = np.log1p(np.arange(60))
    y = trend + 0.3 * np.random.default_rng(1).standard_normal(60)
    assert np.std(smooth(y) - trend) < 0.6 * np.std(y - trend)


def test_smooth_is_the_same_every_time() -> None:
    y = rising(25)
    first = smooth(y)
    forget()
    assert np.array_equal(smooth(y), first)
    assert np.array_equal(smooth(list(y)), first)


@pytest.mark.parametrize("y", [[], [1.0], [1.0, 5.0, 2.0], [0.1] * 9])
def test_short_and_constant_curves_are_their_own_smooth_curve(y: list[float]) -> None:
    given_curve = np.array(y)
    smoothed = smooth(given_curve)
    assert np.array_equal(smoothed, given_curve)
    assert smoothed is not given_curve
    assert smoothed.dtype == np.float64


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1e12, 1e300])
def test_extreme_objectives_neither_overflow_nor_warn(unit: float) -> None:
    y = rising(10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(smooth(unit * y) / unit, smooth(y), rtol=1e-9)


@pytest.mark.parametrize("y", [[[1.0, 2.0]], [1.0, np.nan, 2.0], [1.0, np.inf], 3.0])
def test_what_is_no_curve_is_refused(y: object) -> None:
    with pytest.raises(ValueError, match="1-D array of finite numbers"):
        smooth(y)  # type: ignore[arg-type]


def test_what_is_kept_or_made_together_changes_no_bit() -> None:
    lengths = [4, 5, 6, 7, 9, 22, 23, 60, 61, 200]
    forget()
    prepare(lengths)
    together = [smooth(rising(n, n)) for n in lengths]
    for n, expected in zip(lengths, together, strict=True):
        forget()
        assert np.array_equal(smooth(rising(n, n)), expected)


def test_what_is_kept_takes_little_memory() -> None:
    kept = smoothing._Kept(2 * 2**20)
    for n, process in smoothing._processes(set(range(300, 320))).items():
        kept.add(n, process)
        assert kept.size == sum(one.size for one in kept.made.values()) <= kept.most
    assert list(kept.made)[-1] == 319
    assert 1 < len(kept.made) < 20


def test_many_curves_of_many_lengths_are_cheap() -> None:
    """The winner's pick in a long run meets them at every ready. Some 0.2 s on an idle core; 2 s before."""
    curves = [rising(n, n) for n in range(2, 502, 2)]
    forget()
    began = time.process_time()
    prepare(len(y) for y in curves)
    for y in curves:
        smooth(y)
    assert time.process_time() - began < 1.0

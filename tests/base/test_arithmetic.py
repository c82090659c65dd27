"""Functions in a fixed order against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from firerl.base import arithmetic


@pytest.mark.parametrize("x", [np.linspace(-600, 600, 999), np.array([0.0, -0.0, 1e-300])], ids=["grid", "small"])
def test_functions_are_as_good_as_numpys(x: np.ndarray) -> None:
    np.testing.assert_allclose(arithmetic.exp(x), np.exp(x), rtol=5e-16)
    np.testing.assert_allclose(arithmetic.log(np.exp(x)), x, rtol=1e-15, atol=1e-15)
    angles = x[np.abs(x) < np.pi / 2]
    np.testing.assert_allclose(arithmetic.sin(angles), np.sin(angles), rtol=4e-16)


def test_triangular_systems() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((30, 30))
    a = root @ root.T + 0.1 * np.eye(30)
    lower = arithmetic.cholesky(a)
    np.testing.assert_allclose(lower, np.linalg.cholesky(a), rtol=1e-9, atol=1e-12)
    for b in (rng.standard_normal(30), rng.standard_normal((30, 4))):
        np.testing.assert_allclose(lower @ arithmetic.forward(lower, b), b, atol=1e-9)
    b = rng.standard_normal(30)
    np.testing.assert_allclose(lower.T @ arithmetic.backward(lower, b), b, atol=1e-9)


@pytest.mark.parametrize("a", [[[1.0, 2.0], [2.0, 1.0]], [[0.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_a_matrix_that_is_not_positive_definite_is_refused(a: list[list[float]]) -> None:
    with pytest.raises(ArithmeticError, match="not positive definite"):
        arithmetic.cholesky(np.array(a))

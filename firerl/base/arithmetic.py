"""exp, log, sin and triangular systems whose last bits are the same on every processor.

Sums, products, quotients and square roots alone, each rounded as IEEE 754 says, in an order that is written here. No
BLAS, no LAPACK, and none of numpy's vectorised exp and log: those round differently from one processor to the next, and
a decision that hangs on their last bits would give another run. Arrays of float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LN2, LN2_HIGH, LN2_LOW = 0.6931471805599453, 0.693147180369123816490, 1.90821492927058770002e-10


def log(x: Array) -> Array:
    """The natural logarithm of positive numbers, within 2 units of the last place."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < 0.7071067811865476
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), exponent - low
    s = (mantissa - 1) / (mantissa + 1)  # log m = 2 artanh s, |s| < 0.172
    total, square = np.zeros_like(s), s * s
    for k in range(23, 0, -2):
        total = total * square + 1 / k
    return np.asarray(exponent * LN2 + 2 * s * total)


def exp(x: Array) -> Array:
    """e to the x, for |x| < 700, within 2 units of the last place."""
    power = np.rint(x / LN2)
    rest = (x - power * LN2_HIGH) - power * LN2_LOW  # |rest| < 0.347
    total = np.ones_like(x)
    for k in range(14, 0, -1):
        total = 1 + total * rest / k
    return np.ldexp(total, power.astype(int))


def sin(x: Array) -> Array:
    """The sine, for |x| < pi / 2, within 2 units of the last place."""
    total, square = np.ones_like(x), x * x
    for k in range(28, 0, -2):
        total = 1 - total * square / (k * (k + 1))
    return np.asarray(x * total)


def cholesky(a: Array) -> Array:
    """The lower triangular L [n, n] with L L' = a; ArithmeticError where ``a`` is not positive definite."""
    rest = a.copy()
    for k in range(len(rest)):
        pivot = float(rest[k, k])
        if not pivot > 0:
            raise ArithmeticError(f"the matrix is not positive definite: pivot {k} is {pivot}")
        rest[k:, k] /= np.sqrt(pivot)
        column = rest[k + 1 :, k]
        rest[k + 1 :, k + 1 :] -= column[:, None] * column
    return np.tril(rest)


def forward(lower: Array, b: Array) -> Array:
    """L^-1 b [n, ...], of a lower triangular L [n, n]."""
    x = b.copy()
    for k in range(len(x)):
        x[k] /= lower[k, k]
        x[k + 1 :] -= lower[k + 1 :, k].reshape(-1, *[1] * (x.ndim - 1)) * x[k]
    return x


def backward(lower: Array, b: Array) -> Array:
    """L'^-1 b [n], of a lower triangular L [n, n]."""
    x = b.copy()
    for k in range(len(x) - 1, -1, -1):
        x[k] /= lower[k, k]
        x[:k] -= lower[k, :k] * x[k]
    return x

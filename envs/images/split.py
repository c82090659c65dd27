"""Which images the search may see: stratified, fixed by a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Indices, ascending, of ``count`` of the images with ``labels`` [N]: each class by its share of them.

    Shares are rounded so that they add up (largest remainder first, then the smaller class number).
    """
    rng = np.random.default_rng(seed)
    sizes = np.bincount(labels)
    exact = sizes * (count / len(labels))
    quota = np.floor(exact + 1e-9).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: count - int(quota.sum())]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:wanted] for label, wanted in enumerate(quota)]
    return np.sort(np.concatenate(chosen))

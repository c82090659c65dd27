"""Which training images come when, and how each is augmented: a function of (seed, position).

A position counts a worker's training images from 0; epoch e is positions e N .. e N + N - 1, each image once. A worker
killed in mid-epoch goes on with the very next image, and weights that are copied to it do not change its order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ORDER, DRAWS, STEP = 0, 1, 2  # purposes of random numbers


class Order:
    """The endless order of ``count`` images for one ``seed``; each epoch is shuffled anew."""

    def __init__(self, count: int, seed: int):
        self.count, self.seed = count, seed
        self._shuffled: tuple[int, NDArray[np.int64]] | None = None  # (epoch, its order): a cache

    def indices(self, position: int, length: int) -> NDArray[np.int64]:
        """The images at positions ``position`` .. ``position + length - 1``, [length]."""
        parts, end = [], position + length
        while position < end:
            epoch, start = divmod(position, self.count)
            parts.append(self._epoch(epoch)[start : start + end - position])
            position += len(parts[-1])
        return np.concatenate(parts)

    def draws(self, position: int, length: int, width: int) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1) for the batch that starts at ``position``, [length, width]."""
        return self._rng(DRAWS, position).random((length, width))

    def generator(self, position: int) -> np.random.Generator:
        """For whatever else the step that starts at ``position`` draws."""
        return self._rng(STEP, position)

    def parts(
        self, position: int, steps: int, size: int, part: int, width: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """``indices`` and ``draws`` of so many steps of ``size`` images from ``position`` on, ``part`` at a time."""
        for start in range(position, position + steps * size, size):
            indices, draws = self.indices(start, size), self.draws(start, size, width)
            for first in range(0, size, part):
                yield indices[first : first + part], draws[first : first + part]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = epoch, self._rng(ORDER, epoch).permutation(self.count)
        return self._shuffled[1]

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, number)))

"""Data sets that fit in memory: what their builders return, and how they are served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firerl.envs.images.image_data import Batch, Scale, Shape

CHUNK = 500  # images in one batch of an evaluation


@dataclass(frozen=True)
class Part:
    """Grey images [N, H, W], uint8, and their labels [N], int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class ArrayData:
    """Three parts of one data set. Pixels become numbers of mean 0 and variance 1 over the training part.

    ``shift``: a training image is moved by up to so many pixels each way; what comes in from outside is as the edge.
    """

    max_broken: int | None = None
    scale: Scale | None = None  # images are normalised here
    draws = 2  # uniform numbers that the augmentation of one image takes

    def __init__(self, train: Part, objective: Part, report: Part, classes: int, shift: int):
        self.parts = {"objective": objective, "report": report}
        self.shape = Shape(1, train.images.shape[1], classes)
        self.count = len(train.labels)
        self.shift = shift
        self.mean, self.deviation = float(train.images.mean()), float(train.images.std())
        self.pixels = Scale((self.mean,), (self.deviation,))
        self.classes = tuple(map(str, range(classes)))
        margin = ((0, 0), (shift, shift), (shift, shift))
        self._padded, self._labels = np.pad(train.images, margin, mode="edge"), train.labels

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], moved as ``draws`` [B, 2] say; float32 [B, 1, H, W], labels [B]."""
        offsets = (draws * (2 * self.shift + 1)).astype(np.int64)  # 0 .. 2 shift
        span = np.arange(self.shape.size)
        rows = (offsets[:, :1] + span)[:, :, None]
        columns = (offsets[:, 1:] + span)[:, None, :]
        return self._batch(self._padded[indices[:, None, None], rows, columns], self._labels[indices])

    def stream(self, wanted: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Iterator[Batch]:
        """``train`` for each (indices, draws) of ``wanted``."""
        return (self.train(indices, draws) for indices, draws in wanted)

    def held_out(self, part: str) -> Iterator[Batch]:
        """The objective or the report half of validation, always in the same order."""
        images, labels = self.parts[part].images, self.parts[part].labels
        for start in range(0, len(labels), CHUNK):
            chunk = slice(start, start + CHUNK)
            yield self._batch(images[chunk], labels[chunk])

    def _batch(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Batch:
        numbers = (images.astype(np.float32) - np.float32(self.mean)) / np.float32(self.deviation)
        return Batch(numbers[:, None], labels)

"""What every image data set offers to a learner: ``ImageData``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Shape(NamedTuple):
    """What a network has to fit."""

    channels: int
    size: int  # height and width, in pixels
    classes: int


class Batch(NamedTuple):
    """Normalised images, float32 [B, C, H, W], and labels, int64 [B]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    broken: tuple[int, ...] = ()  # indices of images that could not be read and are not in it


class ImageData(Protocol):
    """One data set, shared by all learners of a process: it holds nothing that training changes."""

    shape: Shape
    count: int  # training images
    draws: int  # uniform numbers that the augmentation of one training image takes
    max_broken: int  # unreadable images that a learner may meet before it fails

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], augmented as ``draws`` [B, draws] in [0, 1) say."""
        ...

    def held_out(self, part: str) -> Iterator[Batch]:
        """``part`` "objective" or "report" of the validation images, always in the same order and batches."""
        ...

"""What every image data set offers to a learner: ``ImageData``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Shape(NamedTuple):
    """What a network has to fit."""

    channels: int
    size: int  # height and width, in pixels
    classes: int


class Scale(NamedTuple):
    """What makes pixels to numbers of mean 0 and variance 1, by channel; of 0 to 1 where nothing else is said."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class Batch(NamedTuple):
    """Images [B, C, H, W] and labels, int64 [B].

    Images are normalised, float32; or, where the set has a ``scale``, pixels as they are, uint8, channels last in
    memory: a quarter of the bytes on the way to the device, which normalises them there.
    """

    images: NDArray[np.float32] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    broken: tuple[int, ...] = ()  # indices of images that could not be read and are not in it


class ImageData(Protocol):
    """One data set, shared by all learners of a process: it holds nothing that training changes."""

    shape: Shape
    count: int  # training images
    classes: tuple[str, ...]  # names, by label
    pixels: Scale  # what normalises pixels of 0 to 255
    scale: Scale | None  # of uint8 images; None: they are normalised already
    draws: int  # uniform numbers that the augmentation of one training image takes
    max_broken: int | None  # unreadable images of a part beyond which a run stops; None: there can be none

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], augmented as ``draws`` [B, draws] in [0, 1) say."""
        ...

    def stream(self, wanted: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Iterator[Batch]:
        """``train`` for each (indices, draws) of ``wanted``, which may be asked for some batches ahead."""
        ...

    def held_out(self, part: str) -> Iterator[Batch]:
        """``part`` "objective" or "report" of the validation images, always in the same order and batches."""
        ...

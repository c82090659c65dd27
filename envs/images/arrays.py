"""Data sets that fit in memory: what their builders return, and how they are served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firerl.envs.images.image_data import Batch, Scale, Shape

CHUNK = 500  # images in one batch of an evaluation
MEASURED = 1000  # images of a set that is no array, by which its pixels are normalised


@dataclass(frozen=True)
class Part:
    """Images [N, H, W] or [N, H, W, C], and their labels [N], int64.

    Pixels are bytes of 0 to 255, or float32: what the network takes, normalised already.
    """

    images: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]

    def at(self, indices: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
        """Images, the rows of them that are at ``indices`` [B], and these rows' labels [B]."""
        return self.images, indices, self.labels[indices]

    def __len__(self) -> int:
        return len(self.labels)


class AnyPart(Protocol):
    """A ``Part``, or what is read when it is needed."""

    def at(self, indices: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]: ...

    def __len__(self) -> int: ...


class ArrayData:
    """Three parts of one data set. Pixels of 0 to 255 become numbers of mean 0 and variance 1 over the training part,
    unless ``pixels`` says otherwise.

    ``shift``: a training image is moved by up to so many pixels each way; what comes in from outside is as the edge.
    ``flip``: every other one is mirrored, left to right.
    """

    max_broken: int | None = None
    scale: Scale | None = None  # images are normalised here

    def __init__(
        self,
        train: AnyPart,
        objective: AnyPart,
        report: AnyPart,
        classes: int | Sequence[str],
        shift: int,
        flip: bool = False,
        pixels: Scale | None = None,
    ):
        self.parts = {"objective": objective, "report": report}
        first, _, _ = train.at(np.arange(1))
        names = [str(number) for number in range(classes)] if isinstance(classes, int) else classes
        self.classes = tuple(map(str, names))
        self.shape = Shape(first.shape[3] if first.ndim == 4 else 1, first.shape[1], len(self.classes))
        self.count = len(train)
        self.shift, self.flip = shift, flip
        self.draws = 2 + flip  # uniform numbers that the augmentation of one image takes
        self.pixels = pixels or _pixels_of(train)
        self.mean, self.deviation = (np.array(values, np.float32) for values in self.pixels)
        self._train = train

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], moved as ``draws`` [B, draws] say; float32 [B, C, H, W], labels."""
        images, where, labels = self._train.at(indices)
        offsets = (draws[:, :2] * (2 * self.shift + 1)).astype(np.int64) - self.shift
        last, span = self.shape.size - 1, np.arange(self.shape.size)
        rows = np.clip(offsets[:, :1] + span, 0, last)[:, :, None]
        columns = np.clip(offsets[:, 1:] + span, 0, last)[:, None, :]
        if self.flip:
            columns = np.where(draws[:, 2, None, None] < 0.5, columns[:, :, ::-1], columns)
        return self._batch(images[where[:, None, None], rows, columns], labels)

    def stream(self, wanted: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Iterator[Batch]:
        """``train`` for each (indices, draws) of ``wanted``."""
        return (self.train(indices, draws) for indices, draws in wanted)

    def held_out(self, part: str) -> Iterator[Batch]:
        """The objective or the report half of validation, always in the same order."""
        chosen = self.parts[part]
        for start in range(0, len(chosen), CHUNK):
            images, where, labels = chosen.at(np.arange(start, min(start + CHUNK, len(chosen))))
            yield self._batch(images[where], labels)

    def _batch(self, images: Any, labels: NDArray[np.int64]) -> Batch:
        """Normalised: from [B, H, W] or [B, H, W, C] to [B, C, H, W]."""
        numbers = (images.astype(np.float32) - self.mean) / self.deviation
        return Batch(numbers[:, None] if images.ndim == 3 else np.moveaxis(numbers, 3, 1), labels)


def _pixels_of(train: AnyPart) -> Scale:
    """Mean and deviation of every channel; of numbers that are normalised already 0 and 1."""
    images, _, _ = train.at(np.arange(min(len(train), MEASURED)))
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.dtype.kind == "f":
        return Scale((0.0,) * channels, (1.0,) * channels)
    each = [images] if images.ndim == 3 else [images[..., channel] for channel in range(channels)]
    return Scale(tuple(float(one.mean()) for one in each), tuple(float(one.std()) or 1.0 for one in each))

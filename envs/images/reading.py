"""From a file to pixels: decode, crop, resize. What threads and reader processes do with each image.

Images are told by their content, whatever they are called, and become RGB. Training takes a random part of an image
(8 to 100 % of its area, sides 3:4 to 4:3) and may mirror it, validation takes the middle of the image, as is usual.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP_TRIES = 10
DRAWS = 4 * CROP_TRIES + 1  # uniform numbers that the augmentation of one image takes
MARGIN = 256 / 224  # the short side of a validation image, in sides of the middle that is taken

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Piece:
    """Files to read, and how."""

    paths: Sequence[str]
    draws: NDArray[np.float64] | None  # [len(paths), DRAWS]; None: the middle of each
    size: int  # height and width of what comes out
    draft: bool  # decode large JPEGs at a half, a quarter, an eighth of their size where that is enough


def read(piece: Piece, out: Pixels) -> list[str]:
    """Read the images of ``piece`` into ``out`` [>= N, size, size, 3]; returns for each why it could not be, or "".

    Raises OSError where it is not the file's fault: a disk that fails, a file that has gone.
    """
    rows = [None] * len(piece.paths) if piece.draws is None else piece.draws
    return [_read_one(path, row, piece, out[i]) for i, (path, row) in enumerate(zip(piece.paths, rows, strict=True))]


def _read_one(path: str, draws: NDArray[np.float64] | None, piece: Piece, out: Pixels) -> str:
    from PIL import Image

    try:
        with Image.open(path) as image:
            out[:] = middle(image, piece) if draws is None else random_part(image, draws, piece)
        return ""
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises
        if isinstance(error, OSError) and error.errno is not None and not os.path.lexists(path):
            raise  # it was there when the run began: its folder is out of reach
        return " ".join(str(error).split()).replace(path, "the file") or type(error).__name__


def random_part(image: Any, draws: NDArray[np.float64], piece: Piece) -> Pixels:
    """A random part of an image, resized to [size, size, 3] and mirrored in half of all cases."""
    width, height = image.size
    box = random_box(width, height, draws[:-1].reshape(CROP_TRIES, 4))
    pixels = _resized(image, box, piece)
    return pixels[:, ::-1] if draws[-1] < 0.5 else pixels


def random_box(width: int, height: int, draws: NDArray[np.float64]) -> Box:
    """The first of the tries ``draws`` [T, 4] that fits, else the middle of the image."""
    for area, ratio, x, y in draws.tolist():
        area = width * height * (0.08 + 0.92 * area)
        ratio = math.exp(math.log(3 / 4) + ratio * 2 * math.log(4 / 3))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    across, down = min(width, height * 4 / 3), min(height, width * 4 / 3)
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def middle(image: Any, piece: Piece) -> Pixels:
    """The middle of an image whose short side becomes 256/224 of ``size``, [size, size, 3]."""
    width, height = image.size
    side = min(width, height) / MARGIN
    return _resized(image, ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2), piece)


def _resized(image: Any, box: Box, piece: Piece) -> Pixels:
    from PIL import Image

    width, height = image.size
    if piece.draft:  # the box stays at least as large as what comes out
        across, down = piece.size / (box[2] - box[0]), piece.size / (box[3] - box[1])
        image.draft("RGB", (math.ceil(width * across), math.ceil(height * down)))
        x, y = image.size[0] / width, image.size[1] / height
        box = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
    rgb = image.convert("RGB")
    return np.asarray(rgb.resize((piece.size, piece.size), Image.Resampling.BILINEAR, box))

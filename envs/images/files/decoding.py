"""From a file to pixels: decode, turn, crop, resize. What threads and reader processes do with each image.

Images are told by their content, whatever they are called, and become RGB: the way up that viewers show them, the first
picture of several. Training takes a random part of an image (8 to 100 % of its area, sides 3:4 to 4:3) and may mirror
it, validation takes the middle of the image, as is usual.

Whatever a decoder raises is the file's fault, and a text; what the operating system raises (a disk that fails, a file
that has gone, too many open ones) is the machine's, and comes out as OSError or MemoryError.
"""

from __future__ import annotations

import errno
import functools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.envs.images.files.listing import shown

CROP_TRIES = 10
DRAWS = 4 * CROP_TRIES + 1  # uniform numbers that the augmentation of one image takes
MARGIN = 256 / 224  # the short side of a validation image, in sides of the middle that is taken
# No other decoder is tried, whatever a file holds: one that runs a program of the machine (EPS) is among the others.
WANTED = ("JPEG", "PNG", "WEBP", "TIFF", "PPM", "BMP", "DIB", "GIF", "AVIF", "JPEG2000")
# What the operating system says of a file that is odd itself: a seek to where its header points, a link in a circle.
FILES_OWN = {errno.EINVAL, errno.EOVERFLOW, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ESPIPE}
# How a whole file of this format ends, in its last bytes; what does not is decoded to see.
ENDS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda last: last.endswith(b"\xff\xd9"),
    "PNG": lambda last: b"IEND" in last,
    "GIF": lambda last: last.endswith(b";"),
}
EASY = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}  # those that always become RGB
WIDE = {"I;16", "I;16B", "I;16L", "I;16N", "I", "F"}  # Pillow's grey modes of more than 8 bits

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Piece:
    """Files to read, and how."""

    paths: Sequence[str]
    draws: NDArray[np.float64] | None  # [len(paths), DRAWS]; None: the middle of each
    size: int  # height and width of what comes out
    draft: bool  # decode large JPEGs at a half, a quarter, an eighth of their size where that is enough
    white: float | None = None  # as ``data.white``

    def one(self, i: int) -> Piece:
        """The file ``i`` alone."""
        draws = None if self.draws is None else self.draws[i : i + 1]
        return replace(self, paths=self.paths[i : i + 1], draws=draws)


@dataclass(frozen=True)
class Look:
    """Files of which only the header is read, and the end: whether they are images."""

    paths: Sequence[str]
    white: float | None = None

    def one(self, i: int) -> Look:
        """The file ``i`` alone."""
        return replace(self, paths=self.paths[i : i + 1])


def read(piece: Piece | Look, out: Pixels) -> list[str]:
    """Read the images of ``piece`` into ``out`` [>= N, size, size, 3]; returns for each why it could not be, or "".

    Raises OSError, MemoryError where it is not the file's fault.
    """
    if isinstance(piece, Look):
        return [_tried(path, lambda image: _check(image, piece.white)) for path in piece.paths]
    rows = [None] * len(piece.paths) if piece.draws is None else piece.draws

    def fill(i: int, row: Any) -> Callable[[Any], None]:
        def use(image: Any) -> None:
            out[i] = middle(image, piece) if row is None else random_part(image, row, piece)

        return use

    return [_tried(path, fill(i, row)) for i, (path, row) in enumerate(zip(piece.paths, rows, strict=True))]


def _tried(path: str, use: Callable[[Any], None]) -> str:
    """``use`` an opened image; returns why that is impossible, or "". Raises as ``read``."""
    from PIL import Image, UnidentifiedImageError

    size = (0, 0)
    try:
        with open(path, "rb", opener=_open) as file, Image.open(file, formats=_formats()) as image:
            size = image.size
            use(image)
        return ""
    except UnidentifiedImageError:
        return "it is no image" if os.path.getsize(path) else "it is empty"
    except MemoryError:
        _raise_if_full(size)
        return "its decoder asks for more memory than such an image needs"
    except Exception as error:  # a decoder may raise anything
        if isinstance(error, OSError) and error.errno is not None and error.errno not in FILES_OWN:
            raise
        return _words(error)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of ``WANTED`` that Pillow has here."""
    from PIL import Image

    Image.init()
    return tuple(name for name in WANTED if name in Image.OPEN)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe in the place of a file keeps nobody waiting


def _raise_if_full(size: tuple[int, int]) -> None:
    """Raise MemoryError where this process may not have the memory that an image of this size takes."""
    np.empty(16 * size[0] * size[1] + (1 << 24), np.uint8)  # untouched, so it costs nothing


def _words(error: Exception) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception whose text is broken itself
        text = ""
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return shown((text if text and isinstance(error, OSError | ValueError) else named)[:200])


def _check(image: Any, white: float | None) -> None:
    """Raise what decoding would, as far as the header and the end tell it; formats without an end are decoded."""
    if image.mode in WIDE:
        _white(image, white)
    elif image.mode not in EASY:
        image.convert("RGB")
    if (whole := ENDS.get(image.format)) is not None:
        image.fp.seek(-16, os.SEEK_END)
        if whole(image.fp.read()):
            return
    image.load()


def random_part(image: Any, draws: NDArray[np.float64], piece: Piece) -> Pixels:
    """A random part of an image, resized to [size, size, 3] and mirrored in half of all cases."""
    turned = _turned(image)
    box = random_box(*_size(image, turned), draws[:-1].reshape(CROP_TRIES, 4))
    pixels = _resized(image, turned, box, piece)
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
    turned = _turned(image)
    width, height = _size(image, turned)
    side = min(width, height) / MARGIN
    box = (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2
    return _resized(image, turned, box, piece)


def _turned(image: Any) -> int:
    """How the camera was held, as EXIF counts it: 1 upright, 2 to 8. Of a PNG all is read: it may say so at its end."""
    if image.format == "PNG":
        image.load()
    if "exif" not in image.info and "xmp" not in image.info and image.format != "PNG":
        return 1  # Pillow turns a TIFF itself
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # of a damaged tag; viewers show the image as it lies
        return 1
    return found if found in range(1, 9) else 1


def _size(image: Any, turned: int) -> tuple[int, int]:
    """Width and height of the image the right way up."""
    width, height = image.size
    return (height, width) if turned > 4 else (width, height)


def _resized(image: Any, turned: int, box: Box, piece: Piece) -> Pixels:
    """A ``box`` of the image the right way up, [size, size, 3]. What is cut out is turned, not all of the image."""
    from PIL import Image

    if turned > 1:
        box = _as_it_lies(box, _size(image, turned), turned)
    width, height = image.size
    if piece.draft:  # the box stays at least as large as what comes out
        across, down = piece.size / (box[2] - box[0]), piece.size / (box[3] - box[1])
        image.draft("RGB", (math.ceil(width * across), math.ceil(height * down)))
        x, y = image.size[0] / width, image.size[1] / height
        box = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
    if image.mode in WIDE:
        image = _narrow(image, piece.white)
    rgb = image.convert("RGB")
    pixels = np.asarray(rgb.resize((piece.size, piece.size), Image.Resampling.BILINEAR, box))
    return pixels if turned == 1 else _upright(pixels, turned)


def _as_it_lies(box: Box, size: tuple[int, int], turned: int) -> Box:
    """A box of the upright image of this ``size``, in the image as it lies in the file: ``_upright`` backwards."""
    left, top, right, bottom = box
    if turned in (2, 3, 6, 7):
        left, right = size[0] - right, size[0] - left
    if turned in (3, 4, 7, 8):
        top, bottom = size[1] - bottom, size[1] - top
    return (top, left, bottom, right) if turned > 4 else (left, top, right, bottom)


def _upright(pixels: Pixels, turned: int) -> Pixels:
    """Pixels [H, W, 3] as they lie in the file, the right way up."""
    if turned > 4:
        pixels = pixels.swapaxes(0, 1)
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if turned in (2, 3, 6, 7) else pixels


def _white(image: Any, white: float | None) -> float:
    """The number that is white in a grey image of more than 8 bits. Raises ValueError where nobody knows it."""
    if white is not None:
        return white
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise ValueError("pixels of 32 bits: data.white must say which number is white")
    return 4095.0 if image.format == "TIFF" and image.tag_v2.get(258) in (12, (12,)) else 65535.0


def _narrow(image: Any, white: float | None) -> Any:
    """A grey image of more than 8 bits as one of 8, from 0 (black) to ``white``."""
    from PIL import Image

    scale = 255 / _white(image, white)
    numbers = np.nan_to_num(np.asarray(image, dtype=np.float32)) * np.float32(scale)
    return Image.fromarray(np.rint(np.clip(numbers, 0, 255)).astype(np.uint8))

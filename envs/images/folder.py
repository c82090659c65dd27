"""ImageNet, and any data set in its folders: ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``.

Images are told by their content, whatever they are called, and become RGB. Training takes a random part of an image
(8 to 100 % of its area, sides 3:4 to 4:3) and may mirror it, validation takes the middle of the image, as is usual.
An image that cannot be read is left out: training takes the next one of the list in its place.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.envs.images.base import Batch, Shape
from firerl.envs.images.split import stratified
from firerl.errors import FirerlError, SettingError
from firerl.settings import setting

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)  # of ImageNet's training images, by channel
DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
CROP_TRIES = 10
CHUNK = 100  # images in one batch of an evaluation
MARGIN = 256 / 224  # the short side of a validation image, in sides of the middle that is taken
SPLIT_SEED = 0

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageNetSettings:
    """``data=imagenet data.<name>=...``"""

    root: str = setting(help="the folder that holds train/ and val/")
    size: int = setting(224, "height and width that the network sees", "pixels", minimum=8, maximum=4096)
    objective: int = setting(10_000, "validation images that the objective is measured on", "images", minimum=1)
    max_broken: int = setting(20, "unreadable images that a worker leaves out before it fails", "images", minimum=0)
    threads: int = setting(4, "that read images, in each process", "threads", minimum=1)
    files: str | None = setting(None, "checksum of the list of files; null: as they are when the run begins")


@dataclass(frozen=True)
class Listing:
    """The files of one part, in a fixed order, and their classes."""

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]  # below root
    labels: NDArray[np.int64]  # [N]


@functools.lru_cache(maxsize=4)
def listings(root: str) -> tuple[Listing, Listing, str]:
    """Training and validation files, and a checksum of their names. Raises SettingError on what cannot be trained."""
    folder = Path(root)
    if not os.path.isdir(root):  # also where it is no possible name
        raise SettingError(f"data.root={root}: there is no such folder; it must hold train/<class>/ and val/<class>/")
    classes = {part: _classes(folder, part) for part in ("train", "val")}
    for part, other in (("train", "val"), ("val", "train")):
        if alone := sorted(set(classes[part]) - set(classes[other])):
            more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
            raise SettingError(
                f"data.root={root}: the classes of train and val differ: {', '.join(alone[:3])}{more} only in {part}"
            )
    if len(classes["train"]) < 2:
        raise SettingError(f"data.root={root}: must hold two classes or more, has only {classes['train'][0]}")
    train, val = (_listing(folder, part, classes[part]) for part in ("train", "val"))
    return train, val, hashlib.sha256("\n".join([*train.paths, *val.paths]).encode()).hexdigest()[:16]


def _classes(root: Path, part: str) -> tuple[str, ...]:
    folder = root / part
    if not folder.is_dir():
        raise SettingError(f"data.root={root}: it has no folder {part}/; it must hold train/<class>/ and val/<class>/")
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise SettingError(f"data.root={root}: {part}/ holds no folders; images must lie in {part}/<class>/")
    return tuple(found)


def _listing(root: Path, part: str, classes: Sequence[str]) -> Listing:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(e.name for e in os.scandir(root / part / name) if e.name.lower().endswith(SUFFIXES))
        if not files:
            raise SettingError(
                f"data.root={root}: {part}/{name}/ holds no images; they must end in one of {', '.join(SUFFIXES)}"
            )
        paths += [f"{part}/{name}/{file}" for file in files]
        labels += [label] * len(files)
    return Listing(root, tuple(classes), tuple(paths), np.array(labels, dtype=np.int64))


def check(settings: ImageNetSettings) -> dict[str, Any]:
    """What ``settings`` lack, from the disk. Raises SettingError where training could not work."""
    root = str(Path(settings.root).expanduser().resolve())
    _, val, files = listings(root)
    if len(val.paths) < settings.objective:
        raise SettingError(
            f"data.objective={settings.objective}: val/ of data.root={root} has only {len(val.paths)} images; "
            "those that the objective does not take are kept for the report"
        )
    if settings.files not in (None, files):
        began = f"its files are not those that the run began with (data.files={settings.files}, now {files})"
        raise SettingError(f"data.root={root}: {began}; they must be the same")
    return {"root": root, "files": files}


class FolderData:
    """Images that are read when they are needed, by several threads; the order of what comes back is fixed."""

    draws = 4 * CROP_TRIES + 1  # uniform numbers that the augmentation of one image takes

    def __init__(self, settings: ImageNetSettings):
        check(settings)
        self.settings = settings
        self._train, self._val, _ = listings(settings.root)
        self.shape = Shape(3, settings.size, len(self._train.classes))
        self.count = len(self._train.paths)
        chosen = stratified(self._val.labels, settings.objective, SPLIT_SEED)
        rest = np.setdiff1d(np.arange(len(self._val.paths)), chosen)
        self._parts = {"objective": chosen, "report": rest}
        self._pool = ThreadPoolExecutor(settings.threads)
        self.max_broken = settings.max_broken
        self._named: set[str] = set()  # unreadable ones, told once each in this process

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], each a random part; float32 [B, 3, size, size], labels [B].

        Raises FirerlError where more images than ``max_broken`` cannot be read one after the other.
        """

        def one(index: int, row: NDArray[np.float64]) -> tuple[Pixels, int, list[int]]:
            broken: list[int] = []
            while len(broken) <= self.max_broken:
                pixels = self._read(self._train, index, lambda image: random_part(image, row, self.settings.size))
                if pixels is not None:
                    return pixels, int(self._train.labels[index]), broken
                broken.append(index)
                index = (index + 1) % self.count
            raise FirerlError(
                f"data.max_broken={self.max_broken}: more images than that cannot be read, among them "
                f"{self._train.paths[broken[0]]}"
            )

        found = list(self._pool.map(one, indices.tolist(), draws))
        broken = tuple(sorted({index for *_, met in found for index in met}))
        return _batch([pixels for pixels, *_ in found], [label for _, label, _ in found], broken)

    def held_out(self, part: str) -> Iterator[Batch]:
        """``part`` "objective" or "report" of the validation images, without unreadable ones."""
        indices = self._parts[part]
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK].tolist()
            pixels = list(self._pool.map(lambda index: self._read(self._val, index, self._middle), chunk))
            kept = [(one, int(self._val.labels[i])) for one, i in zip(pixels, chunk, strict=True) if one is not None]
            broken = tuple(i for one, i in zip(pixels, chunk, strict=True) if one is None)
            yield _batch([one for one, _ in kept], [label for _, label in kept], broken)

    def _middle(self, image: Any) -> Pixels:
        return middle(image, self.settings.size)

    def _read(self, listing: Listing, index: int, take: Callable[[Any], Pixels]) -> Pixels | None:
        """An image's pixels, or None after a line that names it."""
        from PIL import Image

        path = listing.paths[index]
        if path in self._named:
            return None
        try:
            with Image.open(listing.root / path) as image:
                return take(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises
            reason = " ".join(str(error).split()).replace(f"{listing.root / path}", "the file")
        self._named.add(path)
        print(f"firerl: {path} cannot be read and is left out: {reason}", file=sys.stderr, flush=True)
        return None


def random_part(image: Any, draws: NDArray[np.float64], size: int) -> Pixels:
    """A random part of an RGB image, enlarged to [size, size, 3] and mirrored in half of all cases."""
    width, height = image.size
    box = random_box(width, height, draws[:-1].reshape(CROP_TRIES, 4))
    pixels = _resized(image, (size, size), box)
    return pixels[:, ::-1] if draws[-1] < 0.5 else pixels


def random_box(width: int, height: int, draws: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom): the first of the tries ``draws`` [T, 4] that fits, else the middle of the image."""
    for area, ratio, x, y in draws.tolist():
        area = width * height * (0.08 + 0.92 * area)
        ratio = math.exp(math.log(3 / 4) + ratio * 2 * math.log(4 / 3))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    across, down = min(width, height * 4 / 3), min(height, width * 4 / 3)
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def middle(image: Any, size: int) -> Pixels:
    """The middle of an RGB image whose short side becomes 256/224 of ``size``, [size, size, 3]."""
    width, height = image.size
    side = min(width, height) / MARGIN
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    return _resized(image, (size, size), box)


def _resized(image: Any, size: tuple[int, int], box: tuple[float, float, float, float]) -> Pixels:
    from PIL import Image

    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))


def _batch(pixels: Sequence[Pixels], labels: Sequence[int], broken: tuple[int, ...]) -> Batch:
    if not pixels:
        return Batch(np.empty((0, 3, 1, 1), dtype=np.float32), np.empty(0, dtype=np.int64), broken)
    numbers = (np.stack(pixels).astype(np.float32) / 255 - MEAN) / DEVIATION
    return Batch(np.ascontiguousarray(numbers.transpose(0, 3, 1, 2)), np.array(labels, dtype=np.int64), broken)

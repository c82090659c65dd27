"""ImageNet, and any data set in its folders: ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``.

Images are read while the network trains on those before, by readers that all learners of a process share; which image
is where in a batch does not depend on them. An image that cannot be read is left out: training takes the next one of
the list in its place. See ``reading.py`` for what is made of a file.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firerl.cores import share_of_cores
from firerl.envs.images.base import Batch, Scale, Shape
from firerl.envs.images.readers import PIECE, Readers
from firerl.envs.images.reading import DRAWS, Piece, Pixels
from firerl.envs.images.split import stratified
from firerl.errors import FirerlError, SettingError
from firerl.settings import setting

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")
SCALE = Scale(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))  # of ImageNet's training images
CHUNK = 100  # images in one batch of an evaluation
SPLIT_SEED = 0


@dataclass(frozen=True)
class ImageNetSettings:
    """``data=imagenet data.<name>=...``"""

    root: str = setting(help="the folder that holds train/ and val/")
    size: int = setting(224, "height and width that the network sees", "pixels", minimum=8, maximum=4096)
    objective: int = setting(10_000, "validation images that the objective is measured on", "images", minimum=1)
    max_broken: int = setting(20, "unreadable images that a worker leaves out before it fails", "images", minimum=0)
    draft: bool = setting(False, "decode large JPEGs at a half, a quarter or an eighth where that is enough: faster")
    keep: int = setting(2000, "of decoded objective images, kept by each process of the engine", "MB", minimum=0)
    processes: int | None = setting(
        None, "that read images for each process of the engine; null: its share of the cores; 0: its own threads",
        "processes", minimum=0, maximum=1024,
    )  # fmt: skip
    threads: int = setting(4, "that read images in each process of the engine where processes=0", "threads", minimum=1)
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


class _Reading(NamedTuple):
    """A batch that is being read."""

    images: int  # in it
    finish: Callable[[], Batch]  # waits for it


class FolderData:
    """One set of folders, read when it is needed; the objective images stay in memory as far as ``keep`` allows."""

    draws = DRAWS
    scale: Scale | None = SCALE

    def __init__(self, settings: ImageNetSettings):
        check(settings)
        self.settings = settings
        self._train, self._val, _ = listings(settings.root)
        self.shape = Shape(3, settings.size, len(self._train.classes))
        self.classes = self._train.classes
        self.pixels = Scale(*(tuple(255 * value for value in values) for values in SCALE))
        self.count = len(self._train.paths)
        chosen = stratified(self._val.labels, settings.objective, SPLIT_SEED)
        rest = np.setdiff1d(np.arange(len(self._val.paths)), chosen)
        self._parts = {"objective": chosen, "report": rest}
        self.max_broken = settings.max_broken
        processes = share_of_cores() if settings.processes is None else settings.processes
        self.readers = Readers(processes, settings.threads, settings.size)
        self._kept: list[Batch] = []  # the first batches of the objective half
        self._named: set[str] = set()  # unreadable ones, told once each in this process
        self._naming = threading.Lock()

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], each a random part; uint8 [B, 3, size, size], labels [B].

        Raises FirerlError where more images than ``max_broken`` cannot be read one after the other, MachineError.
        """
        return self._begin(indices, draws).finish()

    def stream(self, wanted: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Iterator[Batch]:
        """``train`` for each of ``wanted``; the next ones are read meanwhile."""
        return self._ahead(self._begin(indices, draws) for indices, draws in wanted)

    def held_out(self, part: str) -> Iterator[Batch]:
        """``part`` "objective" or "report" of the validation images, without unreadable ones."""
        indices = self._parts[part]
        kept = self._kept if part == "objective" else []
        done = len(kept)
        yield from kept[:done]
        chunks = range(done * CHUNK, len(indices), CHUNK)
        fresh = self._ahead(self._begin_held_out(indices[start : start + CHUNK]) for start in chunks)
        for number, batch in enumerate(fresh, start=done):
            if part == "objective" and number == len(kept) and self._has_room(batch):
                kept.append(batch)
            yield batch

    def _has_room(self, batch: Batch) -> bool:
        return sum(one.images.nbytes for one in (*self._kept, batch)) <= 1_000_000 * self.settings.keep

    def _ahead(self, begun: Iterator[_Reading]) -> Iterator[Batch]:
        """The batches of ``begun``; so many are under way behind the first that no reader has to wait."""
        enough = 2 * PIECE * self.readers.lanes
        waiting: deque[_Reading] = deque()
        behind = 0  # images
        for one in begun:
            behind += one.images if waiting else 0
            waiting.append(one)
            while waiting and behind >= enough:
                batch = waiting.popleft().finish()
                behind -= waiting[0].images if waiting else 0
                yield batch
        while waiting:
            yield waiting.popleft().finish()

    def _begin(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> _Reading:
        """Start to read training images."""
        pixels, labels = self._pixels(len(indices)), np.empty(len(indices), dtype=np.int64)
        reading = [
            self.readers.submit(partial(self._read_train, indices[p], draws[p], pixels[p], labels[p]))
            for p in _parts(len(indices))
        ]

        def finish() -> Batch:
            return _batch(pixels, labels, {index for future in reading for index in future.result()})

        return _Reading(len(indices), finish)

    def _read_train(
        self, indices: NDArray[np.int64], draws: NDArray[np.float64], pixels: Pixels, labels: NDArray[np.int64]
    ) -> list[int]:
        """Fill ``pixels`` and ``labels``; returns the indices of unreadable images that were met."""
        met = []
        taken = indices.tolist()
        for i, reason in enumerate(self._read(self._train, taken, draws, pixels)):
            broken: list[int] = []
            index = taken[i]
            while reason:
                self._name(self._train.paths[index], reason)
                broken.append(index)
                if len(broken) > self.max_broken:
                    raise FirerlError(
                        f"data.max_broken={self.max_broken}: more images than that cannot be read, among them "
                        f"{self._train.paths[broken[0]]}"
                    )
                index = (index + 1) % self.count
                [reason] = self._read(self._train, [index], draws[i : i + 1], pixels[i : i + 1])
            labels[i] = self._train.labels[index]
            met += broken
        return met

    def _begin_held_out(self, indices: NDArray[np.int64]) -> _Reading:
        """Start to read validation images."""
        pixels, labels = self._pixels(len(indices)), self._val.labels[indices]
        reading = [
            self.readers.submit(partial(self._read, self._val, indices[p].tolist(), None, pixels[p]))
            for p in _parts(len(indices))
        ]

        def finish() -> Batch:
            reasons = [reason for future in reading for reason in future.result()]
            broken = [i for i, reason in enumerate(reasons) if reason]
            if not broken:
                return _batch(pixels, labels)
            for i in broken:
                self._name(self._val.paths[indices[i]], reasons[i])
            return _batch(np.delete(pixels, broken, 0), np.delete(labels, broken), indices[broken].tolist())

        return _Reading(len(indices), finish)

    def _read(self, listing: Listing, indices: Sequence[int], draws: Any, out: Pixels) -> list[str]:
        paths = [f"{listing.root}/{listing.paths[index]}" for index in indices]
        return self.readers.read(Piece(paths, draws, self.settings.size, self.settings.draft), out)

    def _pixels(self, count: int) -> Pixels:
        return np.empty((count, self.settings.size, self.settings.size, 3), dtype=np.uint8)

    def _name(self, path: str, reason: str) -> None:
        """One line about an image that cannot be read, once."""
        with self._naming:
            told = path in self._named
            self._named.add(path)
        if not told:
            print(f"firerl: {path} cannot be read and is left out: {reason}", file=sys.stderr, flush=True)


def _parts(count: int) -> list[slice]:
    """Cuts of ``count`` images that a reader takes at once."""
    return [slice(start, min(start + PIECE, count)) for start in range(0, count, PIECE)]


def _batch(pixels: Pixels, labels: NDArray[np.int64], broken: Iterable[int] = ()) -> Batch:
    return Batch(pixels.transpose(0, 3, 1, 2), labels, tuple(sorted(broken)))

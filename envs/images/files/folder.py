"""ImageNet, and any data set in its folders: ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``.

Images are read while the network trains on those before, by readers that all learners of a process share; which image
is where in a batch does not depend on them. An image that cannot be read is left out: training takes the next one of
the list in its place. See ``listing.py`` for which files are taken, ``reading.py`` for what is made of one.

What a learner meets here is never its own fault: files that are not there, or not those that the run began with, or too
many that cannot be read, are MachineError, so that the run stops where it can go on once they are mended.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firerl.base.cores import share_of_cores
from firerl.base.disk import unused_files
from firerl.base.settings import setting
from firerl.envs.images.files import contents
from firerl.envs.images.files.decoding import DRAWS, Piece, Pixels
from firerl.envs.images.files.listing import Folders, Listing, scan, shown
from firerl.envs.images.files.looking import look_at
from firerl.envs.images.files.readers import PIECE, Readers
from firerl.envs.images.image_data import Batch, Scale, Shape
from firerl.envs.images.split import stratified
from firerl.errors import MachineError, SettingError, reason
from firerl.learner import Survey

SCALE = Scale(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))  # of ImageNet's training images
CHUNK = 100  # images in one batch of an evaluation
SPLIT_SEED = 0
# Settings that change nothing of what a learner sees: no part of a run's result, and a resume may change them.
ASIDE = ("root", "max_broken", "check", "keep", "processes", "threads")


@dataclass(frozen=True)
class ImageNetSettings:
    """``data=imagenet data.<name>=...``"""

    root: str = setting(help="the folder that holds train/ and val/")
    size: int = setting(224, "height and width that the network sees", "pixels", minimum=8, maximum=4096)
    objective: int = setting(10_000, "validation images that the objective is measured on", "images", minimum=1)
    max_broken: int = setting(20, "unreadable images of a part beyond which a run stops", "images", minimum=0)
    check: str = setting(
        "true", "open each file once before a run begins: true: all, sample: some 2,000, false: none",
        choices=("true", "sample", "false"),
    )  # fmt: skip
    white: float | None = setting(
        None, "what is white in grey images of more than 8 bits; null: 65535 in those of 16, others are left out",
        above=0,
    )  # fmt: skip
    draft: bool = setting(False, "decode large JPEGs at a half, a quarter or an eighth where that is enough: faster")
    keep: int = setting(2000, "of decoded objective images, kept by each process of the engine", "MB", minimum=0)
    processes: int | None = setting(
        None, "that read images for each process of the engine; null: its share of the cores; 0: its own threads",
        "processes", minimum=0, maximum=1024,
    )  # fmt: skip
    threads: int = setting(4, "that read images in each process of the engine where processes=0", "threads", minimum=1)
    files: str | None = setting(None, "checksums of names and contents; null: as they are when the run begins")


def check(settings: ImageNetSettings, before: Any = None) -> dict[str, Any]:
    """What ``settings`` lack, from the disk. Raises SettingError where training could not work, or where the files are
    not those that ``settings`` tell of; ``before`` is what ``contents.kept`` gave of them."""
    try:
        root = str(Path(settings.root).expanduser().resolve())
        root.encode()
    except (ValueError, RuntimeError) as error:  # a null byte, no such user, no UTF-8: no file could hold it
        raise SettingError(f"data.root={shown(settings.root)}: cannot be a folder's name here: {error}") from error
    folders = scan(root)
    if len(folders.val.paths) < settings.objective:
        raise SettingError(
            f"data.objective={settings.objective}: val/ of data.root={root} has only {len(folders.val.paths)} images; "
            "those that the objective does not take are kept for the report"
        )
    found = contents.entries(folders)
    files = f"{folders.names}-{contents.checksum(found)}"
    if settings.files not in (None, files):
        what = contents.difference(before, found) or f"data.files={settings.files}, now {files}"
        raise SettingError(f"data.root={root}: its files are not those that the run began with ({what}); they must be")
    return {"root": root, "files": files}


def survey(settings: ImageNetSettings, say: Callable[[str], None]) -> Survey:
    """What is in the files before a run begins. Raises SettingError, MachineError."""
    return look_at(scan(settings.root), settings.check, settings.max_broken, settings.white, say)


def _present(settings: ImageNetSettings) -> Folders:
    """The files of a run that has begun. Raises MachineError where they are not there."""
    try:
        folders = scan(settings.root)
    except SettingError as error:
        raise MachineError(str(error)) from error
    if settings.files is not None and settings.files.partition("-")[0] != folders.names:
        raise MachineError(f"data.root={settings.root}: its files are not those that the run began with")
    return folders


class _Reading(NamedTuple):
    """A batch that is being read."""

    images: int  # in it
    finish: Callable[[], Batch]  # waits for it


class FolderData:
    """One set of folders, read when it is needed; the objective images stay in memory as far as ``keep`` allows."""

    draws = DRAWS
    scale: Scale | None = SCALE

    def __init__(self, settings: ImageNetSettings):
        """Raises MachineError where the files are not there."""
        self._since = time.time()  # what is newer has changed under the run
        folders = _present(settings)
        self.settings = settings
        self._train, self._val = folders.train, folders.val
        self.shape = Shape(3, settings.size, len(self._train.classes))
        self.classes = tuple(map(shown, self._train.classes))
        self.pixels = Scale(*(tuple(255 * value for value in values) for values in SCALE))
        self.count = len(self._train.paths)
        chosen = stratified(self._val.labels, settings.objective, SPLIT_SEED)
        rest = np.setdiff1d(np.arange(len(self._val.paths)), chosen)
        self._parts = {"objective": chosen, "report": rest}
        self.max_broken: int | None = settings.max_broken
        processes = share_of_cores() if settings.processes is None else settings.processes
        self.readers = Readers(processes, settings.threads, settings.size)
        self._kept: list[Batch] = []  # the first batches of the objective half
        self._named: set[str] = set()  # unreadable ones that have been looked at once more
        self._naming = threading.Lock()

    def train(self, indices: NDArray[np.int64], draws: NDArray[np.float64]) -> Batch:
        """The training images at ``indices`` [B], each a random part; uint8 [B, 3, size, size], labels [B].

        Raises MachineError, also where more images than ``max_broken`` cannot be read one after the other.
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
        for i, why in enumerate(self._read(self._train, taken, draws, pixels)):
            broken: list[int] = []
            index = taken[i]
            while why:
                self._name(self._train.paths[index], why)
                broken.append(index)
                if len(broken) > self.settings.max_broken:
                    raise too_many("training", self.settings.max_broken)
                index = (index + 1) % self.count
                [why] = self._read(self._train, [index], draws[i : i + 1], pixels[i : i + 1])
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
            reasons = [why for future in reading for why in future.result()]
            broken = [i for i, why in enumerate(reasons) if why]
            if not broken:
                return _batch(pixels, labels)
            for i in broken:
                self._name(self._val.paths[indices[i]], reasons[i])
            return _batch(np.delete(pixels, broken, 0), np.delete(labels, broken), indices[broken].tolist())

        return _Reading(len(indices), finish)

    def _read(self, listing: Listing, indices: Sequence[int], draws: Any, out: Pixels) -> list[str]:
        paths = [f"{listing.root}/{listing.paths[index]}" for index in indices]
        settings = self.settings
        return self.readers.read(Piece(paths, draws, settings.size, settings.draft, settings.white), out)

    def _pixels(self, count: int) -> Pixels:
        return np.empty((count, self.settings.size, self.settings.size, 3), dtype=np.uint8)

    def _name(self, path: str, why: str) -> None:
        """Say that an image cannot be read, once. Raises MachineError where it could when the run began."""
        with self._naming:
            if path in self._named:
                return
            try:
                changed = os.stat(f"{self._train.root}/{path}").st_ctime
            except OSError as error:
                raise MachineError(f"{shown(path)} cannot be read: {reason(error)}") from error
            if changed > self._since:
                raise MachineError(f"{shown(path)} has changed since the run began, and cannot be read: {why}")
            self._named.add(path)
        unused_files.say_once(shown(path), why)


def too_many(part: str, limit: int) -> MachineError:
    """More ``part`` images than ``limit`` cannot be read: none of the learner's doing, and nothing that is final."""
    return MachineError(
        f"data.max_broken={limit}: more {part} images than that cannot be read ({unused_files.NAME} of the run folder "
        "names them); resume with a larger data.max_broken, or mend them and begin anew"
    )


def _parts(count: int) -> list[slice]:
    """Cuts of ``count`` images that a reader takes at once."""
    return [slice(start, min(start + PIECE, count)) for start in range(0, count, PIECE)]


def _batch(pixels: Pixels, labels: NDArray[np.int64], broken: Iterable[int] = ()) -> Batch:
    return Batch(pixels.transpose(0, 3, 1, 2), labels, tuple(sorted(broken)))

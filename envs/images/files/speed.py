"""How fast images are read here: for a line about the cost of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firerl.base.settings import build
from firerl.envs.images.files.folder import FolderData, ImageNetSettings
from firerl.envs.images.files.readers import PIECE
from firerl.envs.images.order import Order


def read_speed(data: Mapping[str, Any], seconds: float) -> float:
    """Training images a second, by readers on all cores, in about so many ``seconds`` after their start.

    ``data`` are complete settings of ``data=imagenet``. The images are drawn from the whole set, so where the disk is
    slower than the cores, it is the disk's speed.
    """
    rest = {name: value for name, value in data.items() if name != "name"}
    images = FolderData(build(ImageNetSettings, rest, "data."))
    try:
        part = PIECE * images.readers.lanes
        batches = images.stream(Order(images.count, 0).parts(0, 1_000_000, part, part, images.draws))
        for _ in range(2):  # until all readers have started
            next(batches)
        began, read = time.perf_counter(), 0
        while read == 0 or time.perf_counter() - began < seconds:
            read += len(next(batches).labels)
        return read / (time.perf_counter() - began)
    finally:
        images.readers.close()


def make_blanks(root: Path, classes: int) -> None:
    """A folder of tiny images, one a class and part, which take next to no time to read: to measure a network alone."""
    for label in range(classes):
        for part in ("train", "val"):
            folder = root / part / f"{label:05}"
            folder.mkdir(parents=True)
            Image.fromarray(np.full((8, 8, 3), label % 256, dtype=np.uint8)).save(folder / "0.png")

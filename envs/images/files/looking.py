"""A look at a folder of images before a run begins, and again before it goes on.

Before it begins every file is opened once (``data.check``): its header is read, and its end, which a file that was cut
off lacks. Before it goes on, the files must be those that it began with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from firerl.base.cores import usable_cores
from firerl.envs.images.files import contents
from firerl.envs.images.files.decoding import Look
from firerl.envs.images.files.listing import Folders, Listing, in_sample, shown
from firerl.envs.images.files.readers import Readers
from firerl.errors import SettingError
from firerl.learner import Survey

SAMPLE = 2000  # files that check=sample opens, about
CHUNK = 256  # files that a reader is given at once
FEW = 2000  # files that are read here before readers of their own would have started
TELL = 5.0  # seconds between two lines of progress

Say = Callable[[str], None]


def look_at(folders: Folders, check: str, most: int, white: float | None, say: Say) -> Survey:
    """What is in the folders. Raises SettingError where more images of a part than ``most`` cannot be read,
    MachineError where the disk fails."""
    found = contents.entries(folders)
    unused = [f"{shown(one.path)}: {one.why}" for one in folders.unused.first]
    count = folders.unused.count
    for listing in (folders.train, folders.val):
        share = 1 if check == "true" else max(1, len(folders.paths) // SAMPLE)
        chosen = [path for path in listing.paths if check != "false" and in_sample(path, share)]
        reasons = _looked(listing, chosen, white, say)
        broken = [f"{shown(path)}: {why}" for path, why in zip(chosen, reasons, strict=True) if why]
        if len(broken) > most:
            raise SettingError(
                f"data.max_broken={most}: {len(broken):,} images of data.root={listing.root} cannot be read, which are "
                f"more: {'; '.join(broken[:3])}{'; ...' if len(broken) > 3 else ''}"
            )
        unused += broken
        count += len(broken)
    return Survey(count, unused, contents.kept(found))


def _looked(listing: Listing, paths: Sequence[str], white: float | None, say: Say) -> list[str]:
    """For each of ``paths`` why it is no image that can be read, or ""."""
    processes = 0 if len(paths) <= FEW else usable_cores()
    readers = Readers(processes, threads=1, size=1)
    try:
        whole = [f"{listing.root}/{path}" for path in paths]
        pieces = [Look(whole[start : start + CHUNK], white) for start in range(0, len(whole), CHUNK)]
        asked = [readers.submit(partial(readers.read, piece, _NOWHERE)) for piece in pieces]
        reasons: list[str] = []
        shown_at = time.monotonic()
        for future in asked:
            reasons += future.result()
            if time.monotonic() - shown_at > TELL:
                shown_at = time.monotonic()
                say(f"looked at {len(reasons):,} of {len(paths):,} files of data.root={listing.root}")
        return reasons
    finally:
        readers.close()


_NOWHERE = np.empty((0, 1, 1, 3), np.uint8)  # a look gives no pixels

"""Which files of a folder of images are used, in a fixed order, and which are not, and why.

A function of what lies in the folder: no image is opened for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firerl.errors import SettingError, reason

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tif",
    ".tiff", ".webp", ".gif", ".avif", ".jp2", ".j2k",
)  # fmt: skip
PARTS = ("train", "val")
MOST_LISTED = 10_000  # files that are not used; of others only their number is kept


class Unused(NamedTuple):
    """A file, or a folder with all that is in it, that no learner sees."""

    path: str  # below the root
    why: str


@dataclass
class Leftovers:
    """All that is not used: the first ones by name, and how many there are."""

    count: int = 0
    first: list[Unused] = field(default_factory=list)

    def add(self, path: str, why: str) -> None:
        self.count += 1
        if len(self.first) < MOST_LISTED:
            self.first.append(Unused(path, why))


@dataclass(frozen=True)
class Listing:
    """The files of one part, in a fixed order, and their classes."""

    root: str
    classes: tuple[str, ...]
    paths: tuple[str, ...]  # below root; what is no UTF-8 in them as Python keeps it (surrogateescape)
    labels: NDArray[np.int64]  # [N]


@dataclass(frozen=True)
class Folders:
    """Both parts, and what is left out of them."""

    train: Listing
    val: Listing
    unused: Leftovers

    @property
    def paths(self) -> tuple[str, ...]:
        """All that are used."""
        return (*self.train.paths, *self.val.paths)

    @property
    def names(self) -> str:
        """A checksum of all names."""
        return hashlib.sha256(b"\0".join(map(os.fsencode, self.paths))).hexdigest()[:16]


def scan(root: str) -> Folders:
    """All files below ``root``. Raises SettingError on what cannot be read or trained."""
    if not os.path.isdir(root):  # also where it is no possible name
        raise SettingError(f"data.root={root}: there is no such folder; it must hold train/<class>/ and val/<class>/")
    unused = Leftovers()
    try:
        classes = {part: _classes(root, part, unused) for part in PARTS}
        _check_same(root, classes["train"], classes["val"])
        train, val = (_listing(root, part, classes[part], unused) for part in PARTS)
    except OSError as error:
        raise SettingError(f"data.root={root}: {shown(str(error.filename))} cannot be read: {reason(error)}") from error
    return Folders(train, val, unused)


def in_sample(path: str, share: int) -> bool:
    """Whether a file is among one of ``share``, by its name alone."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=4).digest()
    return int.from_bytes(digest, "big") % share == 0


def shown(path: str) -> str:
    """A name as one line that any terminal and any file can take: what is no printable character as ``\\x..``."""
    if path.isprintable():  # surrogates are not
        return path
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _classes(root: str, part: str, unused: Leftovers) -> tuple[str, ...]:
    folder = f"{root}/{part}"
    if not os.path.isdir(folder):
        raise SettingError(f"data.root={root}: it has no folder {part}/; it must hold train/<class>/ and val/<class>/")
    found = []
    for entry in _entries(folder):
        if not entry.name.startswith(".") and _is_folder(entry):
            found.append(entry.name)
        else:
            unused.add(f"{part}/{entry.name}", "hidden" if entry.name.startswith(".") else "in no folder of a class")
    if not found:
        raise SettingError(f"data.root={root}: {part}/ holds no folders; images must lie in {part}/<class>/")
    return tuple(found)


def _check_same(root: str, train: Sequence[str], val: Sequence[str]) -> None:
    for part, one, other in (("train", train, val), ("val", val, train)):
        if alone := [name for name in one if name not in set(other)]:
            more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
            named = ", ".join(map(shown, alone[:3]))
            raise SettingError(f"data.root={root}: the classes of train and val differ: {named}{more} only in {part}")
    if len(train) < 2:
        raise SettingError(f"data.root={root}: must hold two classes or more, has only {shown(train[0])}")


def _listing(root: str, part: str, classes: Sequence[str], unused: Leftovers) -> Listing:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(_files(root, f"{part}/{name}", unused), key=os.fsencode)
        if not files:
            raise SettingError(
                f"data.root={root}: {shown(f'{part}/{name}')}/ holds no images; they must end in one of "
                f"{', '.join(SUFFIXES)}"
            )
        paths += files
        labels += [label] * len(files)
    return Listing(root, tuple(classes), tuple(paths), np.array(labels, dtype=np.int64))


def _files(root: str, below: str, unused: Leftovers) -> Iterator[str]:
    """The images of a class, also of folders in its folder; links are followed, but never in a circle."""
    real = os.path.realpath(f"{root}/{below}")
    over = frozenset([os.path.realpath(root), os.path.dirname(real), real])
    waiting = [(below, real, over)]  # and the real folders that lead there
    while waiting:
        below, real, above = waiting.pop()
        try:
            entries = _entries(f"{root}/{below}")
        except PermissionError:
            unused.add(below, "nobody may read this folder")
            continue
        inside = []
        for entry in entries:
            path = f"{below}/{entry.name}"
            if why := _unusable(entry):
                unused.add(path, why)
            elif not _is_folder(entry):
                yield path
            else:
                leads_to = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                if leads_to in above:
                    unused.add(path, "a link to a folder that it lies in")
                else:
                    inside.append((path, leads_to, above | {leads_to}))
        waiting += reversed(inside)


def _unusable(entry: os.DirEntry[str]) -> str:
    """Why no image can be in there; "" of a folder, and of a file that is one by its name."""
    if entry.name.startswith("."):
        return "hidden"
    if _is_folder(entry):
        return ""
    try:
        if not entry.is_file():
            gone = entry.is_symlink() and not os.path.exists(entry.path)
            return "a link to nothing" if gone else "no ordinary file"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "a link in a circle"
    if not entry.name.lower().endswith(SUFFIXES):
        return "no image by its name"
    return "" if os.access(entry.path, os.R_OK) else _refused(entry.path)


def _refused(path: str) -> str:
    """Why a file that seems to be out of reach is. Raises OSError where it is the disk."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        return ""
    except PermissionError:
        return "nobody may read it"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))

"""What is in the files: sizes, and a checksum of a sample of them, so that a replaced file is noticed and named.

A large set is not read whole: all sizes, and the ends of about ``SAMPLE`` files, chosen by their names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from firerl.envs.images.files.listing import Folders, in_sample, shown
from firerl.errors import MachineError, reason

SAMPLE = 4096  # files whose bytes are looked at, at most; all of fewer
END = 1 << 16  # bytes of each end of a file that are
MOST_NAMED = 20_000  # files up to which each has a line of its own in what is kept, else each folder of a class


class Entry(NamedTuple):
    """What is known of a file."""

    path: str
    size: int  # bytes
    digest: str  # of its ends; "": not in the sample


def entries(folders: Folders) -> list[Entry]:
    """Of all files that are used, in their order. Raises MachineError where one cannot be read."""
    root, paths = folders.train.root, folders.paths
    share = 1  # a power of two: it changes seldom where files are added
    while len(paths) > SAMPLE * share:
        share *= 2
    try:
        return [_entry(root, path, in_sample(path, share)) for path in paths]
    except OSError as error:
        raise MachineError(f"{shown(str(error.filename))} cannot be read: {reason(error)}") from error


def _entry(root: str, path: str, look: bool) -> Entry:
    whole = f"{root}/{path}"
    size = os.stat(whole).st_size
    if not look:
        return Entry(path, size, "")
    with open(whole, "rb", buffering=0) as file:
        found = hashlib.sha256(file.read(END))
        if size > END:
            file.seek(max(END, size - END))
            found.update(file.read(END))
    return Entry(path, size, found.hexdigest()[:16])


def checksum(found: Sequence[Entry]) -> str:
    """Of sizes and sample."""
    return hashlib.sha256("\n".join(f"{entry.size} {entry.digest}" for entry in found).encode()).hexdigest()[:16]


def kept(found: Sequence[Entry]) -> dict[str, Any]:
    """Plain data of a bounded size, with which ``difference`` can say what has changed."""
    if len(found) <= MOST_NAMED:
        return {"files": [list(entry) for entry in found]}
    return {"folders": _by_folder(found)}


def difference(before: Any, now: Sequence[Entry]) -> str:
    """What has changed since ``kept`` gave ``before``, in words; "" where that is not known."""
    if not isinstance(before, Mapping):
        return ""
    if isinstance(folders := before.get("folders"), Mapping):
        here = _by_folder(now)
        changed = [name for name in sorted({*folders, *here}) if folders.get(name) != here.get(name)]
        return _told([f"{shown(name)}/ holds other files" for name in changed])
    if not isinstance(files := before.get("files"), list):
        return ""
    there: dict[str, Any] = {}
    for row in files:
        if isinstance(row, list) and len(row) == 3 and isinstance(row[0], str):
            there[row[0]] = row[1:]
    found = {entry.path: entry for entry in now}
    told = [f"{shown(path)} is gone" for path in there if path not in found]
    told += [f"{shown(path)} is new" for path in found if path not in there]
    both = [(entry, there[path]) for path, entry in found.items() if path in there]
    told += [f"{shown(entry.path)} is another file" for entry, (size, digest) in both if _differ(entry, size, digest)]
    return _told(told)


def _differ(entry: Entry, size: Any, digest: Any) -> bool:
    return bool(entry.size != size or (entry.digest and digest and entry.digest != digest))


def _told(changes: Sequence[str]) -> str:
    more = f" and {len(changes) - 3:,} more changes" if len(changes) > 3 else ""
    return ", ".join(changes[:3]) + more


def _by_folder(found: Sequence[Entry]) -> dict[str, list[Any]]:
    """By the folder of a class: how many files, and a checksum of their names, sizes and samples."""
    folders: dict[str, list[Entry]] = {}
    for entry in found:
        folders.setdefault("/".join(entry.path.split("/", 2)[:2]), []).append(entry)
    return {name: [len(inside), _digest(inside)] for name, inside in folders.items()}


def _digest(found: Sequence[Entry]) -> str:
    lines = (b"%s %d %s" % (os.fsencode(entry.path), entry.size, entry.digest.encode()) for entry in found)
    return hashlib.sha256(b"\0".join(lines)).hexdigest()[:16]

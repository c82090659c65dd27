"""Data sets that take long to make, kept between runs: whole, checked, or made again."""

from __future__ import annotations

import hashlib
import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firerl.base.disk import durable, files, untrusted
from firerl.base.terminal import say

Arrays = dict[str, NDArray[np.generic]]
LARGEST = 1 << 28  # bytes of a file, which is held three times while it is read
_DIGEST = 64  # characters of a SHA-256 in hexadecimal, the first bytes of a file


def folder() -> Path:
    """``$XDG_CACHE_HOME/firerl``, else ``~/.cache/firerl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "firerl"


def cached(name: str, build: Callable[[], Arrays]) -> Arrays:
    """What ``build`` makes, from the file ``name`` of the cache where that is whole.

    A file that is missing or damaged is written anew; a cache that cannot be written costs a line and the time.
    """
    path = folder() / name
    damaged = False
    try:
        return unpack(untrusted.read_bytes(path, LARGEST))
    except OSError:  # not there, or not ours to read
        pass
    except ValueError:
        damaged = True
    _say(f"making {name}" + (", since the file in the cache is damaged" if damaged else " (once)"))
    start = time.perf_counter()
    arrays = build()
    try:
        durable.make_folder(path.parent)
        files.write(path, pack(arrays))  # whole or not at all: several processes may make it at once
        _say(f"made {path} in {time.perf_counter() - start:.0f} s")
    except OSError as error:
        _say(f"{error}: {name} stays in memory and is made again next time")
    return arrays


def pack(arrays: Arrays) -> bytes:
    """A file's bytes: their SHA-256, then numpy's own format."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest().encode() + content


def unpack(data: bytes) -> Arrays:
    """The arrays that ``pack`` packed. Raises ValueError on bytes that are damaged."""
    digest, content = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("its checksum is wrong")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(record.file_size for record in archive.infolist()) > len(content):
                raise ValueError("its records are larger than the file")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # numpy and zipfile raise a dozen types on bytes that are none of ours
        raise ValueError(f"it holds no arrays: {error}") from error


def _say(text: str) -> None:
    say(f"firerl: {text}", error=True)

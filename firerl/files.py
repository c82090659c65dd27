"""Files that are whole or not there: every durable write of a run goes through here."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Make ``path`` hold ``data``, whole and durable, or raise OSError and leave what was there before.

    Until the rename the bytes lie beside it in ``<name>.<process id>.tmp``; only a killed process leaves one.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error
        raise


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sync(path: Path) -> None:
    """Make a file's bytes, or a rename inside a folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that are whole or not there, by write, fsync, rename: how a run and every command write them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from firerl.base.disk import durable
from firerl.base.disk import temporary as unfinished
from firerl.errors import FirerlError, SettingError, reason

PICTURES = (".png", ".svg", ".pdf")  # what a figure can be drawn as


def write(path: Path, data: bytes, sync: bool = True) -> None:
    """Make ``path`` hold ``data``, whole and durable, or raise OSError and leave what was there before.

    Who writes many files into one folder may leave their names, ``sync=False``, to one ``durable.sync`` of the folder.
    Until the rename the bytes lie beside it in ``<name>.<process id>.tmp``; only a killed process leaves one.
    """
    temporary = unfinished.beside(path)
    try:
        durable.write(temporary, data)
        durable.rename(temporary, path, fsync=sync)
    except BaseException as error:
        with suppress(OSError):
            durable.remove(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error
        raise


def check_output(option: str, path: Path, endings: Sequence[str] = ()) -> None:
    """Raise SettingError, naming the option, where ``write_output`` could not work or would replace what is no file."""
    if endings and path.suffix.lower() not in endings:
        raise SettingError(f"{option} {path}: the name must end with one of {', '.join(endings)}")
    if path.is_dir():
        raise SettingError(f"{option} {path}: is a folder; give the name of a file")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise SettingError(f"{option} {path}: is no ordinary file and would be replaced by one; give another name")
    if not path.absolute().parent.is_dir():
        raise SettingError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path.absolute().parent, os.W_OK):
        raise SettingError(f"{option} {path}: the folder {path.parent} cannot be written")


def write_output(path: Path, data: bytes) -> None:
    """``write`` what a person asked for. Raises FirerlError where it fails."""
    try:
        write(path, data)
    except OSError as error:
        raise FirerlError(reason(error)) from error


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()

"""The list of a run's data files that cannot be used: ``unused_files.txt``, a line each, for people.

A run has many processes, and each that meets such a file adds it once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firerl.base.disk import durable
from firerl.base.terminal import say

NAME = "unused_files.txt"
LARGEST = 1 << 24  # bytes of it that are read
_WHERE = "FIRERL_UNUSED_FILES"  # in the environment: the run's list, for its processes on this machine


@contextmanager
def listed_in(run_dir: Path) -> Iterator[None]:
    """While a run goes on: its processes name files for ``say_once`` in its folder."""
    before = os.environ.get(_WHERE)
    os.environ[_WHERE] = str(run_dir.absolute() / NAME)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WHERE]
        else:
            os.environ[_WHERE] = before


def say_once(name: str, why: str) -> None:
    """Say that a file is not used, on the terminal and in the run's list, unless it stands there already: a run has
    many processes, and they all meet it."""
    if path := os.environ.get(_WHERE):
        with suppress(OSError):  # on another machine than the run's folder, or a full disk: then each process says it
            if _add(Path(path), name, why):
                return
    say(f"firerl: {name} cannot be read and is left out: {why}", error=True)


def _add(path: Path, name: str, why: str) -> bool:
    """Add a line to the list; True: the file stood there."""
    with durable.open_shared(path) as file:
        file.seek(0)
        content = file.read(LARGEST)
        if f"\n{name}: ".encode() in b"\n" + content:
            return True
        if len(content) < LARGEST // 2:
            durable.extend(file, f"{name}: {why}\n".encode(), path)
        return False

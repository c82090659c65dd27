"""Who holds a run folder: a lock of the operating system, which lets go of it when its holder ends, however it ends.

``lock`` in the folder names the holder (process, machine, a random word). On a shared file system whose locks do not
reach across machines, or where somebody removed the file, two could hold it at once: before every commit the holder
looks whether the file still names it, and stops where it does not.

A second file, ``stop``, asks the holder that it names to end the run at its next ready; any other passes over it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
import weakref
from pathlib import Path
from typing import IO

from firerl.base.disk import durable, files
from firerl.base.disk.untrusted import read_bytes
from firerl.errors import RunFolderError
from firerl.storage.run_folder import check_files

STOP = "stop"  # the file that asks for an end
STOPPED = "firerl.stop"  # what such a run says it was ended by
_WAIT = 1.0  # seconds
_LENGTH = 1_000  # bytes of the file; more than that is nobody's name
_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A run folder, held until ``close``. Raises RunFolderError, with its holder's process id, if it is in use."""

    def __init__(self, run_dir: Path):
        check_files(run_dir, write=True)  # whoever holds a folder writes into it
        self.path = run_dir / "lock"
        self._word = secrets.token_hex(8)
        self._before = _read(self.path) if self.path.exists() else None  # what the last holder has left
        self._take()
        _held.add(self)

    def _take(self) -> None:
        self._file = durable.open_kept(self.path)
        deadline = time.monotonic() + _WAIT
        while not _try(self._file):
            # Whoever took it a moment ago may still have to write its name; or somebody only looks.
            if _alive(text := _read(self.path)) or time.monotonic() > deadline:
                self._file.close()
                raise _in_use(self.path.parent, text)
            time.sleep(0.02)
        durable.rewrite(self._file, f"{os.getpid()} {socket.gethostname()} {self._word}\n", self.path)

    def check(self) -> None:
        """Raise RunFolderError where another process holds the folder, too: the later one goes on, this one stops."""
        if not self.path.exists():  # somebody removed it: others are no longer held off
            self._file.close()
            self._take()
            return
        text = _read(self.path)
        if self._word not in text:
            raise RunFolderError(
                f"{self.path.parent} was given to {_name(text)}; this process stops before it writes again. Locks of "
                "this file system may not work across machines: run one machine at a time on it"
            )

    def asked_to_stop(self) -> bool:
        """Whether somebody wants this holder to end its run."""
        return self._word in _read(self.path.with_name(STOP))

    def close(self, untouched: bool = False) -> None:
        """Let go of the folder; ``untouched``: nothing was changed in it, and the file is as it was, too."""
        _held.discard(self)
        if self.path.with_name(STOP).exists() and not untouched:
            durable.remove(self.path.with_name(STOP))
        if untouched and self._before is not None:
            durable.rewrite(self._file, self._before, self.path)
        elif untouched:
            durable.remove(self.path)
        self._file.close()


def refuse_if_held(run_dir: Path) -> None:
    """Raise RunFolderError, with the holder's process id, if the folder is in use. Writes nothing."""
    if not (run_dir / "lock").is_file():  # none, or a pipe, that nobody ever writes to
        return
    try:
        with open(run_dir / "lock", encoding="utf-8") as file:
            if not _try(file, fcntl.LOCK_SH):
                raise _in_use(run_dir, _read(run_dir / "lock"))
    except OSError:  # no folder, no lock: nobody
        return


def is_held(run_dir: Path) -> bool:
    """Whether somebody works in this folder. Writes nothing, and asks the lock only where its last holder may live."""
    if not (run_dir / "lock").is_file() or not _alive(_read(run_dir / "lock")):
        return False
    try:
        refuse_if_held(run_dir)
    except RunFolderError:
        return True
    return False


def ask_to_stop(run_dir: Path) -> str:
    """Ask whoever holds this folder to end its run at the next ready; returns who that is.

    Raises RunFolderError where nobody holds it, or somebody on another machine does.
    """
    text = _read(run_dir / "lock")
    if not is_held(run_dir):
        raise RunFolderError(f"{run_dir} does not run")
    if text.split()[1:2] != [socket.gethostname()]:
        raise RunFolderError(f"{run_dir} is worked on by {_name(text)}: type the same line there")
    files.write(run_dir / STOP, text.encode())
    return _name(text)


def is_asked_to_stop(run_dir: Path) -> bool:
    """Whether whoever holds this folder now has been asked to end its run."""
    text = _read(run_dir / STOP)
    return bool(text) and text == _read(run_dir / "lock")


def _try(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return read_bytes(path, _LENGTH).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def _in_use(run_dir: Path, text: str) -> RunFolderError:
    return RunFolderError(f"{run_dir} is in use by another firerl ({_name(text)})")


def _name(text: str) -> str:
    """``process 17``, ``process 17 on node-3`` where that is another machine."""
    words = text.split()
    elsewhere = len(words) > 1 and words[1] != socket.gethostname()
    return f"process {words[0][:20] if words else 'unknown'}" + (f" on {words[1][:60]}" if elsewhere else "")


def _alive(text: str) -> bool:
    """Whether the process that the text names may live: one of another machine is taken at its word."""
    words = text.split()
    if not words or not words[0].isdecimal() or len(words[0]) > 10:
        return False
    if len(words) > 1 and words[1] != socket.gethostname():
        return True
    try:
        os.kill(int(words[0]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _let_go_in_child() -> None:
    """A forked child (of a learner's own data loader, say) must not hold the folder when its parent is gone."""
    for lock in list(_held):
        lock._file.close()


os.register_at_fork(after_in_child=_let_go_in_child)

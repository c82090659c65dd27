"""The one seam through which everything durable passes: bytes, fsync, rename, unlink, folders, SQLite's commits.

Every function here is one action on the disk, or a short row of them. A test that puts a ``watcher`` here is told
before and after each (and in the middle of every write), and can kill the process there, as
``tests/stress/crash_points.py`` does at every point of a run. ``tests/base/test_durable.py`` fails where a module goes
around this one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from firerl.base.disk import temporary as unfinished

# (moment, action, path): "before", "half" (of a write's bytes) or "after"; "write", "fsync", "rename", ...
watcher: Callable[[str, str, Path], None] | None = None


@contextmanager
def _action(name: str, path: Path) -> Iterator[None]:
    """One durable action; costs nothing where nobody watches."""
    if watcher is None:
        yield
        return
    watcher("before", name, path)
    yield
    if watcher is not None:
        watcher("after", name, path)


def write(path: Path, data: bytes, append: bool = False, fsync: bool = True) -> None:
    """``data`` as all that ``path`` holds or, with ``append``, at its end. A killed process leaves a part of it."""
    with ExitStack() as stack:
        with _action("write", path):
            file = stack.enter_context(open(path, "ab" if append else "wb"))
            if watcher is None:
                file.write(data)
            else:
                file.write(data[: len(data) // 2])
                file.flush()
                watcher("half", "write", path)
                file.write(data[len(data) // 2 :])
            file.flush()
        if fsync:
            with _action("fsync", path):
                os.fsync(file.fileno())


def open_kept(path: Path) -> IO[str]:
    """A text file to read, and to ``rewrite`` while it stays open; made if it is missing."""
    with _action("create", path):
        return open(path, "a+", encoding="utf-8")


@contextmanager
def open_shared(path: Path) -> Iterator[IO[bytes]]:
    """A file to read, and to ``extend``, that no other process has open so meanwhile; made if it is missing. A link is
    an OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with _action("create", path):
        descriptor = os.open(path, flags, 0o666)
    with open(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def extend(file: IO[bytes], data: bytes, path: Path) -> None:
    """``data`` at the end of an open file."""
    with _action("write", path):
        file.write(data)
        file.flush()


def rewrite(file: IO[str], text: str, path: Path) -> None:
    """``text`` as the whole content of an open file, which stays open."""
    with _action("write", path):
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()


def create(path: Path, data: bytes) -> bool:
    """``data`` as a new file, whole, unless there is one of this name already: False. Works over NFS, too."""
    temporary = unfinished.beside(path)
    write(temporary, data)
    try:
        with _action("link", path):
            _link(temporary, path, data)
    except FileExistsError:
        return False
    finally:
        remove(temporary)
    sync(path.parent)
    return True


def _link(source: Path, target: Path, data: bytes) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        with open(target, "xb") as file:  # a file system without hard links: new, but not at once whole
            file.write(data)
            os.fsync(file.fileno())


def rename(source: Path, target: Path, fsync: bool = True) -> None:
    """Put ``source`` in ``target``'s place, at once, and make it survive a power failure; without ``fsync`` it does so
    from the next ``sync`` of the folder on."""
    with _action("rename", target):
        os.replace(source, target)
    if fsync:
        sync(target.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or names that came or went in a folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with _action("fsync", path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    if os.path.lexists(path):
        with _action("unlink", path):
            path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with _action("mkdir", path):
        path.mkdir(exist_ok=True)
    sync(path.parent)


def clear_folder(path: Path) -> None:
    """An empty folder, whatever it was before."""
    remove_folder(path)
    make_folder(path)


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it, if it is there, as far as that is possible."""
    if path.exists():
        with _action("rmtree", path):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All or nothing of what is done to the database inside, durable at the end; ``path`` is its file.

    The connection must have ``isolation_level=None``. Raises what SQLite raises.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        with _action("commit", path):
            db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def journal_mode(db: sqlite3.Connection, path: Path, mode: str) -> None:
    """WAL: a write-ahead log beside the file; DELETE: one file."""
    with _action("journal mode", path):
        db.execute(f"PRAGMA journal_mode = {mode}").fetchone()


def empty_log(db: sqlite3.Connection, path: Path) -> None:
    """Move the write-ahead log into the database, as far as readers let it, without waiting for them."""
    db.execute("PRAGMA busy_timeout = 0").fetchone()
    with _action("empty log", path):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.execute("PRAGMA busy_timeout = 5000").fetchone()


def close(db: sqlite3.Connection, path: Path) -> None:
    """Close a database, whose write-ahead log then moves into it."""
    with _action("close", path):
        db.close()


def back_up(db: sqlite3.Connection, path: Path) -> None:
    """A copy of a database in one file, whole or not there, by SQLite's own backup."""
    temporary = unfinished.beside(path)
    copy = sqlite3.connect(temporary, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = OFF")  # fsync comes once, below
        copy.execute("PRAGMA journal_mode = MEMORY").fetchone()  # nothing beside it
        with _action("backup", temporary):
            if watcher is None:
                db.backup(copy)
            else:
                half = max(1, db.execute("PRAGMA page_count").fetchone()[0] // 2)
                watch = watcher
                db.backup(copy, pages=half, progress=lambda *_: watch("half", "backup", temporary))
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # it has taken over that it keeps a log
        copy.close()
        sync(temporary)
        rename(temporary, path)
    except BaseException:
        copy.close()
        with suppress(OSError):
            remove(temporary)
        raise

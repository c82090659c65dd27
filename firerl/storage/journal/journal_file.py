"""The journal as a file that may be anybody's: its tables, how it is opened, whether it is ours."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from firerl import __version__
from firerl.base.disk import durable, untrusted
from firerl.errors import RunFolderError
from firerl.storage.run_folder import COPY, check_files, check_rollback

# Of the journal; raise it with every change that another version of firerl would misread: each refuses all but its own.
FORMAT = 1

_PATIENCE = 100  # milliseconds for which a commit waits for somebody who reads the copy

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE generations (number INTEGER PRIMARY KEY, step INTEGER NOT NULL, hash TEXT NOT NULL, state TEXT,
    best_ever TEXT) STRICT;
CREATE TABLE reports (point INTEGER NOT NULL, worker INTEGER NOT NULL, generation INTEGER NOT NULL,
    step INTEGER NOT NULL, objective TEXT NOT NULL, metrics TEXT NOT NULL, failure TEXT,
    PRIMARY KEY (point, worker)) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (point INTEGER NOT NULL, position INTEGER NOT NULL, generation INTEGER NOT NULL,
    kind TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (point, position)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (name TEXT PRIMARY KEY, worker INTEGER NOT NULL, generation INTEGER NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL) STRICT;
CREATE TABLE timings (generation INTEGER PRIMARY KEY, data TEXT NOT NULL) STRICT;
CREATE TABLE notes (time REAL NOT NULL, text TEXT NOT NULL) STRICT;
"""


def check_is_run(run_dir: Path, still: bool = False) -> None:
    """Raise RunFolderError unless this folder holds a run that this version reads; ``still``: as ``opened_still``."""
    if not run_dir.exists():
        raise RunFolderError(f"{run_dir} does not exist: there is no run")
    path = run_dir / "journal.sqlite"
    if not path.is_file():
        copy = f", only its copy {COPY}: firerl.doctor --repair brings it back" if (run_dir / COPY).is_file() else ""
        kept = next(run_dir.glob("journal-*-*.sqlite"), None)  # firerl.storage.remote.snapshot
        copy = f"; a run is kept there as at an address: give it as file://{run_dir.absolute()}" if kept else copy
        raise RunFolderError(f"{run_dir} holds no run: there is no journal.sqlite in it{copy}")
    check_files(run_dir)
    try:
        with opened_still(path) if still else closing(connect(run_dir, read_only=True)) as db:
            foreign(db)
            found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            writer = db.execute("SELECT value FROM meta WHERE key = 'firerl'").fetchone()
            last = db.execute("SELECT state FROM generations ORDER BY number DESC LIMIT 1").fetchone()
            if found is not None and found[0] == str(FORMAT):
                wrong = pages(db)
    except (sqlite3.OperationalError, ValueError) as error:
        known = "no such table" in str(error) or not isinstance(error, sqlite3.Error)
        what = "is not a journal of firerl" if known else "cannot be read"
        raise RunFolderError(f"{path} {what}: {error}") from error
    except sqlite3.Error as error:
        raise RunFolderError(f"{path} is damaged or not a journal of firerl: {error}") from error
    if found is not None and found[0] != str(FORMAT):
        raise RunFolderError(f"{path} {of_another_format(found[0], writer)}")
    if found is None or last is None or last[0] is None:
        raise RunFolderError(f"{path} is damaged: it holds no generation")
    if wrong:
        raise RunFolderError(f"{path} is damaged: {wrong}")


def foreign(db: sqlite3.Connection) -> None:
    """Raise ValueError where a database holds more than our tables, or others: a view or a trigger is code."""
    known = {" ".join(statement.split()) for statement in SCHEMA.split(";")}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema"):
        if sql is None and kind == "index" and str(name).startswith("sqlite_autoindex_"):
            continue
        if kind != "table" or not isinstance(sql, str) or " ".join(sql.split()) not in known:
            raise ValueError(f"it holds the {kind!s:.20} {name!s:.40}, which is none of ours")


def pages(db: sqlite3.Connection) -> str:
    """What is wrong with a database's pages and the types of its values; "" if nothing. Raises sqlite3.Error."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    return "" if found == "ok" else " ".join(str(found).split())


def of_another_format(found: str, writer: tuple[str] | None) -> str:
    """Which firerl reads a journal of this format; ``writer`` is the row of meta that names who wrote it."""
    who = f"firerl {writer[0]}" if writer else "the firerl that wrote it"
    told = f"has journal format {found:.20}, firerl {__version__} reads {FORMAT}"
    return f"{told}; {who:.80} reads it: pip install that version"


def connect_second(run_dir: Path) -> sqlite3.Connection:
    """The journal's copy, for whoever holds the folder: durable commits, and one file between them."""
    path = run_dir / COPY
    db = _limited(f"{path.absolute().as_uri()}?mode=rw", path)
    durable.journal_mode(db, path, "DELETE")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA busy_timeout = {_PATIENCE}").fetchone()
    return db


def connect(run_dir: Path, read_only: bool = False) -> sqlite3.Connection:
    """An open journal; whoever writes gets a write-ahead log and durable commits."""
    path = run_dir / "journal.sqlite"
    mode = "ro" if read_only else "rw"
    db = _limited(f"{path.absolute().as_uri()}?mode={mode}", path)
    if not read_only:
        durable.journal_mode(db, path, "WAL")
        db.execute("PRAGMA synchronous = FULL")
    return db


def _limited(uri: str, path: Path) -> sqlite3.Connection:
    """A database that may be anybody's: no values that take all memory, no functions of a schema's own."""
    try:
        untrusted.check_ordinary(path.stat(), untrusted.JOURNAL)
    except (OSError, ValueError) as error:
        raise sqlite3.OperationalError(str(error)) from error
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, untrusted.CELL)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {setting}")
    return db


@contextmanager
def opened_still(path: Path) -> Iterator[sqlite3.Connection]:
    """A journal or its copy, in which nobody writes now, for reading; nothing in its folder changes.

    What a killed process has left beside it (a commit that is in the log only, or only half done) belongs to it: SQLite
    puts the two together in a temporary folder. Raises sqlite3.Error, RunFolderError.
    """
    logs = [log for rest in ("-wal", "-journal") if (log := path.with_name(f"{path.name}{rest}")).exists()]
    if not logs:
        with closing(_limited(f"{path.absolute().as_uri()}?mode=ro&immutable=1", path)) as db:
            yield db
        return
    check_rollback(path)
    with tempfile.TemporaryDirectory(prefix="firerl-") as folder:
        try:
            for file in (path, *logs):
                durable.write(Path(folder) / file.name, untrusted.read_bytes(file, untrusted.JOURNAL), fsync=False)
        except (OSError, ValueError) as error:
            raise sqlite3.OperationalError(str(error)) from error
        there = Path(folder) / path.name
        with closing(_limited(f"{there.as_uri()}?mode=rw", there)) as db:
            yield db


@contextmanager
def opened_bytes(data: bytes) -> Iterator[sqlite3.Connection]:
    """A journal that is not in a file yet, for reading."""
    with tempfile.TemporaryDirectory(prefix="firerl-") as folder:
        path = Path(folder) / "journal.sqlite"
        durable.write(path, data, fsync=False)
        with opened_still(path) as db:
            yield db


@contextmanager
def opened_copy(run_dir: Path) -> Iterator[sqlite3.Connection]:
    """The journal's copy, as ``opened_still``."""
    with opened_still(run_dir / COPY) as db:
        yield db

"""The run folder: the journal (SQLite), checkpoints, config and results.

Layout: ``config.yaml`` (for people), ``journal.sqlite`` (the truth), ``checkpoints/`` (only what the last generation
refers to), ``tensorboard/``, ``failures.log``, with ``init=`` also ``init.pt`` (the weights that the run started from),
and at the end ``best.pt``, ``best_ever.pt``, ``schedule.yaml`` and, last of all, ``result.json``.

A generation is committed in one SQLite transaction after its checkpoint files are durable; what no commit refers to
is garbage. Each generation stores a SHA-256 over its promised rows and the hash before it. Times, speeds, resumes and
machine failures live in tables of their own, outside the promise.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from firerl import __version__, files
from firerl.errors import RunFolderError
from firerl.evolution import plain
from firerl.evolution.population import State
from firerl.journal_db import (
    FORMAT,
    SCHEMA,
    BestEver,
    File,
    Generation,
    Journal,
    Point,
    check_file,
    check_is_run,
    connect,
    first_hash,
    holders,
    next_hash,
)

OURS = {
    "config.yaml", "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.sqlite.new", "checkpoints",
    "tensorboard", "failures.log", "lock", "best.pt", "best_ever.pt", "schedule.yaml", "result.json", "report.html",
    "init.pt",
}  # fmt: skip
RESULTS = ("result.json", "best.pt", "best_ever.pt", "schedule.yaml")
TEMPORARY = re.compile(rf"({'|'.join(map(re.escape, sorted(OURS)))})\.\d+\.tmp")  # what a killed files.write leaves
CHECKPOINT = re.compile(r"g\d+-w\d+\.pt(\.\d+\.tmp)?")


class Store:
    """An open run folder, locked against a second launch until ``close``."""

    def __init__(self, run_dir: Path, lock: IO[str], db: sqlite3.Connection):
        self.run_dir = run_dir
        self.checkpoints = run_dir / "checkpoints"
        self._lock = lock
        self._db = db

    @classmethod
    def create(
        cls,
        run_dir: Path,
        config: Mapping[str, Any],
        promised: Mapping[str, Any],
        state: State,
        initial: bytes | None = None,
    ) -> Store:
        """Start a run. ``config`` is all settings, ``promised`` those that the result is a function of, ``initial``
        the weights that it starts from.

        Raises RunFolderError if the folder holds a run or something that is not ours.
        """
        check_free(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = _locked(run_dir)
        check_free(run_dir)
        for leftover in (
            *RESULTS,
            "init.pt",
            "report.html",
            "journal.sqlite-wal",
            "journal.sqlite-shm",
            "journal.sqlite.new",
        ):
            (run_dir / leftover).unlink(missing_ok=True)  # of a run whose journal was removed
        files.write(run_dir / "config.yaml", _yaml(config))
        if initial is not None:
            files.write(run_dir / "init.pt", initial)
        (run_dir / "checkpoints").mkdir(exist_ok=True)
        new = run_dir / "journal.sqlite.new"
        digest = first_hash(promised, state)
        meta = {
            "format": str(FORMAT),
            "firerl": __version__,
            "config": plain.dumps(config),
            "promised": plain.dumps(promised),
        }
        with _writing(run_dir):
            db = sqlite3.connect(new, isolation_level=None)
            db.executescript(SCHEMA)
            db.execute("BEGIN")
            db.executemany("INSERT INTO meta VALUES (?, ?)", {**meta, "initial_state": plain.dumps(state)}.items())
            db.execute("INSERT INTO generations VALUES (0, 0, ?, ?, NULL)", (digest, plain.dumps(state)))
            db.execute("COMMIT")
            db.close()
        files.sync(new)
        new.rename(run_dir / "journal.sqlite")
        files.sync(run_dir)
        store = cls(run_dir, lock, connect(run_dir))
        store.collect_garbage()
        return store

    @classmethod
    def open(cls, run_dir: Path) -> Store:
        """Go on with a run. Raises RunFolderError if there is none, if it is damaged, or if it is running."""
        check_is_run(run_dir)
        lock = _locked(run_dir)
        store = cls(run_dir, lock, connect(run_dir))
        store.collect_garbage()
        return store

    def journal(self) -> Journal:
        """The journal of this run, for reading."""
        return Journal(self._db, self.run_dir)

    def last(self) -> Generation:
        """The last committed generation."""
        return self.journal().last()

    def commit(
        self,
        previous: Generation,
        step: int,
        points: Sequence[Point],
        state: State,
        files: Sequence[File],
        best_ever: BestEver | None,
        timings: Mapping[str, float],
    ) -> Generation:
        """Commit the generation after ``previous``: its evaluation points, the state after them, durable files."""
        number = previous.number + 1
        digest = next_hash(previous.hash, step, points)
        db = self._db
        first = 1 + db.execute("SELECT coalesce(max(point), 0) FROM reports").fetchone()[0]
        with _writing(self.run_dir), _transaction(db):
            for index, point in enumerate(points, start=first):
                self._insert_point(number, index, point)
            db.execute("UPDATE generations SET state = NULL, best_ever = NULL")
            best = None if best_ever is None else plain.dumps(best_ever)
            row = (number, step, digest, plain.dumps(state), best)
            db.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?)", row)
            keep = best_ever.file if best_ever else ""
            db.execute("DELETE FROM checkpoints WHERE name != ?", (keep,))
            db.executemany(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)",
                [(f.name, f.worker, f.generation, f.size, f.sha256) for f in files],
            )
            db.execute("INSERT INTO timings VALUES (?, ?)", (number, plain.dumps(timings)))
        self.collect_garbage()
        decisions = points[-1].decisions if points else []
        return Generation(number, step, digest, state, decisions, {f.worker: f for f in files}, best_ever)

    def _insert_point(self, generation: int, index: int, point: Point) -> None:
        self._db.executemany(
            "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (index, r.worker, generation, r.step, plain.dumps(r.objective), plain.dumps(r.metrics), r.failure)
                for r in point.reports
            ],
        )
        self._db.executemany(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?)",
            [(index, i, generation, plain.decision_kind(d), plain.dumps(d)) for i, d in enumerate(point.decisions)],
        )

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Change the settings that may change on resume; results of a shorter run go."""
        for name in RESULTS:  # result.json first: with it a run counts as finished
            (self.run_dir / name).unlink(missing_ok=True)
        files.sync(self.run_dir)
        with _writing(self.run_dir):
            self._db.execute("UPDATE meta SET value = ? WHERE key = 'config'", (plain.dumps(config),))
        files.write(self.run_dir / "config.yaml", _yaml(config))

    def result(self) -> dict[str, Any] | None:
        """What ``result.json`` holds, if the run has finished at its last generation; RunFolderError: damaged."""
        return self.journal().result()

    def initial_weights(self, sha256: str) -> Path:
        """The file of the weights that the run started from. Raises RunFolderError if it is missing or damaged."""
        check_file(self.run_dir / "init.pt", sha256)
        return self.run_dir / "init.pt"

    def check_files(self, generation: Generation) -> None:
        """Raise RunFolderError if a checkpoint of this generation, the last, is missing, unlisted or damaged."""
        journal = self.journal()
        expected = holders(journal.initial_state(), journal.points()) if generation.number else set()
        for worker in sorted(expected - generation.files.keys()):
            which = f"worker {worker} at generation {generation.number}"
            raise RunFolderError(f"{self.run_dir / 'journal.sqlite'} is damaged: it lists no checkpoint of {which}")
        for file in generation.files.values():
            check_file(self.checkpoints / file.name, file.sha256)

    def note(self, text: str) -> None:
        """Keep something that is no part of the result: a resume, a machine failure."""
        with _writing(self.run_dir):
            self._db.execute("INSERT INTO notes VALUES (?, ?)", (time.time(), text))

    def log_failure(self, text: str) -> None:
        """Append a learner's traceback to ``failures.log``."""
        with open(self.run_dir / "failures.log", "a", encoding="utf-8") as file:
            file.write(text.rstrip() + "\n\n")

    def write_result_file(self, name: str, data: bytes) -> None:
        """One of the files at the end, by write, fsync, rename."""
        files.write(self.run_dir / name, data)

    def collect_garbage(self) -> None:
        """Remove what no commit refers to."""
        kept = {row[0] for row in self._db.execute("SELECT name FROM checkpoints")}
        self.checkpoints.mkdir(exist_ok=True)
        for path in self.checkpoints.iterdir():
            if path.name not in kept and CHECKPOINT.fullmatch(path.name):
                path.unlink(missing_ok=True)
        for path in self.run_dir.iterdir():
            # A report may be written by another process at this very moment.
            if TEMPORARY.fullmatch(path.name) and not path.name.startswith("report.html"):
                path.unlink(missing_ok=True)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and let go of the folder."""
        with suppress(sqlite3.Error):  # a reader has it open
            self._db.execute("PRAGMA journal_mode = DELETE")  # one file, that also a read-only folder can be read from
        self._db.close()
        self._lock.close()


def check_free(run_dir: Path) -> None:
    """Raise RunFolderError unless a run may start in this folder."""
    if (run_dir / "journal.sqlite").exists():
        raise RunFolderError(f"run_dir={run_dir} already holds a run; to go on with it type: resume={run_dir}")
    if run_dir.exists():
        if not run_dir.is_dir():
            raise RunFolderError(f"run_dir={run_dir} is a file, not a folder")
        foreign = sorted(p.name for p in run_dir.iterdir() if p.name not in OURS and not TEMPORARY.fullmatch(p.name))
        if foreign:
            raise RunFolderError(f"run_dir={run_dir} is not empty and holds no run of ours (found {foreign[0]})")


@contextmanager
def _writing(run_dir: Path) -> Iterator[None]:
    """SQLite's way to say that the disk is full or the folder cannot be written, as OSError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"cannot write {run_dir / 'journal.sqlite'}: {error}") from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _locked(run_dir: Path) -> IO[str]:
    """Hold the folder; the operating system lets go of it when this process ends, however it ends."""
    lock = open(run_dir / "lock", "a+", encoding="utf-8")  # noqa: SIM115 (held until close)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise RunFolderError(f"{run_dir} is in use by another firerl (process {holder})") from error
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _yaml(config: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(_lists(config), sort_keys=False).encode()


def _lists(value: Any) -> Any:
    """Tuples as lists, since YAML has none."""
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value

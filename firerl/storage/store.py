"""The run folder: the journal (SQLite), checkpoints, config and results.

Layout: ``config.yaml`` (for people), ``journal.sqlite`` (the truth), ``journal.bak`` (gets the same after each),
``checkpoints/`` (only what the kept generations refer to), the loggers' folders (``tensorboard/``, ``wandb/``,
``loggers/``), ``failures.log``, with ``init=`` also ``init.pt`` (the weights that the run started from), and at the end
``best.pt``, ``best_ever.pt``, ``schedule.yaml`` and, last of all, ``result.json``.

A generation is committed in one SQLite transaction after its checkpoint files are durable; what no commit refers to is
garbage. Each generation stores a SHA-256 over its promised rows and the hash before it. Times, speeds, resumes and
machine failures live in tables of their own, outside the promise. Nothing is deleted or copied over in a folder before
``firerl.storage.journal.proof`` says that it is this run's; changed settings and new results replace what was there
when there is a generation of them, not before.

The last generation and ``checkpoints.keep_history`` before it are kept with all that a resume needs, and the best
ever's file twice, so that no file is the only one: ``firerl.doctor`` goes back to the last generation that is whole.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from firerl.base.disk import durable, files
from firerl.base.terminal import clean_lines
from firerl.errors import RunFolderError
from firerl.evolution import plain
from firerl.evolution.population import State
from firerl.storage import origins
from firerl.storage.generation import BestEver, File, Generation, Point, next_hash
from firerl.storage.journal import kept_generations, new_journal, seal
from firerl.storage.journal.journal_db import Journal, check_file, reading, whole_result
from firerl.storage.journal.journal_file import connect
from firerl.storage.journal.proof import Proof, lacking, looked_at, prove
from firerl.storage.journal.second import Second
from firerl.storage.keeping import Keeping, forget, keep_only, second_copy
from firerl.storage.lock import Lock, refuse_if_held
from firerl.storage.run_folder import CHECKPOINT, JOURNALS, RESULTS, TEMPORARY, check_empty, check_files, mending

# Bytes of all workers' states, up to which one generation more than is kept may lie there while it is saved: with it a
# run stays within 2.2 times its states plus 20 MB (docs/explanation/reliability.md), and some of the 20 are the
# journal's.
ROOM = 16 * 10**6


class Store:
    """An open run folder, locked against a second launch until ``close``."""

    def __init__(self, run_dir: Path, lock: Lock, proof: Proof, mirror: Callable[[], None] | None = None):
        """``mirror`` is called whenever the journal's copy, and all that it refers to, lie there anew."""
        self.run_dir = run_dir
        self._mirror = mirror
        self.checkpoints = run_dir / "checkpoints"
        self._lock = lock
        self._path = run_dir / "journal.sqlite"
        self._changed: Mapping[str, Any] | None = None  # settings that the next generation brings
        self._lacking = proof.lacking
        self._db = _connected(run_dir, read_only=bool(self._lacking))
        try:
            with reading(run_dir):
                self._keep = _history(self.journal().config())
            self._second = Second(self._db, run_dir, proof.copy and not self._lacking)
            if not self._lacking:
                self.collect_garbage()
                self.copy_journal()
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def create(
        cls,
        run_dir: Path,
        config: Mapping[str, Any],
        promised: Mapping[str, Any],
        state: State,
        initial: bytes | None = None,
        mirror: Callable[[], None] | None = None,
        usual: Mapping[str, Any] | None = None,
    ) -> Store:
        """Start a run. ``config`` is all settings, ``promised`` and ``usual`` those that the result is a function of
        (``promised.split``), ``initial`` the weights that it starts from, ``mirror`` as for the class.

        Raises RunFolderError if the folder holds a run or something that is not ours.
        """
        check_free(run_dir)
        durable.make_folder(run_dir)
        lock = Lock(run_dir)
        with _closed_on_error(lock):
            check_empty(run_dir)
            for leftover in (*RESULTS, "init.pt", "report.html", "unused_files.txt", "data_files.json", *JOURNALS):
                durable.remove(run_dir / leftover)  # of a run whose journal was removed
            write_config(run_dir, config)
            if initial is not None:
                files.write(run_dir / "init.pt", initial)
            durable.make_folder(run_dir / "checkpoints")
            with _writing(run_dir):
                new_journal.create(run_dir, config, promised, usual or {}, state)
            return cls(run_dir, lock, prove(run_dir), mirror)

    @classmethod
    def open(cls, run_dir: Path, mirror: Callable[[], None] | None = None, proof: Proof | None = None) -> Store:
        """Go on with a run. Raises RunFolderError if there is none, if it is damaged, if nothing proves that what lies
        there belongs together, or if it is running; then no byte of it has changed. ``proof``: of ``looked_at``."""
        if proof is None:
            with looked_at(run_dir) as (_, found):
                proof = found
        lock = Lock(run_dir)
        with _closed_on_error(lock):
            store = cls(run_dir, lock, proof, mirror)
            with _closed_on_error(store):
                _check_hash(store, proof.hash)
            return store

    def check_that_it_can_go_on(self, generation: Generation) -> None:
        """Raise RunFolderError where this is not the last generation, or its files are not whole; nothing has been
        written then."""
        if self._lacking:
            raise RunFolderError(self._lacking)
        _check_hash(self, generation.hash)

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
        keeping: Keeping | None = None,
    ) -> Generation:
        """Commit the generation after ``previous``: its evaluation points, the state after them, durable new files.

        ``keeping``, of an asynchronous run, says what else is needed from now on.
        """
        number = previous.number + 1
        digest = next_hash(previous.hash, step, points)
        self._lock.check()
        listed = [*files, *second_copy(self.checkpoints, files, best_ever)]
        db = self._db
        first = 1 + db.execute("SELECT coalesce(max(point), 0) FROM reports").fetchone()[0]
        with self._change():
            for index, point in enumerate(points, start=first):
                self._insert_point(number, index, point)
            best = None if best_ever is None else plain.dumps(best_ever)
            row = (number, step, digest, plain.dumps(state), best)
            db.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?)", row)
            kept_generations.add(db, number)
            seal.add_rows(db, number, first, first + len(points) - 1)
            db.executemany(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)",
                [(f.name, f.worker, f.generation, f.size, f.sha256) for f in listed],
            )
            gone = [] if keeping is None else keep_only(db, keeping)
            if keeping is None:
                forget(db, number - self._keep)
            db.execute("INSERT INTO timings VALUES (?, ?)", (number, plain.dumps(timings)))
            self._insert_config()
        self._write_config()
        if keeping is None:
            self.copy_journal()
            self.collect_garbage()
        else:  # processes write files of their own meanwhile, and a copy of all that was takes longer and longer
            for name in keeping.free(gone):
                durable.remove(self.checkpoints / name)
            if keeping.due():
                self.copy_journal()
                keeping.copy_made()
        decisions = points[-1].decisions if points else []
        return Generation(number, step, digest, state, decisions, {f.worker: f for f in files}, best_ever)

    def keeping(self, every: int) -> Keeping:
        """What is kept now of this asynchronous run, whose journal is to be copied ``every`` so many reports."""
        journal = self.journal()
        numbers = kept_generations.numbers(self._db)
        needed = {number: origins.needed(found) for number, found in journal.origins_at(numbers).items()}
        return Keeping(len(journal.initial_state().workers), self._keep, every, needed, tuple(needed))

    def make_room(self) -> None:
        """Before a generation is saved: let the oldest kept one go, where the states are so large that one more
        beside them would break the promise about disk."""
        number = self._db.execute("SELECT max(number) FROM generations").fetchone()[0]
        query = "SELECT coalesce(sum(size), 0) FROM checkpoints WHERE generation = ?"
        if self._keep and self._db.execute(query, (number,)).fetchone()[0] > ROOM:
            with self._change():
                forget(self._db, number - self._keep + 1)
            self.collect_garbage()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A durable change of the journal, sealed; the write-ahead log is emptied, so that the file is all of it."""
        with _writing(self.run_dir):
            with durable.transaction(self._db, self._path):
                yield
                seal.close(self._db)
            durable.empty_log(self._db, self._path)

    def copy_journal(self) -> None:
        """Bring ``journal.bak`` up to date."""
        with _writing(self.run_dir):
            self._second.follow()
        if self._mirror is not None:
            self._mirror()

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
        """Change the settings that may change on resume: with the next generation, or the results. Until there is one,
        the folder holds the run as it was, so that a command that fails costs nothing."""
        self._changed = config
        self._keep = _history(config)

    def _insert_config(self) -> None:
        if self._changed is not None:
            self._db.execute("UPDATE meta SET value = ? WHERE key = 'config'", (plain.dumps(self._changed),))

    def _write_config(self) -> None:
        if self._changed is not None:
            write_config(self.run_dir, self._changed)
            self._changed = None

    def result(self) -> dict[str, Any] | None:
        """As ``whole_result``."""
        return whole_result(self.journal())

    def write_results(self, contents: Mapping[str, bytes]) -> None:
        """The files at the end, each by write, fsync, rename; ``result.json`` last, when their digests are durable."""
        last = "result.json"
        for name in (name for name in contents if name != last):
            files.write(self.run_dir / name, contents[name])
        digests = {name: files.digest(data) for name, data in contents.items()}
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('results', ?)", (plain.dumps(digests),))
            self._insert_config()
        self._write_config()
        self.copy_journal()
        files.write(self.run_dir / last, contents[last])
        if self._mirror is not None:
            self._mirror()

    def initial_weights(self, sha256: str) -> Path:
        """The file of the weights that the run started from. Raises RunFolderError if it is missing or damaged."""
        check_file(self.run_dir / "init.pt", sha256)
        return self.run_dir / "init.pt"

    def check_files(self, generation: Generation) -> None:
        """Raise RunFolderError if a checkpoint of this generation, the last, is missing, unlisted or damaged."""
        if wrong := lacking(self.journal(), generation):
            raise RunFolderError(wrong)

    def asked_to_stop(self) -> bool:
        """Whether somebody wants the run to end at its next ready (``firerl.stop``)."""
        return self._lock.asked_to_stop()

    def note(self, text: str) -> None:
        """Keep something that is no part of the result: a resume, a machine failure."""
        if self._lacking:  # nothing is kept in a folder that nothing proves to be whole
            return
        with self._change():
            self._db.execute("INSERT INTO notes VALUES (?, ?)", (time.time(), text))

    def log_failure(self, text: str) -> None:
        """Append a learner's traceback to ``failures.log``."""
        data = f"{clean_lines(text.rstrip())}\n\n".encode()
        durable.write(self.run_dir / "failures.log", data, append=True, fsync=False)

    def collect_garbage(self) -> None:
        """Remove what no commit refers to."""
        kept = {row[0] for row in self._db.execute("SELECT name FROM checkpoints")}
        durable.make_folder(self.checkpoints)
        for path in sorted(self.checkpoints.iterdir()):
            if path.name not in kept and CHECKPOINT.fullmatch(path.name):
                durable.remove(path)
        for path in sorted(self.run_dir.iterdir()):
            # A report may be written by another process at this very moment.
            if TEMPORARY.fullmatch(path.name) and not path.name.startswith("report.html"):
                durable.remove(path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and its copy, and let go of the folder."""
        self._second.close()
        if self._lacking:
            self._db.close()
            self._lock.close(untouched=True)
            return
        with suppress(sqlite3.Error):  # a reader has it open
            # One file, that also a read-only folder can be read from.
            durable.journal_mode(self._db, self._path, "DELETE")
        durable.close(self._db, self._path)
        self._lock.close()


def _check_hash(store: Store, expected: str) -> None:
    if store.journal().last_hash() != expected:
        raise RunFolderError(f"{store.run_dir} has just been changed by another firerl: try again")


def check_free(run_dir: Path) -> None:
    """Raise RunFolderError unless a run may start in this folder."""
    check_files(run_dir, write=True)
    refuse_if_held(run_dir)
    check_empty(run_dir)


def _connected(run_dir: Path, read_only: bool) -> sqlite3.Connection:
    try:
        with _writing(run_dir):
            return connect(run_dir, read_only)
    except sqlite3.Error as error:
        raise RunFolderError(f"{run_dir / 'journal.sqlite'} is damaged: {error}; {mending(run_dir)}") from error


def _history(config: Mapping[str, Any]) -> int:
    """How many generations before the last are kept."""
    kept = config["checkpoints"]["keep_history"]
    if type(kept) is not int or not 0 <= kept < 2**31:
        raise ValueError(f"checkpoints.keep_history is {kept!r:.40}")
    return kept


@contextmanager
def _closed_on_error(held: Lock | Store) -> Iterator[None]:
    try:
        yield
    except BaseException:
        held.close()
        raise


@contextmanager
def _writing(run_dir: Path) -> Iterator[None]:
    """SQLite's way to say that the disk is full or the folder cannot be written, as OSError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"cannot write {run_dir / 'journal.sqlite'}: {error}") from error


def write_config(run_dir: Path, config: Mapping[str, Any]) -> None:
    """``config.yaml``, for people: the journal has the settings that count."""
    files.write(run_dir / "config.yaml", yaml.safe_dump(_lists(config), sort_keys=False).encode())


def _lists(value: Any) -> Any:
    """Tuples as lists, since YAML has none."""
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value

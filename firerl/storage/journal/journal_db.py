"""The journal of a run as it lies on disk: one SQLite file, its tables, and how they are read.

Promised rows (reports, decisions, generations with their hash) are only ever added. Times, speeds, resumes and machine
failures live in tables of their own, outside the promise. ``store.py`` writes it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firerl.base.disk import untrusted
from firerl.errors import FirerlError, RunFolderError, reason
from firerl.evolution import plain
from firerl.evolution.population import Decision, Report, State
from firerl.storage import origins
from firerl.storage.generation import BestEver, File, Generation, Point
from firerl.storage.journal.journal_file import check_is_run, connect
from firerl.storage.journal.journal_origins import origins_at
from firerl.storage.run_folder import CHECKPOINT, RESULTS

# Of folders that are copies of a run elsewhere (firerl.storage.remote.reading): gets a checkpoint by its name and
# digest.
fetchers: dict[Path, Callable[[str, str], None]] = {}


@contextmanager
def reading(run_dir: Path) -> Iterator[None]:
    """What a damaged journal makes of whoever reads it, as one RunFolderError."""
    try:
        yield
    except FirerlError:
        raise
    except (sqlite3.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RunFolderError(f"{run_dir / 'journal.sqlite'} is damaged: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Rows:
    """The journal as it lies there, for whoever checks it; of reports and decisions the raw columns, in order."""

    meta: Mapping[str, str]
    generations: Sequence[tuple[int, int, str, str | None, str | None]]  # number, step, hash, state, best_ever
    reports: Sequence[tuple[int, int, int, int, str, str, str | None]]  # the columns of SCHEMA
    decisions: Sequence[tuple[int, int, int, str, str]]
    checkpoints: Sequence[tuple[str, int, int, int, str]]


class Journal:
    """A run's journal, for reading."""

    def __init__(self, db: sqlite3.Connection, run_dir: Path):
        self._db = db
        self.run_dir = run_dir
        self._workers: int | None = None  # how many, once somebody has asked

    @classmethod
    def open(cls, run_dir: Path) -> Journal:
        """Read a run folder, also while the run goes on. Raises RunFolderError if there is none."""
        check_is_run(run_dir)
        return cls(connect(run_dir, read_only=True), run_dir)

    @contextmanager
    def moment(self) -> Iterator[None]:
        """All that is read inside belongs to one moment of a run that goes on."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def config(self) -> dict[str, Any]:
        """All settings of the run. Raises RunFolderError where they are damaged."""
        with reading(self.run_dir):
            return dict(plain.loads(self._meta("config")))

    def writer(self) -> str:
        """The version of firerl that began the run. Raises RunFolderError where it is not told."""
        with reading(self.run_dir):
            return self._meta("firerl")

    def initial_state(self) -> State:
        """The population before its first step. Raises RunFolderError where it is damaged."""
        with reading(self.run_dir):
            return plain.state_from_plain(plain.loads(self._meta("initial_state")))

    def last(self) -> Generation:
        """The last committed generation. Raises RunFolderError where the journal is damaged."""
        with reading(self.run_dir):
            return self._last()

    def _last(self) -> Generation:
        number, step, digest, text, best = self._db.execute(
            "SELECT number, step, hash, state, best_ever FROM generations ORDER BY number DESC LIMIT 1"
        ).fetchone()
        query = (
            "SELECT point, generation FROM reports ORDER BY point DESC LIMIT 1"  # the last is of the last generation
        )
        point, filed = self._db.execute(query).fetchone() or (0, 0)
        if self.synchronous():
            query = "SELECT * FROM checkpoints WHERE generation = ? AND generation > 0 AND name GLOB 'g*'"
            rows = self._db.execute(query, (number,))
            files = {worker: File(worker, generation, name, size, sha) for name, worker, generation, size, sha in rows}
            networks: dict[int, File] = {}
        else:
            places = self.origins_at([number])[number].items()
            files = _listed(self._db, {worker: origin.own for worker, origin in places})
            networks = _listed(self._db, {worker: origin.network for worker, origin in places})
        found = Generation(
            number=number,
            step=step,
            hash=digest,
            state=plain.state_from_plain(plain.loads(text)),
            decisions=self.decisions_at(point) if filed == number else [],
            files=files,
            best_ever=None if best is None else plain.made(BestEver, plain.loads(best)),
            networks=networks,
        )
        _check_generation(found)
        return found

    def synchronous(self) -> bool:
        """Whether all workers of this run report together (``sync``)."""
        return bool(self.config().get("sync", True))

    def origins_at(self, at: Iterable[int]) -> dict[int, origins.Origins]:
        """What the workers of an asynchronous run began from after each of these generations."""
        with reading(self.run_dir):
            return origins_at(self._db, self.initial_state(), at)

    def last_hash(self) -> str:
        """The hash of the last generation."""
        with reading(self.run_dir):
            return str(self._db.execute("SELECT hash FROM generations ORDER BY number DESC LIMIT 1").fetchone()[0])

    def hashes(self) -> list[tuple[int, int, str]]:
        """(generation, step, hash), in order."""
        with reading(self.run_dir):
            return list(self._db.execute("SELECT number, step, hash FROM generations ORDER BY number"))

    def result(self, digest: str | None = None) -> dict[str, Any] | None:
        """What ``result.json`` holds, if the run has finished at the generation with this hash, else at the last one.
        Raises RunFolderError where the file is damaged or cannot be read."""
        path = self.run_dir / "result.json"
        try:
            result = plain.decode(untrusted.read_json(path))
            _check_result(result)
            return result if result["hash"] == (digest or self.hashes()[-1][2]) else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunFolderError(f"{path} cannot be read: {reason(error)}") from error
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise RunFolderError(f"{path} is damaged: {error}; remove it and resume to write it anew") from error

    def read_file(self, name: str) -> Any:
        """The state in a checkpoint file that the journal refers to. Raises RunFolderError if it is damaged."""
        from firerl.storage import checkpoint  # loads torch, which a reader of the journal alone does not need

        check_name(name)
        row = self._db.execute("SELECT sha256 FROM checkpoints WHERE name = ?", (name,)).fetchone()
        path = self.run_dir / "checkpoints" / name
        if row and self.run_dir in fetchers and re.fullmatch(r"[0-9a-f]{64}", row[0]) and not path.exists():
            fetchers[self.run_dir](name, row[0])
        second = path.with_name(spare(name))
        if row and not is_whole(path, row[0]) and is_whole(second, row[0]):
            path = second
        check_file(path, row[0] if row else "")
        return checkpoint.read(path)

    def damaged_results(self) -> list[str]:
        """The files of a finished run that are not those that it wrote."""
        digests = self.digests().items()
        return [name for name, sha256 in digests if sha256 is not None and not is_whole(self.run_dir / name, sha256)]

    def digests(self) -> dict[str, str | None]:
        """Of the results by name; None: a repair has removed it, and it is to be written anew."""
        with reading(self.run_dir):
            row = self._db.execute("SELECT value FROM meta WHERE key = 'results'").fetchone()
            digests: dict[str, str | None] = dict(plain.loads(row[0])) if row else {}
            for name, sha256 in digests.items():
                if name not in RESULTS or not isinstance(sha256, str | None):
                    raise ValueError(f"{name[:60]!r} is no result of a run")
            return digests

    def rows(self) -> Rows:
        """All that is promised or checked, of one moment. Raises sqlite3.Error."""
        with self.moment():
            run = self._db.execute
            return Rows(
                dict(run("SELECT key, value FROM meta").fetchall()),
                run("SELECT number, step, hash, state, best_ever FROM generations ORDER BY number").fetchall(),
                run("SELECT * FROM reports ORDER BY point, worker").fetchall(),
                run("SELECT * FROM decisions ORDER BY point, position").fetchall(),
                run("SELECT * FROM checkpoints ORDER BY name").fetchall(),
            )

    def points(self) -> Iterator[Point]:
        """The committed evaluation points, in order. Raises RunFolderError where they are damaged."""
        points = self._points()
        while True:
            with reading(self.run_dir):
                point = next(points, None)
            if point is None:
                return
            yield point

    def _points(self) -> Iterator[Point]:
        # Rows are only ever added: up to the last point of now, both tables are whole.
        last = self._db.execute("SELECT max(point) FROM reports").fetchone()
        decisions: dict[int, list[Decision]] = {}
        query = "SELECT point, kind, data FROM decisions WHERE point <= ? ORDER BY point, position"
        for point, kind, data in self._db.execute(query, last):
            decisions.setdefault(point, []).append(self._decided(kind, data))
        reports: list[Report] = []
        current = 0
        query = "SELECT * FROM reports WHERE point <= ? ORDER BY point, worker"
        for point, worker, _, step, objective, metrics, failure in self._db.execute(query, last):
            if point != current and reports:
                yield Point(reports, decisions.get(current, []))
                reports = []
            current = point
            self._check_workers([worker])
            reports.append(read_report(worker, step, objective, metrics, failure))
        if reports:
            yield Point(reports, decisions.get(current, []))

    def holders(self) -> set[int]:
        """``holders`` at the last point, without reading all that went before."""
        with reading(self.run_dir):
            return self._holders()

    def _holders(self) -> set[int]:
        run = self._db.execute
        last = run("SELECT coalesce(max(point), 0) FROM reports").fetchone()
        failed = dict(run("SELECT worker, max(point) FROM reports WHERE failure NOT NULL GROUP BY worker"))
        begun = {w.id: 0 for w in self.initial_state().workers if not w.is_evaluator}
        query = (
            "SELECT point, data FROM decisions WHERE kind IN ('copy', 'start_evaluator') AND point < ? ORDER BY point"
        )
        for point, data in run(query, last):
            begun[plain.loads(data)["worker"]] = point
        return {worker for worker, point in begun.items() if point >= failed.get(worker, 0)}

    def decisions_at(self, point: int) -> list[Decision]:
        """The decisions of one evaluation point, in order."""
        rows = self._db.execute("SELECT kind, data FROM decisions WHERE point = ? ORDER BY position", (point,))
        return [self._decided(kind, data) for kind, data in rows]

    def decisions(self) -> list[Decision]:
        """All committed decisions, in order."""
        with reading(self.run_dir):
            rows = self._db.execute("SELECT kind, data FROM decisions ORDER BY point, position")
            return [self._decided(kind, data) for kind, data in rows]

    def _decided(self, kind: str, data: str) -> Decision:
        decision = plain.decision_from_plain(kind, plain.loads(data))
        self._check_workers(named(decision))
        return decision

    def _check_workers(self, found: Iterable[int]) -> None:
        """Raise ValueError on a worker that the run has not."""
        if self._workers is None:
            self._workers = len(self.initial_state().workers)
        for worker in found:
            if not 0 <= worker < self._workers:
                raise ValueError(f"there is no worker {worker!r:.40}")

    def timings(self) -> list[dict[str, float]]:
        """Seconds by part, one row a generation. Not part of the promise."""
        with reading(self.run_dir):
            rows = self._db.execute("SELECT data FROM timings ORDER BY generation")
            return [dict(plain.loads(row[0])) for row in rows]

    def notes(self) -> list[str]:
        """What happened besides: resumes, machine failures, devices; in order. Not part of the promise."""
        with reading(self.run_dir):
            return [row[0] for row in self._db.execute("SELECT text FROM notes ORDER BY rowid")]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _meta(self, key: str) -> str:
        return str(self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def whole_result(journal: Journal) -> dict[str, Any] | None:
    """What ``result.json`` holds, if the run has finished at its last generation and its other results are whole;
    RunFolderError: damaged."""
    result = journal.result()
    lost = result is not None and (journal.damaged_results() or None in journal.digests().values())
    return None if lost else result


def _listed(db: sqlite3.Connection, places: Mapping[int, origins.Place | None]) -> dict[int, File]:
    """The files at these places. Raises ValueError where one is missing, but of a learner never built."""
    query = "SELECT name, worker, generation, size, sha256 FROM checkpoints"
    rows = {name: File(worker, number, name, size, sha) for name, worker, number, size, sha in db.execute(query)}
    for place in places.values():
        if place and place.generation and place.name not in rows:
            raise ValueError(f"it lists no checkpoint {place.name}")
    return {worker: rows[place.name] for worker, place in places.items() if place and place.name in rows}


def read_report(worker: int, step: int, objective: str, metrics: str, failure: str | None) -> Report:
    """A report from its columns."""
    fields = {"worker": worker, "step": step, "objective": plain.loads(objective), "metrics": plain.loads(metrics)}
    return plain.made(Report, {**fields, "failure": failure})


def named(decision: Decision) -> list[int]:
    """The workers that a decision is about."""
    return [getattr(decision, role) for role in ("worker", "donor", "parent", "child") if hasattr(decision, role)]


def check_name(name: Any) -> None:
    """Raise RunFolderError unless this is the name of a checkpoint: one that leads nowhere else."""
    if not isinstance(name, str) or not CHECKPOINT.fullmatch(name):
        raise RunFolderError(f"{str(name)[:60]!r} is no name of a checkpoint")


def _check_generation(found: Generation) -> None:
    """Raise ValueError where it speaks of workers or files that cannot be."""
    workers = range(len(found.state.workers))
    best = [] if found.best_ever is None else [found.best_ever]
    told = [*found.files, *(file.worker for file in found.files.values()), *(b.worker for b in best)]
    for worker in told:
        if worker not in workers:
            raise ValueError(f"there is no worker {worker!r:.40}")
    for name in [*(file.name for file in found.files.values()), *(b.file for b in best)]:
        check_name(name)


def _check_result(result: Any) -> None:
    """Raise ValueError, TypeError or KeyError on what is no result of a run."""
    if not isinstance(result, dict):
        raise ValueError("it is no mapping")
    kinds = {"hash": str, "worker": int, "steps": int, "hyperparameters": dict, "lineage": list, "evolution": dict}
    kinds |= {"stopped": str, "fresh": dict}
    for name, kind in kinds.items():
        if type(result[name]) is not kind:
            raise ValueError(f"its {name} is {str(result[name])[:40]!r}")
    fresh = result["fresh"].values()
    if type(result["objective"]) not in (int, float, type(None)) or not all(isinstance(x, int | float) for x in fresh):
        raise ValueError("its figures are no numbers")
    for part in result["lineage"]:
        if (
            not isinstance(part, dict)
            or not isinstance(part.get("hyperparameters"), dict)
            or type(part.get("end")) is not int
        ):
            raise ValueError("its lineage is none")


def spare(name: str) -> str:
    """The name of a checkpoint's second copy, which the best ever has."""
    return f"best-{name}"


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file is there, an ordinary one of no absurd size, and has this digest."""
    try:
        return untrusted.digest(path) == sha256
    except (OSError, ValueError):
        return False


def check_file(path: Path, sha256: str) -> None:
    """Raise RunFolderError if the file is missing or has another digest."""
    if not is_whole(path, sha256):
        raise RunFolderError(f"{path} is missing or damaged")

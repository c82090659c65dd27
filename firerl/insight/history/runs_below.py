"""The runs below a folder, each at a glance: at its settings, its last generation and its result.

Nothing is written, and no folder is locked in which nobody runs. What is damaged deeper than that, firerl.doctor finds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from firerl.errors import FirerlError, RunFolderError
from firerl.evolution import plain
from firerl.evolution.population import extinct
from firerl.storage.generation import BestEver
from firerl.storage.journal.journal_db import Journal, reading
from firerl.storage.journal.journal_file import FORMAT, connect, foreign, of_another_format, opened_still
from firerl.storage.lock import STOPPED, is_asked_to_stop, is_held
from firerl.storage.run_folder import COPY, check_files

STATES = ("running", "stopping", "finished", "stopped", "interrupted", "died", "damaged")
RUNNING, STOPPING, FINISHED, ENDED_EARLY, INTERRUPTED, DIED, DAMAGED = STATES
WRITTEN = ("journal.sqlite", "journal.sqlite-wal", "result.json")  # what changes while a run goes on, and at its end


@dataclass(frozen=True)
class Glance:
    """What is seen of a run without reading all of it."""

    run_dir: Path
    state: str  # of STATES; stopping, stopped: by firerl.stop; died: no healthy member is left in P1
    changed: float  # when it was last written, in seconds since 1970
    task: str = ""
    algorithm: str = ""
    best: float | None = None  # the best smoothed objective of a member of P1 at any ready
    step: int = 0  # of the last generation that is kept
    steps: int = 0  # length of the run
    why: str = ""  # it is damaged


def below(folder: Path) -> Iterator[Path]:
    """The run folders in this folder and in those inside, itself included, in the order of their names.

    Links and hidden folders are passed over, and so are those that cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    if any(entry.name in ("journal.sqlite", COPY) for entry in found):
        yield folder
        return
    for entry in found:
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from below(folder / entry.name)


def glance(run_dir: Path) -> Glance:
    """The run in this folder. What cannot be read of it makes it a damaged one."""
    changed = max((_written(run_dir / name) for name in WRITTEN), default=0.0)
    try:
        return _glance(run_dir, changed)
    except (FirerlError, OSError, sqlite3.Error) as error:
        return Glance(run_dir, DAMAGED, changed, why=" ".join(str(error).split()))


def mark(run_dir: Path) -> str:
    """A word that changes when the run is written, or when whoever works on it comes or goes."""
    sizes = []
    for name in WRITTEN:
        try:
            status = (run_dir / name).lstat()
            sizes.append(f"{status.st_size}-{status.st_mtime_ns}" if status.st_size else "")
        except OSError:
            sizes.append("")  # as an empty log, which readers may leave
    return " ".join((*sizes, str(is_held(run_dir))))


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _glance(run_dir: Path, changed: float) -> Glance:
    path, held = run_dir / "journal.sqlite", is_held(run_dir)
    if not path.is_file():
        raise RunFolderError(f"there is no journal.sqlite, only its copy {COPY}")
    check_files(run_dir)
    with _opened(run_dir, held) as db, reading(run_dir):
        foreign(db)
        meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('format', 'firerl')"))
        if meta["format"] != str(FORMAT):
            raise RunFolderError(of_another_format(meta["format"], (meta["firerl"],)))
        query = "SELECT number, step, hash, best_ever FROM generations ORDER BY number DESC LIMIT 1"
        number, step, digest, best = db.execute(query).fetchone()
        journal = Journal(db, run_dir)
        config = journal.config()
        result = journal.result(digest)
        early = result is not None and result["stopped"] == STOPPED
        if result is not None and not (early and held):
            standing = ENDED_EARLY if early else FINISHED
        elif held:
            standing = STOPPING if is_asked_to_stop(run_dir) else RUNNING
        else:
            (state,) = db.execute("SELECT state FROM generations WHERE number = ?", (number,)).fetchone()
            standing = DIED if extinct(plain.state_from_plain(plain.loads(state))) else INTERRUPTED
        return Glance(
            run_dir,
            standing,
            changed,
            task=str(config["task"]),
            algorithm=str(config["algo"]["name"]),
            best=None if best is None else float(plain.made(BestEver, plain.loads(best)).objective),
            step=int(step),
            steps=int(config["steps"]),
        )


def _opened(run_dir: Path, held: bool) -> AbstractContextManager[sqlite3.Connection]:
    return closing(connect(run_dir, read_only=True)) if held else opened_still(run_dir / "journal.sqlite")

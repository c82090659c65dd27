"""Mends a damaged run: the journal from its copy, then back to the last generation that is whole.

Every step can be broken off and done again: a repair that was killed is simply repeated.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from firerl.base.disk import durable, files
from firerl.errors import RunFolderError
from firerl.evolution import plain
from firerl.insight.health.health import Health, Kept, examine
from firerl.storage.journal import kept_generations, seal
from firerl.storage.journal.journal_db import Journal, check_name, spare
from firerl.storage.journal.journal_file import connect, opened_copy
from firerl.storage.lock import Lock
from firerl.storage.run_folder import CHECKPOINT, COPY, LOGS, check_files
from firerl.storage.store import Store, write_config


def repair(run_dir: Path) -> list[str]:
    """What was done, one line each; [] where all is whole. Raises RunFolderError where nothing can be done."""
    check_files(run_dir, write=True)
    lock = Lock(run_dir)
    try:
        health = examine(run_dir)
        if health.whole:
            return []
        done = _mend(health)
    finally:
        lock.close()
    with Store.open(run_dir) as store:  # removes what nothing refers to any more
        store.copy_journal()
        write_config(run_dir, store.journal().config())
        store.note(f"repaired: {'; '.join(done)}")
    return done


def _mend(health: Health) -> list[str]:
    run_dir, target = health.run_dir, health.back_to
    if health.refusal or target is None:
        raise RunFolderError(f"{run_dir} cannot be repaired: {health.refusal}")
    back = target.number < health.kept[0].number
    done = []
    if health.strange:
        done.append(f"{health.strange} is of another run: it is kept as {_set_aside(run_dir, health.strange)}")
    if health.use_copy:
        for rest in LOGS:  # first: SQLite would replay them into the new file
            durable.remove(run_dir / f"journal.sqlite{rest}")
        with opened_copy(run_dir) as copy:
            durable.back_up(copy, run_dir / "journal.sqlite")
        done.append(f"journal.sqlite is back from {COPY}")
    elif health.copy.problem or health.copy.number > health.journal.number:
        done.append(f"{COPY} is copied anew")
        for rest in ("", *LOGS):
            durable.remove(run_dir / f"{COPY}{rest}")
    for whole, damaged in health.twins:
        check_name(whole)
        check_name(damaged)
        files.write(run_dir / "checkpoints" / damaged, (run_dir / "checkpoints" / whole).read_bytes())
        done.append(f"{damaged} is back from {whole}")
    if health.results:
        _forget_results(run_dir, health.results)
        done.append(f"{', '.join(health.results)}: damaged and removed; a resume writes the results anew")
    if back:
        _go_back(run_dir, target)
        done.append(f"the run is back at generation {target.number} (step {target.step:,})")
    return done


def _set_aside(run_dir: Path, name: str) -> str:
    """Another run's journal is somebody's: it gets another name, and nothing of it goes."""
    number = next(n for n in count(1) if not (run_dir / f"other-run-{n}.sqlite").exists())
    aside = f"other-run-{number}.sqlite"
    for rest in reversed(("", *LOGS)):  # the file itself last: a repair that was killed begins with it again
        if (run_dir / f"{name}{rest}").exists():
            durable.rename(run_dir / f"{name}{rest}", run_dir / f"{aside}{rest}")
    return aside


def _forget_results(run_dir: Path, damaged: Sequence[str]) -> None:
    """Remove damaged results; the journal says that they are to be written anew, or a run would count as finished."""
    with _changing(run_dir) as db:
        digests = {**Journal(db, run_dir).digests(), **dict.fromkeys(damaged)}
        db.execute("INSERT OR REPLACE INTO meta VALUES ('results', ?)", (plain.dumps(digests),))
    for name in damaged:
        durable.remove(run_dir / name)


@contextmanager
def _changing(run_dir: Path) -> Iterator[sqlite3.Connection]:
    """A sealed change of the journal."""
    path = run_dir / "journal.sqlite"
    with closing(connect(run_dir)) as db:
        with durable.transaction(db, path):
            yield db
            seal.close(db)
        durable.empty_log(db, path)


def _go_back(run_dir: Path, target: Kept) -> None:
    """Take all generations after ``target`` out of the journal, and before that their files and the copy: without
    those the same repair is done again, where it was killed."""
    with closing(connect(run_dir)) as db:
        listed = {row[0] for row in db.execute("SELECT name FROM checkpoints")}
    folder = run_dir / "checkpoints"
    lying = [path for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name)] if folder.is_dir() else []
    later = [path for path in lying if (found := re.search(r"g(\d+)-", path.name)) and int(found[1]) > target.number]
    for path in sorted(later, key=lambda path: path.name in listed):  # these last: they prove that it is this run's
        durable.remove(path)
    for rest in ("", *LOGS):  # else it would be ahead
        durable.remove(run_dir / f"{COPY}{rest}")
    with _changing(run_dir) as db:
        _take_out(db, target.number)
        seal.recount_rows(db)


def _take_out(db: sqlite3.Connection, number: int) -> None:
    for table in ("reports", "decisions", "timings"):
        db.execute(f"DELETE FROM {table} WHERE generation > ?", (number,))
    db.execute("DELETE FROM generations WHERE number > ?", (number,))
    if number == 0:  # its state is kept with the settings, for ever
        db.execute("UPDATE generations SET state = (SELECT value FROM meta WHERE key = 'initial_state')")
    kept_generations.recount(db)
    best = kept_generations.best_ever_files(db)
    needed = best | {spare(name) for name in best}
    for name, generation in db.execute("SELECT name, generation FROM checkpoints").fetchall():
        if name not in needed and (generation > number or number == 0 or name.startswith(spare(""))):
            db.execute("DELETE FROM checkpoints WHERE name = ?", (name,))

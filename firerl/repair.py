"""Mends a damaged run: the journal from its copy, then back to the last generation that is whole.

Every step can be broken off and done again: a repair that was killed is simply repeated.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from firerl.errors import RunFolderError
from firerl.evolution import plain
from firerl.insight.health import Health, Kept, examine
from firerl.storage import durable, files, seal
from firerl.storage.journal_db import check_name, spare
from firerl.storage.journal_file import connect
from firerl.storage.lock import Lock
from firerl.storage.run_folder import COPY, RESULTS, check_files
from firerl.store import Store, write_config


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
    if health.journal.problem and health.copy.problem:
        both = f"journal.sqlite is {health.journal.problem}; {COPY} is {health.copy.problem}"
        raise RunFolderError(f"{run_dir} cannot be repaired: {both}")
    if target is None:
        raise RunFolderError(f"{run_dir} cannot be repaired: {health.kept[-1].problem}, and no generation is whole")
    done = []
    if health.use_copy:
        for rest in ("-wal", "-shm", "-journal"):  # first: SQLite would replay them into the new file
            durable.remove(run_dir / f"journal.sqlite{rest}")
        files.write(run_dir / "journal.sqlite", (run_dir / COPY).read_bytes())
        done.append(f"journal.sqlite is back from {COPY}")
    elif health.copy.problem:
        done.append(f"{COPY} is copied anew")
    for whole, damaged in health.twins:
        check_name(whole)
        check_name(damaged)
        files.write(run_dir / "checkpoints" / damaged, (run_dir / "checkpoints" / whole).read_bytes())
        done.append(f"{damaged} is back from {whole}")
    back = target.number < health.kept[0].number
    if health.results or back:
        for name in RESULTS:  # result.json first: with it a run counts as finished
            durable.remove(run_dir / name)
        durable.sync(run_dir)
        done.append("the results are removed: a resume writes them anew")
    if back:
        _go_back(run_dir, target)
        done.append(f"the run is back at generation {target.number} (step {target.step:,})")
    return done


def _go_back(run_dir: Path, target: Kept) -> None:
    """Take all generations after ``target`` out of the journal."""
    path = run_dir / "journal.sqlite"
    with closing(connect(run_dir)) as db:
        with durable.transaction(db, path):
            _take_out(db, target.number)
            seal.recount_rows(db)
            seal.close(db)
        durable.empty_log(db, path)
        durable.back_up(db, run_dir / COPY)  # else the copy would be ahead


def _take_out(db: sqlite3.Connection, number: int) -> None:
    for table in ("reports", "decisions", "timings"):
        db.execute(f"DELETE FROM {table} WHERE generation > ?", (number,))
    db.execute("DELETE FROM generations WHERE number > ?", (number,))
    if number == 0:  # its state is kept with the settings, for ever
        db.execute("UPDATE generations SET state = (SELECT value FROM meta WHERE key = 'initial_state')")
    best = {plain.loads(row[0])["file"] for row in db.execute("SELECT best_ever FROM generations") if row[0]}
    needed = best | {spare(name) for name in best}
    for name, generation in db.execute("SELECT name, generation FROM checkpoints").fetchall():
        if name not in needed and (generation > number or number == 0 or name.startswith(spare(""))):
            db.execute("DELETE FROM checkpoints WHERE name = ?", (name,))

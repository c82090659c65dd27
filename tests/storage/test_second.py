"""The second journal: it gets what is new, at a cost that does not grow, and is rolled back where a write was cut."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from firerl.base.disk import files
from firerl.evolution.population import Report, Setup, State, initial_state
from firerl.evolution.space import Space
from firerl.storage.generation import File, Generation, Point
from firerl.storage.journal import kept_generations, seal
from firerl.storage.journal.journal_file import opened_copy, opened_still
from firerl.storage.run_folder import COPY
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand")
TABLES = ("meta", "generations", "reports", "decisions", "checkpoints", "timings", "notes")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    setup = Setup((2,), 0, Space.parse({"lr": {"log_uniform": [1e-3, 1.0]}}), 3, 10, 10)
    state: State = initial_state(setup)
    with Store.create(tmp_path / "r", {"checkpoints": {"keep_history": 1}}, {"seed": 3}, state) as made:
        yield made


def commit(store: Store, previous: Generation) -> Generation:
    number, found = previous.number + 1, []
    for worker in (0, 1):
        name = f"g{number:06d}-w{worker}.pt"
        files.write(store.checkpoints / name, b"state")
        found.append(File(worker, number, name, 5, files.digest(b"state")))
    point = Point([Report(worker, 10 * number, 0.5) for worker in (0, 1)], [])
    return store.commit(previous, 10 * number, [point], previous.state, found, None, {"seconds": 1.0})


def contents(db: sqlite3.Connection) -> dict[str, list[Any]]:
    return {table: sorted(db.execute(f"SELECT * FROM {table}")) for table in TABLES}


def test_it_holds_the_same_rows_after_every_commit(store: Store) -> None:
    last = store.last()
    for _ in range(5):
        last = commit(store, last)
        with opened_copy(store.run_dir) as copy:
            assert contents(copy) == contents(store._db)
            assert seal.broken(copy) == ""
            assert kept_generations.numbers(copy) == [last.number - 1, last.number][-min(2, last.number + 1) :]


def test_a_commit_reads_and_writes_as_much_late_as_early(store: Store) -> None:
    """Counted in steps of SQLite's machine and in bytes of the file, which say the same on every machine."""
    last, steps, changed = store.last(), [], []
    for number in range(1, 121):
        done = 0

        def count() -> None:
            nonlocal done
            done += 1

        before = (store.run_dir / COPY).read_bytes() if number in (30, 120) else b""
        if number in (30, 120):
            for db in (store._db, store._second._db):
                assert db is not None
                db.set_progress_handler(count, 1)
        last = commit(store, last)
        if number in (30, 120):
            for db in (store._db, store._second._db):
                assert db is not None
                db.set_progress_handler(None, 0)
            after = (store.run_dir / COPY).read_bytes()
            pages = range(0, len(after), 4096)
            changed.append(sum(before[at : at + 4096] != after[at : at + 4096] for at in pages))
            steps.append(done)
    assert steps[1] < 1.2 * steps[0]
    assert changed[1] <= changed[0] + 4


@pytest.mark.parametrize("gone", ["removed", "replaced", "spoilt"])
def test_what_somebody_does_to_it_meanwhile_is_made_good(store: Store, gone: str) -> None:
    last = commit(store, store.last())
    path = store.run_dir / COPY
    if gone == "spoilt":
        path.write_bytes(b"x" * path.stat().st_size)
    else:
        path.unlink()
        if gone == "replaced":
            path.write_bytes(b"something else")
    commit(store, last)
    with opened_copy(store.run_dir) as copy:
        assert contents(copy) == contents(store._db)


def test_one_that_has_missed_generations_gets_them_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    last = commit(store, store.last())
    with monkeypatch.context() as patch:
        patch.setattr(store, "copy_journal", lambda: None)
        for _ in range(3):
            last = commit(store, last)
    store.copy_journal()
    with opened_copy(store.run_dir) as copy:
        assert contents(copy) == contents(store._db)


def test_whoever_reads_it_holds_no_run_up(store: Store) -> None:
    last = commit(store, store.last())
    with closing(sqlite3.connect(store.run_dir / COPY, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM reports").fetchall()
        last = commit(store, last)
        reader.execute("ROLLBACK")
    commit(store, last)
    with opened_copy(store.run_dir) as copy:
        assert contents(copy) == contents(store._db)


def test_a_write_that_was_cut_is_rolled_back_elsewhere(store: Store, tmp_path: Path) -> None:
    """Whoever only reads changes nothing in the folder, and does not see what is half done."""
    commit(store, store.last())
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / COPY).write_bytes((store.run_dir / COPY).read_bytes())
    with closing(sqlite3.connect(folder / COPY, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")  # pages go to the file before the commit
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE reports SET metrics = '{\"half\":1}'")
        db.executemany("INSERT INTO notes VALUES (0, ?)", [("x" * 3000,) for _ in range(50)])
        cut = {name: (folder / name).read_bytes() for name in (COPY, f"{COPY}-journal")}
        db.execute("ROLLBACK")
    for name, data in cut.items():
        (folder / name).write_bytes(data)
    with opened_still(folder / COPY) as read:
        assert contents(read) == contents(store._db)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == cut

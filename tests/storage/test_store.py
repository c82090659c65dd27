"""The run folder: commits, garbage, locks, damage."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from pathlib import Path

import pytest

from firerl.base.disk import files
from firerl.errors import RunFolderError
from firerl.evolution.population import Copy, Fail, Report, Setup, State, initial_state
from firerl.evolution.space import Space
from firerl.storage import checkpoint
from firerl.storage.generation import BestEver, File, Generation, Point, holders
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand")

SETUP = Setup((2,), 1, Space.parse({"lr": {"log_uniform": [1e-3, 1.0]}}), 3, 10, 20)
CONFIG = {"seed": 3, "checkpoints": {"keep_history": 1}, "space": {"lr": {"log_uniform": (1e-3, 1.0)}}}


@pytest.fixture
def state() -> State:
    return initial_state(SETUP)


def make(run_dir: Path, state: State, seed: int = 3) -> Store:
    return Store.create(run_dir, CONFIG, {"seed": seed}, state)


def saved(store: Store, generation: int, worker: int, value: float = 1.0) -> File:
    data = checkpoint.dumps({"weights": {"x": value}, "stream": {}})
    name = f"g{generation:06d}-w{worker}.pt"
    files.write(store.checkpoints / name, data)
    return File(worker, generation, name, len(data), files.digest(data))


POINTS = [
    Point([Report(0, 10, 0.1, {"kl": math.inf}), Report(1, 10, None)], []),
    Point(
        [Report(0, 20, 1 / 3), Report(1, 20, None, failure="NaN")],
        [Fail(1, 20, "NaN"), Copy(1, 0, 20, 20, {"lr": 0.1}, {"lr": 0.2}, None, 1 / 3, fresh=True)],
    ),
]


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.checkpoints.iterdir())


def commit(store: Store, state: State, previous: Generation | None = None, best: bool = True) -> Generation:
    previous = previous or store.last()
    number = previous.number + 1
    files = [saved(store, number, worker) for worker in (0, 1)]
    ever = previous.best_ever or BestEver(0, 20, 0.5, {"lr": 0.1}, files[0].name) if best else None
    return store.commit(previous, previous.step + 20, POINTS, state, files, ever, {"seconds": 1.0})


def test_a_new_run_holds_generation_0(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        last = store.last()
    assert (last.number, last.step, last.state, dict(last.files)) == (0, 0, state, {})
    assert (tmp_path / "r" / "config.yaml").read_text().startswith("seed: 3")


def test_a_committed_generation_comes_back_whole(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        committed = commit(store, state)
    with Store.open(tmp_path / "r") as store:
        assert store.last() == committed
        assert list(store.journal().points()) == POINTS
        store.check_files(committed)
        assert store.journal().read_file(committed.files[1].name)["weights"] == {"x": 1.0}


def test_only_what_the_last_commit_refers_to_is_kept(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        for _ in range(3):
            commit(store, state, best=False)
        files.write(store.checkpoints / "g000004-w0.pt", b"never committed")
    with Store.open(tmp_path / "r") as store:
        assert names(store) == [f"g{number:06d}-w{worker}.pt" for number in (2, 3) for worker in (0, 1)]
        assert set(store.last().files) == {0, 1}


def test_the_hash_depends_on_settings_and_on_every_number(tmp_path: Path, state: State) -> None:
    hashes = set()
    for index, seed in enumerate((3, 3, 4)):
        with make(tmp_path / f"r{index}", state, seed) as store:
            hashes.add(commit(store, state).hash)
    assert len(hashes) == 2
    with make(tmp_path / "other", state) as store:
        changed = Point([Report(0, 10, math.nextafter(0.1, 1), {"kl": math.inf}), *POINTS[0].reports[1:]], [])
        number = store.commit(store.last(), 20, [changed, POINTS[1]], state, [], None, {"seconds": 0.0})
    assert number.hash not in hashes


def test_a_failed_commit_leaves_the_generation_before(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        first = commit(store, state)
        with pytest.raises(sqlite3.IntegrityError):
            store.commit(first, 40, [Point([*POINTS[0].reports, POINTS[0].reports[0]], [])], state, [], None, {})
        assert store.last() == first


def test_a_folder_with_a_run_names_the_line_to_type(tmp_path: Path, state: State) -> None:
    make(tmp_path / "r", state).close()
    with pytest.raises(RunFolderError, match=r"resume="):
        make(tmp_path / "r", state)


def test_a_folder_without_a_journal_is_started_anew(tmp_path: Path, state: State) -> None:
    run_dir = tmp_path / "r"
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / "journal.sqlite.new").write_bytes(b"torn")
    (run_dir / "config.yaml.123.tmp").write_bytes(b"torn")
    with make(run_dir, state) as store:
        assert store.last().number == 0
    assert not list(run_dir.glob("*.tmp"))


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, state: State) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        make(tmp_path, state)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_launch_is_refused(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state), pytest.raises(RunFolderError, match="in use"):
        Store.open(tmp_path / "r")
    Store.open(tmp_path / "r").close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("empty", "holds no run"), ("text", "damaged"), ("sqlite", "not a journal of firerl")],
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    run_dir = tmp_path / "r"
    if content is not None:
        run_dir.mkdir()
    if content == "text":
        (run_dir / "journal.sqlite").write_text("no database" * 100)
    if content == "sqlite":
        db = sqlite3.connect(run_dir / "journal.sqlite")
        db.execute("CREATE TABLE cookies (name TEXT)")
        db.close()
    for door in (Store.open, Journal.open):
        with pytest.raises(RunFolderError, match=message):
            door(run_dir)


def test_a_journal_of_another_format_is_refused(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        store._db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(RunFolderError, match="format 99"):
        Store.open(tmp_path / "r")


def test_a_damaged_checkpoint_is_found(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        generation = commit(store, state)
        path = store.checkpoints / generation.files[1].name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(RunFolderError, match=path.name):
            store.check_files(generation)
        with pytest.raises(RunFolderError, match=path.name):
            store.journal().read_file(path.name)


def test_the_journal_can_be_read_while_the_run_goes_on(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        journal = Journal.open(tmp_path / "r")
        commit(store, state)
        assert len(journal.decisions()) == 2
        assert [number for number, _, _ in journal.hashes()] == [0, 1]
        journal.close()


def test_leftovers_of_a_run_whose_journal_was_removed_change_nothing(tmp_path: Path, state: State) -> None:
    """SQLite would replay a stale write-ahead log into the new file."""
    with make(tmp_path / "whole", state) as store:
        expected = commit(store, state).hash
    stale = make(tmp_path / "r", state, seed=9)
    commit(stale, state)
    run_dir = tmp_path / "r"
    log = (run_dir / "journal.sqlite-wal").read_bytes()
    stale.close()
    (run_dir / "journal.sqlite").unlink()
    with pytest.raises(RunFolderError, match=r"journal\.bak.*--repair"):
        make(run_dir, state)
    (run_dir / "journal.bak").unlink()
    (run_dir / "journal.sqlite-wal").write_bytes(log)
    (run_dir / "result.json").write_text("{}")
    with make(run_dir, state) as store:
        assert store.result() is None
        assert commit(store, state).hash == expected


def test_a_result_of_another_journal_is_no_result(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        told = {"hash": store.last().hash, "worker": 0, "steps": 0, "objective": None, "hyperparameters": {}}
        told |= {"lineage": [], "evolution": {}, "stopped": "steps", "fresh": {}}
        store.write_results({"result.json": json.dumps(told).encode()})
        assert store.result() == told
        commit(store, state)
        assert store.result() is None


def test_only_our_own_garbage_is_collected(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        (store.checkpoints / ".ipynb_checkpoints").mkdir()
        (store.checkpoints / "notes.txt").write_text("mine")
        (store.checkpoints / "g000009-w1.pt.77.tmp").write_text("torn")
        commit(store, state)
        names = {path.name for path in store.checkpoints.iterdir()}
        assert {".ipynb_checkpoints", "notes.txt"} < names
        assert "g000009-w1.pt.77.tmp" not in names
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "my.tmp.data").write_text("mine")
    with pytest.raises(RunFolderError, match=r"my\.tmp\.data"):
        make(tmp_path / "other", state)


def test_a_full_disk_is_an_os_error(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        first = commit(store, state)
        store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0]}")
        many = [Point([Report(w, 60, 0.1, {"x" * 500: 1.0}) for w in range(200)], [])]
        with pytest.raises(OSError, match="cannot write"):
            store.commit(first, 60, many, state, [], None, {"seconds": 1.0})
        assert store.last() == first


def test_a_closed_run_is_one_journal_file(tmp_path: Path, state: State) -> None:
    """So that a folder without write permission can be read."""
    with make(tmp_path / "r", state) as store:
        commit(store, state)
    assert sorted(path.name for path in (tmp_path / "r").glob("journal*")) == ["journal.bak", "journal.sqlite"]


def test_who_has_a_checkpoint_is_known_without_reading_all(told_run: Path, tmp_path: Path) -> None:
    """After every generation of a run in which members and evaluators fail."""
    shutil.copy(told_run / "journal.sqlite", tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    journal = Journal(db, tmp_path)
    initial, points = journal.initial_state(), list(journal.points())
    assert sum(r.failure is not None for point in points for r in point.reports) > 3
    sizes = set()
    for last in range(len(points), 0, -1):
        for table in ("reports", "decisions"):
            db.execute(f"DELETE FROM {table} WHERE point > ?", (last,))
        found = journal.holders()
        assert found == holders(initial, points[:last])
        sizes.add(len(found))
    assert len(sizes) > 2
    db.close()


def test_only_so_much_history_is_kept_as_is_asked_for(tmp_path: Path, state: State) -> None:
    for keep in (0, 1, 2):
        with Store.create(tmp_path / f"{keep}", {**CONFIG, "checkpoints": {"keep_history": keep}}, {}, state) as store:
            for _ in range(4):
                commit(store, state, best=False)
            assert names(store) == [f"g{number:06d}-w{worker}.pt" for number in range(4 - keep, 5) for worker in (0, 1)]


def test_the_best_ever_lies_there_twice_for_as_long_as_it_is_needed(tmp_path: Path, state: State) -> None:
    with make(tmp_path / "r", state) as store:
        first = commit(store, state)
        for _ in range(3):
            commit(store, state)
        assert names(store)[:2] == ["best-g000001-w0.pt", "g000001-w0.pt"]
        (store.checkpoints / "g000001-w0.pt").write_bytes(b"torn")
        assert store.journal().read_file(first.files[0].name)["weights"] == {"x": 1.0}


def test_a_changed_number_in_the_journal_is_found(tmp_path: Path, state: State) -> None:
    """SQLite has no checksum of its own; a generation's state has no part in the chain of hashes."""
    changes = (
        "UPDATE generations SET state = replace(state, '0.', '1.') WHERE number = 1",
        "UPDATE reports SET objective = '0.25' WHERE point = 1 AND worker = 0",
        "UPDATE decisions SET data = replace(data, '20', '21')",
        "UPDATE checkpoints SET sha256 = 'f' || substr(sha256, 2) WHERE sha256 NOT LIKE 'f%'",
        "UPDATE meta SET value = replace(value, 'seed', 'sead') WHERE key = 'config'",
    )
    for index, change in enumerate(changes):
        run_dir = tmp_path / f"{index}"
        with make(run_dir, state) as store:
            commit(store, state)
        with sqlite3.connect(run_dir / "journal.sqlite") as db:
            assert db.execute(change).rowcount > 0
        db.close()
        with pytest.raises(RunFolderError, match=r"are not those that were committed.*--repair"):
            Store.open(run_dir)

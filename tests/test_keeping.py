"""What is kept of an asynchronous run, and that the doctor can go back with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from async_runs import SMALL, last_hash
from conftest import Told

import firerl
from firerl.insight.health import examine
from firerl.journal_db import Journal
from firerl.keeping import Keeping
from firerl.repair import repair


def taken(numbers: range, keeping: Keeping) -> Keeping:
    for number in numbers:
        keeping.take(number, frozenset({f"g{number}"}))
        if keeping.due():
            keeping.copy_made()
    return keeping


def test_the_last_one_a_round_and_what_the_copy_knows_are_kept() -> None:
    keeping = taken(range(1, 58), Keeping(10, 2, 25, {0: frozenset()}, (0,)))
    assert sorted(keeping.needed) == [30, 40, 50, 57]  # copied at 25 and at 50
    assert {*keeping.copied} == {30, 40, 50}
    keeping = taken(range(58, 74), keeping)
    assert sorted(keeping.needed) == [30, 40, 50, 60, 70, 73]
    assert keeping.names == {f"g{n}" for n in keeping.needed}
    assert keeping.dropped == [72]


def test_without_history_the_last_one_and_the_copys_last_are_kept() -> None:
    keeping = taken(range(1, 58), Keeping(10, 0, 25, {0: frozenset()}, (0,)))
    assert sorted(keeping.needed) == [50, 57]


def test_a_file_that_a_running_interval_may_read_stays() -> None:
    keeping = Keeping(10, 1, 25, {}, held={3: {"a", "b"}, 4: {"b"}})
    assert keeping.free(["a", "c"]) == ["c"]
    del keeping.held[3]
    assert keeping.free(["d", "b"]) == ["a", "d"]
    keeping.held.clear()
    assert keeping.free([]) == ["b"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process: its reports always come in the same order."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    firerl.run(Told, run_dir=run_dir, engine="inline", **SMALL)
    return run_dir


def lose_a_checkpoint(run_dir: Path) -> None:
    journal = Journal.open(run_dir)
    files = journal.last().files
    journal.close()
    newest = max(files.values(), key=lambda file: file.generation)
    (run_dir / "checkpoints" / newest.name).write_bytes(b"?")


def lose_the_journal(run_dir: Path) -> None:
    data = (run_dir / "journal.sqlite").read_bytes()
    (run_dir / "journal.sqlite").write_bytes(data[: len(data) // 2])


def lose_both(run_dir: Path) -> None:
    lose_a_checkpoint(run_dir)
    lose_the_journal(run_dir)


@pytest.mark.unverified("damaged on purpose; its hash is compared")
@pytest.mark.parametrize("damage", [lose_a_checkpoint, lose_the_journal, lose_both])
def test_a_repaired_run_ends_as_the_whole_one(finished: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    damage(run_dir)
    assert not examine(run_dir).whole
    repair(run_dir)
    assert examine(run_dir).whole
    number = Journal.open(run_dir).last().number
    assert number > 40 or damage is lose_the_journal  # a round or two back, not the whole way
    firerl.resume(run_dir, Told, progress=False)
    assert last_hash(run_dir) == last_hash(finished)


def test_one_report_less_is_no_older_state_of_the_others(finished: Path) -> None:
    """Of every worker that goes on there are two files: its last, and one from a round before."""
    journal = Journal.open(finished)
    kept = [number for number, text in journal._db.execute("SELECT number, state FROM generations") if text]
    found = journal.origins_at(kept)
    oldest, last = found[min(n for n in kept if n)], found[max(kept)]
    assert all(oldest[w].own != last[w].own for w in range(8))

"""Asynchronous runs that are broken off or damaged and go on.

In one process the reports always come in the same order: there all must end as if nothing had happened.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from async_runs import SMALL, check_no_step_twice, last_hash, points_of
from runs_for_tests import StopAt
from told_quadratic import Told

import firerl
from firerl.insight.health.health import examine
from firerl.insight.health.repair import repair
from firerl.storage.journal.journal_db import Journal
from firerl.storage.remote.home import folder_of

RESULTS = ("result.json", "best.pt", "best_ever.pt", "schedule.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process: its reports always come in the same order."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    firerl.run(Told, run_dir=run_dir, engine="inline", **SMALL)
    return run_dir


@pytest.mark.parametrize("rounds", [1, 65])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(finished: Path, tmp_path: Path, rounds: int) -> None:
    run_dir = tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        firerl.run(Told, run_dir=run_dir, engine="inline", observer=StopAt(rounds), **SMALL)
    assert points_of(run_dir) == points_of(finished)[:rounds]
    firerl.resume(run_dir, Told, progress=False)
    assert points_of(run_dir) == points_of(finished)
    assert last_hash(run_dir) == last_hash(finished)
    for name in RESULTS:
        assert (run_dir / name).read_bytes() == (finished / name).read_bytes(), name
    check_no_step_twice(run_dir)
    journal = Journal.open(run_dir)
    listed = {row[0] for row in journal.rows().checkpoints}
    journal.close()
    assert listed == {path.name for path in (run_dir / "checkpoints").iterdir()}


def test_an_interrupted_run_leaves_its_copy_and_its_address_as_new_as_itself(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/share/x"
    with pytest.raises(KeyboardInterrupt):
        firerl.run(Told, run_dir=address, local_dir=tmp_path / "1", engine="inline", observer=StopAt(33), **SMALL)
    shutil.rmtree(tmp_path / "1")
    with pytest.raises(KeyboardInterrupt):
        firerl.resume(address, Told, progress=False, local_dir=tmp_path / "2", observer=StopAt(1))
    assert len(points_of(folder_of(address, str(tmp_path / "2")))) == 34


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


@pytest.mark.unverified("the runs are verified by the harness")
def test_a_process_killed_at_a_durable_action_leaves_nothing_that_a_resume_cannot_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short form of ``tests/stress/crash_points.py --asynchronous``."""
    harness = importlib.import_module("crash_points")
    harness.warm()
    bench = harness.Bench(tmp_path, 40, sync=False)
    expected = harness.prepare(bench)
    for scenario in (s for s in bench.scenarios() if s.name in ("resume", "repair")):
        points = harness.record(scenario, tmp_path / "run")
        found = {str(p): harness.attempt(scenario, p, tmp_path / "run", expected) for p in points[5::61]}
        assert not {point: wrong for point, wrong in found.items() if wrong}

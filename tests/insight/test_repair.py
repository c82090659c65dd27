"""Any one file of a run, damaged or deleted: the doctor says so, a repair loses at most one generation, the end is the
same."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from firerl.base.disk import durable, files
from firerl.commands import doctor
from firerl.errors import RunFolderError
from firerl.insight.health.health import examine
from firerl.insight.health.repair import repair
from firerl.storage.run_folder import COPY
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("runs are damaged on purpose")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run, and the same killed while it saved its third generation, with a write-ahead log beside it."""
    scenarios = importlib.import_module("crash_scenarios")
    bench = scenarios.Bench(tmp_path_factory.mktemp("bench"), 80)
    scenarios.starting.start(scenarios.config_of(bench.folder / "before", 20), scenarios.Shaky)
    bench.begin(bench.folder / "whole")
    if (pid := os.fork()) == 0:
        durable.watcher = lambda moment, action, path: (
            os.kill(os.getpid(), signal.SIGKILL) if "g000003-w4" in path.name else None
        )
        bench.begin(bench.folder / "killed")
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    return bench


@pytest.fixture(scope="module")
def judge(bench: Any) -> Any:
    """Asserts that a run has ended like the undisturbed one."""
    scenarios = importlib.import_module("crash_scenarios")
    expected = scenarios.outcome(bench.folder / "whole")

    def same(run_dir: Path) -> None:
        assert scenarios.differences(expected, scenarios.outcome(run_dir)) == ([], [])

    return same


def copied(bench: Any, which: str, run_dir: Path) -> Path:
    shutil.copytree(bench.folder / which, run_dir)
    return run_dir


def spoil(path: Path, how: str) -> None:
    if how == "deleted":
        path.unlink()
    elif how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "a bit":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    else:
        data = path.read_bytes()
        third = len(data) // 3
        path.write_bytes(data[:third] + bytes(third) + data[2 * third :])


FILES = ["journal.sqlite", "journal.sqlite-wal", COPY, "config.yaml", "init.pt", "lock"]
FILES += [f"checkpoints/{name}" for name in ("g000001-w0.pt", "g000002-w3.pt", "best")]
RESULTS = ["result.json", "best.pt", "best_ever.pt", "schedule.yaml", "checkpoints/g000004-w1.pt", "failures.log"]
CASES = [("killed", name, how) for name in FILES for how in ("deleted", "zeros")]
CASES += [("killed", name, how) for name in ("journal.sqlite", COPY) for how in ("cut", "a bit")]
CASES += [("whole", name, how) for name in RESULTS for how in ("deleted", "zeros")]
CASES += [("whole", "journal.sqlite", how) for how in ("deleted", "zeros", "cut")]


@pytest.mark.parametrize(("which", "name", "how"), CASES)
def test_any_one_file_costs_one_generation_at_most(
    bench: Any, judge: Any, tmp_path: Path, which: str, name: str, how: str
) -> None:
    run_dir = copied(bench, which, tmp_path / "r")
    if name == "checkpoints/best":
        name = next(f"checkpoints/{p.name}" for p in (run_dir / "checkpoints").glob("best-*"))
    path = run_dir / name
    if not path.exists():
        pytest.skip(f"there is no {name} at this moment")
    last = 2 if which == "killed" else 4
    spoil(path, how)
    if not examine(run_dir).whole:
        repair(run_dir)
    assert examine(run_dir).whole
    with Store.open(run_dir) as store:
        assert store.last().number >= last - 1
    bench.go_on(run_dir)
    judge(run_dir)


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_bit_in_the_journal_is_never_taken_for_true(
    bench: Any, judge: Any, tmp_path: Path, where: float
) -> None:
    """A resume either refuses the journal or ends as the undisturbed run does."""
    run_dir = copied(bench, "killed", tmp_path / "r")
    for rest in ("-wal", "-shm"):
        (run_dir / f"journal.sqlite{rest}").unlink(missing_ok=True)
    path = run_dir / "journal.sqlite"
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1
    path.write_bytes(data)
    try:
        bench.go_on(run_dir)
    except RunFolderError:
        repair(run_dir)
        bench.go_on(run_dir)
    judge(run_dir)


def test_a_journal_that_lost_its_end_is_not_gone_on_with(bench: Any, judge: Any, tmp_path: Path) -> None:
    """It would start again from generation 1 and throw the later checkpoints away."""
    run_dir = copied(bench, "killed", tmp_path / "r")
    other = tmp_path / "short"
    bench.begin(other, 20)
    for rest in ("-wal", "-shm"):
        (run_dir / f"journal.sqlite{rest}").unlink(missing_ok=True)
    shutil.copy(other / "journal.sqlite", run_dir / "journal.sqlite")
    with pytest.raises(RunFolderError, match=r"ends with generation 1, its copy journal\.bak with 2"):
        bench.go_on(run_dir)
    assert len(list((run_dir / "checkpoints").glob("g000002*"))) >= 6
    assert "journal.sqlite is back from journal.bak" in repair(run_dir)
    bench.go_on(run_dir)
    judge(run_dir)


def test_both_kept_generations_gone_means_from_the_start(bench: Any, judge: Any, tmp_path: Path) -> None:
    run_dir = copied(bench, "killed", tmp_path / "r")
    shutil.rmtree(run_dir / "checkpoints")
    assert "the run is back at generation 0 (step 0)" in repair(run_dir)
    bench.go_on(run_dir)
    judge(run_dir)


def test_what_cannot_be_mended_is_one_clear_line(
    bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = copied(bench, "whole", tmp_path / "r")
    for name in ("journal.sqlite", COPY):
        files.write(run_dir / name, b"x" * 9000)
    before = {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file() and p.name != "lock"}
    assert doctor.main([str(run_dir), "--repair"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "cannot be repaired: journal.sqlite is damaged: file is not a database" in err
    assert before == {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file() and p.name != "lock"}


def test_the_command(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = copied(bench, "whole", tmp_path / "r")
    assert doctor.main([str(run_dir)]) == 0
    assert "all is whole" in capsys.readouterr().out
    names = [f"g000004-w{worker}.pt" for worker in (1, 2)]  # of the best ever's there is a second
    name = next(name for name in names if not (run_dir / "checkpoints" / f"best-{name}").exists())
    spoil(run_dir / "checkpoints" / name, "a bit")
    listing = sorted(run_dir.rglob("*"))
    assert doctor.main([str(run_dir)]) == 1
    out = capsys.readouterr().out
    assert f"generation 4       damaged: {name} (step 80)" in out
    assert "generation 3       whole (step 60)" in out
    assert f"python -m firerl.doctor {run_dir} --repair" in out
    assert sorted(run_dir.rglob("*")) == listing  # nothing is changed
    assert doctor.main([str(run_dir), "--repair"]) == 0
    assert "the run is back at generation 3 (step 60)" in capsys.readouterr().out
    assert doctor.main([str(run_dir)]) == 0
    assert doctor.main([str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err

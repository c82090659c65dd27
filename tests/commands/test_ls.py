"""The runs below a folder: what is told of each, and that nothing is touched."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of

import firerl
from firerl.commands.running import ls
from firerl.config.run_config import to_plain
from firerl.evolution.population import State
from firerl.insight.history import runs_below
from firerl.insight.history.runs_below import Glance, below, glance
from firerl.storage.lock import Lock
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand and damaged on purpose")


def _made(run_dir: Path) -> tuple[dict[str, Any], dict[str, Any], State]:
    """What a store is created with."""
    config = config_for(run_dir)
    return to_plain(config), {"seed": 0}, members_of(config)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("finished") / "r"
    firerl.run("quadratic", preset="smoke", engine="inline", logger="none", progress=False, run_dir=where)
    return where


@pytest.fixture
def runs(tmp_path: Path, finished: Path) -> Path:
    """A run that has ended, one that stands still and two that are damaged."""
    folder = tmp_path / "runs"
    shutil.copytree(finished, folder / "deep" / "down" / "ended")
    make_run(config_for(folder / "still"), fire_points())
    shutil.copytree(folder / "still", folder / "torn")
    (folder / "torn" / "journal.sqlite").write_bytes(b"x" * 5000)
    shutil.copytree(folder / "still", folder / "without")
    (folder / "without" / "journal.sqlite").unlink()
    (folder / "empty").mkdir()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "journal.sqlite").touch()
    (folder / "link").symlink_to(folder / "still")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_each_run_is_told_and_nothing_is_changed(runs: Path, finished: Path) -> None:
    before = snapshot(runs)
    found = {str(run.run_dir.relative_to(runs)): run for run in map(glance, below(runs))}
    assert snapshot(runs) == before
    assert {name: run.state for name, run in found.items()} == {
        "deep/down/ended": "finished", "still": "interrupted", "torn": "damaged", "without": "damaged"
    }  # fmt: skip
    ended, still = found["deep/down/ended"], found["still"]
    result = json.loads((finished / "result.json").read_text())
    assert (ended.task, ended.algorithm, ended.step, ended.steps) == ("Quadratic", "fire", 24, 24)
    assert ended.best == result["best_ever"]["objective"]
    assert abs(time.time() - ended.changed) < 600
    assert (still.task, still.best, still.step, still.steps, still.why) == ("Quadratic", None, 20, 40, "")
    assert "is damaged or no journal" in found["torn"].why or "not a database" in found["torn"].why
    assert "only its copy journal.bak" in found["without"].why


def test_who_is_at_work_is_running_and_is_not_held_off(runs: Path) -> None:
    store = Store.create(runs / "new", *_made(runs / "new"))
    assert glance(runs / "new").state == "running"
    before = snapshot(runs / "new")
    store.commit(store.last(), 20, fire_points(), store.last().state, [], None, {})
    assert glance(runs / "new").step == 20
    assert snapshot(runs / "new").keys() == before.keys()
    store.close()
    assert glance(runs / "new").state == "interrupted"
    lock = Lock(runs / "deep" / "down" / "ended")
    assert glance(runs / "deep" / "down" / "ended").state == "finished"
    lock.close()


def test_a_run_whose_population_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    monkeypatch.setattr(runs_below, "extinct", lambda _: True)
    assert glance(tmp_path / "r").state == "died"


def test_what_a_killed_run_has_left_beside_its_journal_counts(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "r", *_made(tmp_path / "r"))
    shutil.copytree(tmp_path / "r", tmp_path / "killed")  # its last commit is in the log alone
    store.close()
    (tmp_path / "killed" / "lock").unlink()
    before = snapshot(tmp_path / "killed")
    assert glance(tmp_path / "killed").state == "interrupted"
    assert snapshot(tmp_path / "killed") == before


def test_the_table_and_its_order(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, age in (("still", 7200), ("deep/down/ended", 200)):
        for file in (runs / name).glob("*"):
            os.utime(file, (time.time() - age,) * 2)
    assert ls.main([str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "task", "algorithm", "state", "best", "steps", "age"]
    (still,) = (line for line in lines if line.startswith("still"))
    assert still.split() == ["still", "Quadratic", "fire", "interrupted", "20", "of", "40", "2", "h"]
    assert lines[-1].startswith(f"{runs}/without: there is no journal.sqlite")
    assert ls.main([str(runs), "--sort", "best", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told[0]["run_dir"]).name == "ended"
    assert {one["state"] for one in told} == {"finished", "interrupted", "damaged"}
    assert ls.main([str(runs / "still"), "--sort=task"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{runs}/still")


def test_orders() -> None:
    runs = [
        Glance(Path(name), "finished", changed, task, algorithm, best)
        for name, changed, task, algorithm, best in (
            ("a", 1.0, "Hopper", "pbt", 2.0),
            ("b", 3.0, "Ant", "fire", float("nan")),
            ("c", 2.0, "Hopper", "fire", 5.0),
            ("d", 0.0, "Ant", "fire", None),
        )
    ]

    def order(name: str) -> str:
        return "".join(str(run.run_dir) for run in sorted(runs, key=ls.ORDERS[name]))

    assert (order("age"), order("best"), order("task")) == ("bcad", "cabd", "bdca")


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (3 * 3600 + 5, "3 h"), (2 * 86400, "2 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert ls.age(seconds) == text


def test_a_folder_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path} holds no run\n"
    assert ls.main([str(tmp_path), "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert ls.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"firerl: {tmp_path}/nowhere: there is no such folder\n"
    assert ls.main(["s3://bucket/runs"]) == 2
    assert "must be a folder of this machine" in capsys.readouterr().err
    assert ls.main([str(tmp_path), "--sort", "size"]) == 2


def test_two_hundred_runs_take_a_moment(tmp_path: Path, finished: Path) -> None:
    for number in range(200):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        for name in ("journal.sqlite", "result.json", "config.yaml", "lock"):
            shutil.copy2(finished / name, folder / name)
    began = time.process_time()  # of this process: others may be at work
    assert {run.state for run in map(glance, below(tmp_path))} == {"finished"}
    assert time.process_time() - began < 2

"""Paths: the home folder, and learners that change the current directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.base.paths import absolute, anchored, at_home, back_here, expanded
from firerl.commands import main
from firerl.errors import SettingError

SMALL: dict[str, Any] = {
    "algo": "pbt", "population": [2], "evaluators": 0, "steps": 16, "eval_interval": 4, "ready_interval": 8,
    "logger": "none",
}  # fmt: skip


class Restless(Quadratic):
    """Goes elsewhere whenever it can, and reads a file that is named relative to where the run began."""

    settings: ClassVar = {**Quadratic.settings, "file": "./note.txt"}

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        os.chdir("/")
        assert Path(settings["file"]).read_text() == "here"
        super().__init__(settings, hyperparameters, seed, device)

    def train(self, steps: int) -> dict[str, float]:
        os.chdir("/usr")
        return super().train(steps)

    def report(self, seed: int) -> dict[str, float]:
        return {"value": self.evaluate(seed)}


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_a_learner_may_change_the_current_directory(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("here")
    done = firerl.run(Restless, **SMALL, engine=engine, processes=1, run_dir="runs/x", progress=False)
    assert Path.cwd() == tmp_path
    assert done.run_dir == tmp_path / "runs" / "x"
    assert done.best.fresh
    assert not list(tmp_path.glob("runs/x/failures.log"))
    more = firerl.resume("runs/x", learner=Restless, steps=24, engine=engine, progress=False)
    assert more.figures["steps"] == 24
    assert Path.cwd() == tmp_path


def test_the_terminal_calls_a_folder_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    firerl.run("quadratic", **{**SMALL, "logger": "tensorboard"}, engine="inline", run_dir="runs/x")
    shown = capsys.readouterr().out
    for line in ("run folder  runs/x", "python -m firerl.report runs/x", "tensorboard --logdir runs/x/tensorboard"):
        assert line in shown


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    small = {**SMALL, "engine": "inline", "progress": False}
    done = firerl.run("quadratic", **small, run_dir="~/a")
    assert done.run_dir == home / "a"
    firerl.run("quadratic", **small, run_dir=Path("~/b"), seed=1)
    firerl.run("quadratic", **small, run_dir="~/c", init="~/a")
    done.plot("~/plot.png")
    for command, arguments in {
        "explain": ["~/a"], "journal": ["~/a"], "report": ["~/a", "--out", "~/page.html"], "doctor": ["~/a"],
        "play": ["~/a"], "compare": ["~/a", "~/b", "--plot", "~/both.png", "--csv=~/both.csv"],
        "launch": ["resume=~/b", "steps=24"], "replay": ["~/a", "out=~/again", "schedule=~/a/schedule.yaml", "seeds=2"],
    }.items():  # fmt: skip
        assert main([command, *arguments]) == 0, command
    assert sorted(path.name for path in home.glob("[!.]*")) == [
        "a", "again", "b", "both.csv", "both.png", "c", "page.html", "plot.png",
    ]  # fmt: skip
    assert list(here.iterdir()) == []


def test_what_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    assert [expanded(text) for text in ("~", "~/x", "a/b/", "x~", "s3://b/~/", "7")] == [
        "/home/me", "/home/me/x", "a/b", "x~", "s3://b/~/", "7",
    ]  # fmt: skip
    with pytest.raises(SettingError, match="run_dir=~nosuch/x: there is no such home folder"):
        expanded("~nosuch/x", "run_dir")
    assert absolute("x") == tmp_path / "x"
    assert at_home({"a": ["~/x", "~x", 1], "b": {"c": "~/"}}) == {"a": ["/home/me/x", "~x", 1], "b": {"c": "/home/me"}}
    assert anchored({"a": ["./x", "x", "../y", None]}) == {"a": [f"{tmp_path}/x", "x", f"{tmp_path.parent}/y", None]}


def test_the_current_directory_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with back_here():
        os.chdir("/")
    os.chdir(tmp_path)

"""What report() does costs its figures at most: the results are written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.session import fresh
from firerl.session.watching.progress import Silent


class Odd(Exception):
    def __str__(self) -> str:
        raise self


ACTS: dict[str, Any] = {
    "tell": lambda: None,
    "long": lambda: None,
    "raise": lambda: 1 / 0,
    "no text": lambda: (_ for _ in ()).throw(Odd()),
    "exit": lambda: sys.exit(3),
    "cancel": lambda: (_ for _ in ()).throw(asyncio.CancelledError()),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leave": lambda: os._exit(0),
    "hang": lambda: time.sleep(1000),
}


class Reports(Quadratic):
    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "act": "tell"}

    def __init__(self, settings: Mapping[str, Any], *rest: Any):
        super().__init__(settings, *rest)
        self.act = settings["act"]

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**cls.settings, **settings}

    def report(self, seed: int) -> dict[str, Any]:
        ACTS[self.act]()
        return {"k" * 201: 0} if self.act == "long" else {"seed": seed}


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(folder: Path, act: str, engine: str = "inline") -> tuple[dict[str, Any], list[str]]:
    """What result.json holds, and what was said."""
    heard = Heard()
    firerl.run(
        Reports, settings={"dimensions": 3, "act": act}, population=[2], evaluators=0, steps=20, eval_interval=10,
        ready_interval=20, engine=engine, processes=1 if engine == "local" else None, logger="none", run_dir=folder,
        observer=heard,
    )  # fmt: skip
    return json.loads((folder / "result.json").read_text()), heard.notes


def check(folder: Path, told: tuple[dict[str, Any], list[str]], words: str) -> None:
    result, notes = told
    assert result["fresh"] == {}
    assert (folder / "best.pt").exists()
    [note] = [note for note in notes if "report()" in note]
    assert note.startswith("no figures on fresh data, since report() failed: ")
    assert words in note
    assert "report() of the winner" in (folder / "failures.log").read_text()


def test_figures_are_told_by_every_engine(tmp_path: Path) -> None:
    inline, notes = run(tmp_path / "inline", "tell")
    assert set(inline["fresh"]) == {"seed"}
    assert notes == []
    assert run(tmp_path / "local", "tell", "local")[0] == inline


WORDS = [("raise", "ZeroDivisionError"), ("no text", "Odd"), ("exit", "SystemExit: 3"), ("cancel", "CancelledError"),
         ("long", "201 characters")]  # fmt: skip


@pytest.mark.parametrize(("act", "words"), WORDS)
def test_whatever_it_raises_the_results_are_written(tmp_path: Path, act: str, words: str) -> None:
    check(tmp_path / "r", run(tmp_path / "r", act), words)


@pytest.mark.parametrize(
    ("act", "words"), [("kill", "killed by SIGKILL"), ("leave", "exit code 0"), ("hang", "has not answered for 2 s")]
)
def test_what_it_does_to_its_process_stays_there(
    tmp_path: Path, act: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "LEAST_SECONDS", 2.0)
    monkeypatch.setattr(fresh, "APART", ("inline",))
    check(tmp_path / "r", run(tmp_path / "r", act), words)


def test_a_report_that_ends_this_process_leaves_the_results(tmp_path: Path) -> None:
    code = "import sys; sys.path[:] = sys.argv[1:]; from test_fresh import Path, run; run(Path('r'), 'leave')"
    subprocess.run([sys.executable, "-c", code, *sys.path], cwd=tmp_path, check=True)
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["fresh"] == {}
    assert result["objective"] == firerl.resume(tmp_path / "r", Reports, progress=False).objective

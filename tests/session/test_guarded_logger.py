"""Whatever a logger does, the run ends with the same journal; a line and a note tell of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import loggers_for_tests
import pytest
from loggers_for_tests import Told

import firerl
from firerl.engine.inline import InlineEngine
from firerl.engine.interface import MachineFailure
from firerl.session.watching import guarded_logger
from firerl.session.watching.progress import Silent
from firerl.storage.journal.journal_db import Journal

SMALL = {"population": [4], "evaluators": 0, "algo": "pbt", "steps": 80, "eval_interval": 10, "ready_interval": 20,
         "engine": "inline", "seed": 5, "progress": False}  # fmt: skip


class Ear(Silent):
    """A person who listens."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def run_with(run_dir: Path, logger: Any) -> tuple[str, list[str], list[str]]:
    """The hash of a run with this logger, what the person was told, and the notes of the journal."""
    ear = Ear()
    result = firerl.run("quadratic", run_dir=run_dir, logger=logger, observer=ear, **SMALL)
    with closing(Journal.open(run_dir)) as journal:
        notes = [note for note in journal.notes() if note.startswith("logger ")]
    return str(result.figures["hash"]), ear.notes, notes


@pytest.fixture(scope="module")
def plain_hash(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_with(tmp_path_factory.mktemp("plain") / "r", "none")[0]


@pytest.fixture
def told() -> Iterator[list[tuple[Any, ...]]]:
    Told.calls.clear()
    yield Told.calls
    Told.calls.clear()


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PATIENCE": 1.4, "SAY_SECONDS": 0.1}.items():
        monkeypatch.setattr(guarded_logger, name, value)


def test_a_logger_is_told_all(tmp_path: Path, plain_hash: str, told: list[tuple[Any, ...]]) -> None:
    digest, said, notes = run_with(tmp_path / "r", "loggers_for_tests.Told")
    assert (digest, notes) == (plain_hash, [])
    assert said == ["loggers_for_tests.Told: all is kept"]
    assert [call[0] for call in told] == ["start", *["log"] * 8, "finish", "close"]
    about = told[0][1]
    assert (about.run_dir, about.step, about.config["seed"]) == (tmp_path / "r", 0, 5)
    assert about.folder == tmp_path / "r" / "loggers" / "loggers_for_tests.Told"
    assert not about.folder.exists()  # a logger that keeps no files leaves none
    assert [call[1] for call in told[1:9]] == list(range(10, 90, 10))
    assert {"worker-00/objective", "worker-03/lr", "P1/best", "time/train"} <= set(told[1][2])
    assert told[9][1]["hash"] == digest == json.loads((tmp_path / "r" / "result.json").read_text())["hash"]


def test_a_run_that_goes_on_tells_all_again(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    run_with(tmp_path / "r", "loggers_for_tests.Told")
    before = {call[1]: call[2] for call in told if call[0] == "log"}
    told.clear()
    firerl.resume(tmp_path / "r", steps=100, progress=False)
    assert told[0][1].step == 80
    again = {call[1]: call[2] for call in told if call[0] == "log"}
    assert list(again) == list(range(10, 110, 10))
    for step, values in before.items():
        assert again[step] == {k: v for k, v in values.items() if not k.startswith(("time/", "speed/"))}


def test_a_machine_failure_starts_a_new_object(
    tmp_path: Path, plain_hash: str, told: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, count = InlineEngine.advance, 0

    def dies_once(self: InlineEngine, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 6:  # after the point at 50, which no commit had kept
            raise MachineFailure("a plug was pulled")
        return advance(self, *arguments)

    monkeypatch.setattr(InlineEngine, "advance", dies_once)
    assert run_with(tmp_path / "r", "loggers_for_tests.Told")[0] == plain_hash
    kinds = [call[0] for call in told]
    second = kinds.index("start", 1)
    assert kinds[second - 1] == "close"
    assert [call[1] for call in told[1:second] if call[0] == "log"] == [10, 20, 30, 40, 50]
    assert [call[1] for call in told[second:] if call[0] == "log"] == list(range(10, 90, 10))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("FailsToBegin", "failed: ValueError: no disk"),
        ("FailsAtStart", "failed: ValueError: no disk"),
        ("FailsLater", "failed: ValueError: no disk"),
        ("FailsAtTheEnd", "failed: ValueError: no disk"),
        ("FailsToClose", "failed: ValueError: no disk"),
        ("Leaves", "failed: SystemExit: 3"),
    ],
)
def test_a_logger_that_fails_costs_a_line_and_a_note(name: str, why: str, tmp_path: Path, plain_hash: str) -> None:
    digest, said, notes = run_with(tmp_path / "r", f"loggers_for_tests.{name}")
    assert digest == plain_hash
    assert said == notes == [f"logger loggers_for_tests.{name} {why}; it is told no more"]


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("name", ["HangsAtStart", "HangsLater", "HangsAtTheEnd"])
def test_a_logger_that_hangs_is_left(name: str, tmp_path: Path, plain_hash: str) -> None:
    begun = time.monotonic()
    digest, said, notes = run_with(tmp_path / "r", ["tensorboard", f"loggers_for_tests.{name}"])
    assert time.monotonic() - begun < 30
    assert digest == plain_hash
    assert notes == said[-1:]
    assert notes[0].startswith(f"logger loggers_for_tests.{name} has not ended after 1 s and is left to itself")
    assert said[0].startswith(f"waiting for logger loggers_for_tests.{name}, up to")
    assert list((tmp_path / "r" / "tensorboard").iterdir())  # the other one is whole


@pytest.mark.usefixtures("_hasty")
def test_one_that_hangs_while_the_run_goes_on_is_told_of(
    tmp_path: Path, plain_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_logger, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(guarded_logger, "QUEUE_POINTS", 2)
    digest, said, notes = run_with(tmp_path / "r", "loggers_for_tests.HangsAtStart")
    assert digest == plain_hash
    assert said == notes
    assert "has not answered for 0 s; the run goes on meanwhile" in notes[0]
    assert "does not keep up: the run waited 1 s for it and goes on; it is told no more" in notes[1]
    assert len(notes) == 2


def test_a_slow_logger_is_told_all_as_long_as_patience_lasts(
    tmp_path: Path, plain_hash: str, told: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_logger, "QUEUE_POINTS", 1)
    monkeypatch.setattr(guarded_logger, "PATIENCE", 30.0)
    digest, _, notes = run_with(tmp_path / "r", "loggers_for_tests.Slow")
    assert (digest, notes) == (plain_hash, [])
    assert [call[1] for call in told if call[0] == "log"] == list(range(10, 90, 10))
    assert told[-1] == ("close",)


def test_an_interrupted_run_closes_its_loggers(
    tmp_path: Path, told: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupts(Silent):
        def round_done(self, round: Any) -> None:
            if round.step == 30:
                raise KeyboardInterrupt

    monkeypatch.setattr(guarded_logger, "INTERRUPTED_PATIENCE", 30.0)
    with pytest.raises(KeyboardInterrupt):
        firerl.run("quadratic", run_dir=tmp_path / "r", logger="loggers_for_tests.Told", observer=Interrupts(), **SMALL)
    assert [call[0] for call in told][-2:] == ["log", "close"]


def test_a_command_ends_while_its_logger_hangs(tmp_path: Path) -> None:
    script = "import firerl.session.watching.guarded_logger as g, sys; g.PATIENCE = g.SAY_SECONDS = 0.2\n"
    script += "from firerl.launch import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["learner=quadratic", "preset=smoke", "engine=inline", "logger=loggers_for_tests.HangsAtStart"]
    folder = Path(loggers_for_tests.__file__).parent
    command = [sys.executable, "-c", script, *arguments, f"run_dir={tmp_path / 'r'}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "! logger loggers_for_tests.HangsAtStart has not ended after 0 s and is left to itself" in done.stdout

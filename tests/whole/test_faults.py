"""A short form of tests/stress/faults.py: a few real faults, and that the harness sees what it is there to see."""

from __future__ import annotations

import importlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from firerl.commands.launch import main

CLOCK = Path(__file__).parents[1] / "stress" / "faults_clock"
SHORT = [
    "learner=quadratic", "learner.dimensions=20000", "population.sizes=[2,2]", "population.evaluators=2", "steps=480",
    "ready_interval=20", "seed=11",
]  # fmt: skip


@pytest.fixture(scope="module")
def harness() -> Any:
    return importlib.import_module("faults")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbs."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    assert main([*SHORT, "engine=inline", f"run_dir={run_dir}"]) == 0
    return run_dir


@pytest.fixture
def runner(harness: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(harness.TASKS, "quadratic", SHORT)
    return harness.Runner("quadratic", 1, 2, harness.outcome(whole), tmp_path / "space")


class Turns(random.Random):
    """The first of two choices, then the second."""

    calls = 0

    def choice(self, seq: Any) -> Any:
        self.calls += len(seq) == 2 and isinstance(seq[0], str)
        return seq[(self.calls + 1) % 2 if isinstance(seq[0], str) else 0]


def test_a_disturbed_run_ends_as_if_nothing_had_happened(
    harness: Any, runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {name: harness.KINDS[name] for name in ("SIGKILL of a worker process", "the disk is full")}
    monkeypatch.setattr(harness, "KINDS", kept)
    runner.draw = Turns(3)
    found = runner.run()
    assert found.faults == list(kept)
    assert not found.wrong
    assert found.commands == 2


def test_the_harness_sees_a_generation_that_is_gone_and_another_result(harness: Any, runner: Any, whole: Path) -> None:
    runner.space.mkdir()
    shutil.copytree(whole, runner.space / "run")
    nobody = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    nobody.wait()
    runner.look_after(nobody.pid)
    assert (runner.found.lost_generations, runner.found.orphans) == (0, 0)
    assert runner.committed[0] == 24
    (runner.space / "run" / "journal.sqlite").unlink()
    runner.look_after(nobody.pid)
    assert runner.found.lost_generations == 1
    assert harness.differences(runner.expected, harness.outcome(runner.space / "run"))[0] == "journal"
    shutil.copy(whole / "journal.sqlite", runner.space / "run")
    (runner.space / "run" / "best.pt").write_bytes(b"other")
    assert harness.differences(runner.expected, harness.outcome(runner.space / "run")) == ["best.pt"]


def test_the_harness_sees_who_outlives_his_command(harness: Any, runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "PATIENCE", 0.3)
    runner.space.mkdir()
    leaves = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    command = subprocess.Popen([sys.executable, "-c", leaves], start_new_session=True)
    command.wait()
    runner.look_after(command.pid)
    assert runner.found.orphans == 1
    time.sleep(0.2)
    assert harness.session(command.pid) == []


def test_half_of_the_faults_befall_each_task(harness: Any) -> None:
    cases = harness.plan(200)
    assert {task: sum(size for _, name, size in cases if name == task) for task in harness.TASKS} == {
        "quadratic": 100, "InvertedPendulum": 100
    }  # fmt: skip
    assert sum(size for *_, size in harness.plan(23)) == 23


def test_the_clock_of_the_shim_jumps(harness: Any, tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("86400")
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={"PYTHONPATH": str(CLOCK), "FIRERL_FAULTS_CLOCK": str(tmp_path / "clock")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 86000 < float(told) - time.time() < 87000

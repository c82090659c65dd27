"""Whole runs with stacked members: the journal is one, with two processes, after a kill, where members diverge."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from commands_for_tests import files, journal, launch

import firerl

# Six workers in two groups of four, the second with two empty slots; some rates diverge.
SETTINGS = {"model": "mlp", "width": 2, "stacked": 4, "weight_decay": 0.02}
SPACE = {"learning_rate": {"log_uniform": [0.03, 1000.0], "initial": [0.1, 1000.0, 0.05, 0.3]}}
COMMON = {"population": [2, 2], "evaluators": 2, "steps": 320, "eval_interval": 20, "ready_interval": 40, "seed": 4}
ARGUMENTS = [
    "learner=classifier", *(f"learner.{name}={value}" for name, value in SETTINGS.items()), "population.sizes=[2,2]",
    "space.learning_rate={log_uniform: [0.03, 1000.0], initial: [0.1, 1000.0, 0.05, 0.3]}", "population.evaluators=2",
    "steps=320", "eval_interval=20", "ready_interval=40", "seed=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in this process."""
    run_dir = tmp_path_factory.mktemp("undisturbed") / "r"
    result = firerl.run(
        "classifier", settings=SETTINGS, space=SPACE, engine="inline", progress=False, run_dir=run_dir, **COMMON
    )  # type: ignore[arg-type]
    assert 0.5 < result.objective <= 1
    assert "FloatingPointError" in journal(run_dir)
    return run_dir


def test_the_journal_is_the_same_with_two_processes_after_a_kill(tmp_path: Path, undisturbed: Path) -> None:
    run_dir = tmp_path / "r"
    process = launch(*ARGUMENTS, "engine=inline", f"run_dir={run_dir}")
    checkpoints = run_dir / "checkpoints"
    while not (checkpoints.exists() and any(checkpoints.iterdir())) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it had ended before it could be killed"
    firerl.resume(run_dir, progress=False, engine={"name": "local", "processes": 2})
    assert journal(run_dir) == journal(undisturbed)
    assert files(run_dir) == files(undisturbed)

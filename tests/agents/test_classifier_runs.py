"""Whole runs of the classifier: the same journal with one process and two, and after a kill in mid-epoch."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from commands_for_tests import files, journal, launch

import firerl

SETTINGS = {"width": 4, "batch_size": 50}  # 24 steps an epoch: a ready, at 16, lies within one
COMMON = {"population": [2, 2], "evaluators": 2, "steps": 128, "eval_interval": 8, "ready_interval": 16, "seed": 5}
ARGUMENTS = [
    "learner=classifier", *(f"learner.{name}={value}" for name, value in SETTINGS.items()), "population.sizes=[2,2]",
    "population.evaluators=2", "steps=128", "eval_interval=8", "ready_interval=16", "seed=5",
]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in this process."""
    run_dir = tmp_path_factory.mktemp("undisturbed") / "r"
    result = firerl.run("classifier", settings=SETTINGS, engine="inline", progress=False, run_dir=run_dir, **COMMON)  # type: ignore[arg-type]
    assert 0.2 < result.objective <= 1
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
    assert not (run_dir / "result.json").exists()
    firerl.resume(run_dir, progress=False, engine={"name": "local", "processes": 2})
    assert journal(run_dir) == journal(undisturbed)
    assert files(run_dir) == files(undisturbed)


def test_the_report_is_on_images_that_the_search_has_not_seen(undisturbed: Path) -> None:
    fresh = json.loads((undisturbed / "result.json").read_text())["fresh"]
    assert fresh["images"] == 300
    assert 0.2 < fresh["accuracy"] <= 1

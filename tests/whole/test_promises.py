"""Promises 1 and 2, with real processes that are really killed: the same journal anywhere, and after any kill."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from commands_for_tests import QUADRATIC, files, finish, group_members, journal, launch

PENDULUM = ["env=InvertedPendulum", "preset=smoke", "seed=11"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One inline run of each task."""
    folder = tmp_path_factory.mktemp("undisturbed")
    runs = {"quadratic": folder / "quadratic", "pendulum": folder / "pendulum"}
    finish(*QUADRATIC, "engine=inline", f"run_dir={runs['quadratic']}")
    finish(*PENDULUM, "engine=inline", f"run_dir={runs['pendulum']}")
    return runs


@pytest.mark.parametrize(("task", "arguments"), [("quadratic", QUADRATIC), ("pendulum", PENDULUM)])
@pytest.mark.parametrize("processes", [1, 2])
def test_the_journal_is_the_same_with_any_engine(
    tmp_path: Path, undisturbed: dict[str, Path], task: str, arguments: list[str], processes: int
) -> None:
    finish(*arguments, "engine=local", f"engine.processes={processes}", f"run_dir={tmp_path / 'r'}")
    assert journal(tmp_path / "r") == journal(undisturbed[task])
    assert files(tmp_path / "r") == files(undisturbed[task])


@pytest.mark.parametrize(("task", "arguments"), [("quadratic", QUADRATIC), ("pendulum", PENDULUM)])
def test_the_journal_is_the_same_after_kills_of_everything(
    tmp_path: Path, undisturbed: dict[str, Path], task: str, arguments: list[str]
) -> None:
    run_dir, draw = tmp_path / "r", random.Random(task)
    first = [*arguments, "engine=local", "engine.processes=2", f"run_dir={run_dir}"]
    for _ in range(4):
        started = (run_dir / "journal.sqlite").exists()
        process = launch(f"resume={run_dir}") if started else launch(*first)
        time.sleep(draw.uniform(1.0, 9.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(*([f"resume={run_dir}"] if (run_dir / "journal.sqlite").exists() else first))
    assert journal(run_dir) == journal(undisturbed[task])
    assert files(run_dir) == files(undisturbed[task])


def test_a_killed_worker_process_costs_one_generation_at_most(tmp_path: Path, undisturbed: dict[str, Path]) -> None:
    run_dir = tmp_path / "r"
    process = launch(*QUADRATIC, "engine=local", "engine.processes=2", f"run_dir={run_dir}")
    killed = False
    while process.poll() is None and not killed:
        time.sleep(0.2)
        if (run_dir / "checkpoints").exists() and any((run_dir / "checkpoints").iterdir()):
            children = [pid for pid in group_members(process.pid) if pid != process.pid and _is_worker(pid)]
            if children:
                os.kill(children[-1], signal.SIGKILL)
                killed = True
    output, _ = process.communicate(timeout=240)
    assert killed
    assert process.returncode == 0, output
    assert "computing again" in output
    assert journal(run_dir) == journal(undisturbed["quadratic"])


def _is_worker(pid: int) -> bool:
    try:
        return "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_ctrl_c_keeps_the_last_generation_and_leaves_nobody_behind(
    tmp_path: Path, undisturbed: dict[str, Path]
) -> None:
    run_dir = tmp_path / "r"
    process = launch(*PENDULUM, "engine=local", "engine.processes=2", f"run_dir={run_dir}")
    checkpoints = run_dir / "checkpoints"  # filled from the first generation on; the run has seconds to go then
    while not (checkpoints.exists() and any(checkpoints.iterdir())) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert f"resume={run_dir}" in output
    assert "Traceback" not in output
    deadline = time.monotonic() + 5
    while group_members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group_members(process.pid)
    finish(f"resume={run_dir}")
    assert journal(run_dir) == journal(undisturbed["pendulum"])


def test_a_finished_run_says_so(undisturbed: dict[str, Path]) -> None:
    assert "finished" in finish(f"resume={undisturbed['quadratic']}")

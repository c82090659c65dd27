"""Whole runs on a folder in ImageNet's layout, odd files among them: presets scaled down, kill, resume, report.

With torchvision ResNet-18 runs with the cadence of each preset of the paper, without it the CNN with one of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import imagenet_for_tests
import pytest
from test_promises import files, finish, group_members, journal, launch

from firerl import api, compose, config
from firerl.envs import images
from firerl.envs.images import folder
from firerl.envs.images.readers import Readers
from firerl.progress import Silent

OBJECTIVE = 24
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="ResNets need torchvision"
)
CASES = [
    pytest.param("cnn", "paper22", id="cnn-paper22"),
    *(
        pytest.param("resnet18", preset, id=f"resnet18-{preset}", marks=needs_torchvision)
        for preset in ("paper22", "paper36", "paper50")
    ),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imagenet_for_tests.make(tmp_path_factory.mktemp("imagenet"))


def arguments(root: Path, model: str, preset: str, *more: str) -> list[str]:
    """The preset's cadence, an evaluation each step, two readies; two members where it has eight."""
    sizes = {"paper22": "[2,2]", "paper36": "[2,2,2]", "paper50": "[2,2,2,2]"}[preset]
    return [
        "learner=classifier", "data=imagenet", f"data.root={root}", "data.size=32", f"data.objective={OBJECTIVE}",
        f"learner.model={model}", "learner.batch_size=8", "learner.micro_batch=4", "learner.width=4",
        f"preset={preset}", f"population.sizes={sizes}", "eval_interval=1", "steps=24", "seed=5", *more,
    ]  # fmt: skip


def kill_after_a_generation(run_dir: Path, *given: str) -> None:
    """SIGKILL to the controller alone: its processes, and theirs, have to notice."""
    process = launch(*given, f"run_dir={run_dir}")
    checkpoints = run_dir / "checkpoints"
    while not (checkpoints.exists() and any(checkpoints.iterdir())) and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)  # into the next generation
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it had ended before it could be killed"
    deadline = time.monotonic() + 20
    while group_members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_members(process.pid)


@pytest.mark.parametrize(("model", "preset"), CASES)
def test_a_killed_run_on_folders_resumes_identically(tmp_path: Path, root: Path, model: str, preset: str) -> None:
    given = arguments(root, model, preset)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    settings, search, report = started_here(undisturbed, given)
    kill_after_a_generation(killed, *given, "engine=local", "engine.processes=2")
    finish(f"resume={killed}", "engine.processes=1")
    assert journal(killed) == journal(undisturbed)
    assert files(killed) == files(undisturbed)

    # The search reads the objective part alone, the report the rest, each image once: the objective is kept in memory.
    _, val, _ = folder.listings(str(root))
    chosen = {val.paths[i] for i in images.load(settings["data"])._parts["objective"]}  # type: ignore[attr-defined]
    assert len(chosen) == OBJECTIVE
    assert Counter(search) == Counter(chosen)
    assert Counter(report) == Counter(set(val.paths) - chosen)
    fresh = json.loads((undisturbed / "result.json").read_text())["fresh"]
    broken = sum(path.endswith(("text.JPEG", "cut.JPEG")) for path in report)
    assert fresh["images"] == len(val.paths) - OBJECTIVE - broken


def started_here(run_dir: Path, given: list[str]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Run to the end in this process: the learner's settings, the validation files that were read during the search, and after it."""
    read: list[str] = []
    ends: list[int] = []
    real = Readers.read

    def spy(self: Readers, piece: Any, out: Any) -> list[str]:
        read.extend(path for path in piece.paths if "/val/" in path)
        return real(self, piece, out)

    class Ends(Silent):
        def round_done(self, round: Any) -> None:
            ends.append(len(read))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Readers, "read", spy)
        made = config.resolve(compose.compose([*given, "engine=inline", f"run_dir={run_dir}"]))
        api.start(made, observer=Ends())
    root = made.settings["data"]["root"]
    below = [path.removeprefix(f"{root}/") for path in read]
    return dict(made.settings), below[: ends[-1]], below[ends[-1] :]

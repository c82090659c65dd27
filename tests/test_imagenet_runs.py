"""Whole runs on a folder in ImageNet's layout, odd files among them: presets scaled down, kill, resume, report.

With torchvision ResNet-18 runs with the cadence of each preset of the paper, without it the CNN with one of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import imagenet_for_tests
import numpy as np
import pytest
import torch
from test_promises import files, group_members, journal, launch

from firerl import api, compose, request
from firerl.agents.classifier import Classifier
from firerl.engine.base import Advance, Create, LearnerSpec, MachineFailure
from firerl.engine.host import Host
from firerl.envs import images
from firerl.envs.images import folder
from firerl.envs.images.folder import FolderData, ImageNetSettings
from firerl.envs.images.readers import Readers
from firerl.launch import main
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
    while generations(run_dir) < 2 and process.poll() is None:
        time.sleep(0.005)  # and so a little into the next one: once warm, it takes a fraction of a second
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it had ended before it could be killed"
    deadline = time.monotonic() + 20
    while group_members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_members(process.pid)


def generations(run_dir: Path) -> int:
    """How many are committed, the one before the first step among them."""
    if not (run_dir / "journal.sqlite").exists():
        return 0
    with closing(sqlite3.connect(run_dir / "journal.sqlite", timeout=60)) as database:
        return int(database.execute("SELECT COUNT(*) FROM generations").fetchone()[0])


@pytest.mark.timeout(1800)  # a generation of ResNets is a gigabyte, which takes long on a busy machine
@pytest.mark.parametrize(("model", "preset"), CASES)
def test_a_killed_run_on_folders_resumes_identically(tmp_path: Path, root: Path, model: str, preset: str) -> None:
    given = arguments(root, model, preset)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    settings, search, report = started_here(undisturbed, given)
    kill_after_a_generation(killed, *given, "engine=local", "engine.processes=2")
    resumed = launch(f"resume={killed}", "engine.processes=1")
    output, _ = resumed.communicate()
    assert resumed.returncode == 0, output
    with closing(sqlite3.connect(killed / "journal.sqlite")) as database:
        assert "resumed at step 12" in {text for (text,) in database.execute("SELECT text FROM notes")}
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
    """Run to the end in this process: its settings, the validation files read during the search, and after it."""
    images._load.cache_clear()  # an earlier test's run has kept its objective images
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
        made = request.resolve(compose.compose([*given, "engine=inline", f"run_dir={run_dir}"]))
        api.start(made, observer=Ends())
    root = made.settings["data"]["root"]
    below = [path.removeprefix(f"{root}/") for path in read]
    return dict(made.settings), below[: ends[-1]], below[ends[-1] :]


PRESETS = {"paper22": ((8, 8), 6), "paper36": ((8, 8, 8), 12), "paper50": ((8, 8, 8, 8), 18)}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_give_the_papers_numbers(tmp_path: Path, preset: str) -> None:
    """With 50,000 validation images of 1,000 classes, as ImageNet's; the files are empty: nothing is read yet."""
    root = empty_imagenet(tmp_path)
    given = ["learner=classifier", "data=imagenet", f"data.root={root}", f"preset={preset}", "run_dir=r"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: object())  # as if torchvision were installed
        made = request.resolve(compose.compose(given))
    assert (made.sizes, made.evaluators) == PRESETS[preset]
    assert (made.eval_interval, made.ready_interval) == (200, 2400)
    assert made.steps == 47 * 2400
    algo = made.algo.settings
    assert (made.algo.name, algo["max_eval_steps"], algo["truncation"]) == ("fire", 7200, 0.25)
    assert tuple(algo["explore_factors"]) == (0.5, 0.8, 1.25, 2.0)
    settings = made.settings
    assert (settings["model"], settings["batch_size"], settings["micro_batch"]) == ("resnet50", 1024, 128)
    assert (settings["momentum"], settings["weight_decay"], settings["nesterov"]) == (0.9, 1e-4, False)
    assert list(made.space) == ["learning_rate"]
    assert settings["data"]["objective"] == 10_000
    _, val, _ = folder.listings(str(root))
    parts = FolderData(ImageNetSettings(str(root)))._parts
    assert (len(parts["objective"]), len(parts["report"])) == (10_000, 40_000)
    assert np.bincount(val.labels[parts["objective"]]).tolist() == [10] * 1000
    assert not set(parts["objective"]) & set(parts["report"])


def empty_imagenet(root: Path) -> Path:
    """ImageNet's validation part in names alone, and one training image a class."""
    for label in range(1000):
        for part, count in (("train", 1), ("val", 50)):
            place = root / part / f"n{label:04}"
            place.mkdir(parents=True)
            for number in range(count):
                os.mknod(place / f"{number}.JPEG")
    return root


# ---- bad input


@pytest.mark.parametrize(
    ("damage", "more", "words"),
    [
        (lambda root: None, ["data.root=/nowhere"], "data.root=/nowhere: there is no such folder"),
        (lambda root: shutil.rmtree(root / "val" / "n02"), [], "classes of train and val differ: n02 only in train"),
        (lambda root: None, ["data.objective=55"], "data.objective=55: val/ of data.root="),
        (lambda root: None, ["data.keep=-1"], "data.keep=-1: must be an integer >= 0"),
        (lambda root: None, ["data.processes=many"], "data.processes=many: must be an integer >= 0"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_2(
    tmp_path: Path, capfd: Any, damage: Any, more: list[str], words: str
) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    damage(root)
    folder.listings.cache_clear()
    given = [
        one
        for one in arguments(root, "cnn", "paper22")
        if one.partition("=")[0] not in [m.partition("=")[0] for m in more]
    ]
    assert main([*given, *more, f"run_dir={tmp_path / 'r'}"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "r").exists()


def test_a_resume_without_the_data_is_one_line_and_exit_2(tmp_path: Path, capfd: Any) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    given = arguments(root, "cnn", "paper22", "engine=inline", f"run_dir={tmp_path / 'r'}")
    assert main([*(one for one in given if one != "steps=24"), "steps=12"]) == 0
    root.rename(tmp_path / "elsewhere")
    for forget in (folder.listings.cache_clear, images._load.cache_clear):
        forget()
    before = journal(tmp_path / "r")
    capfd.readouterr()
    assert main([f"resume={tmp_path / 'r'}", "steps=24", "engine=inline"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert (
        lines == [f"firerl: data.root={root}: there is no such folder; it must hold train/<class>/ and val/<class>/"]
        or lines
    )
    assert f"data.root={root}: there is no such folder" in lines[-1]
    assert journal(tmp_path / "r") == before


def test_broken_images_over_the_limit_are_the_learners_failure(tmp_path: Path) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    given = arguments(root, "cnn", "paper22", "engine=inline", "data.max_broken=0", f"run_dir={tmp_path / 'r'}")
    assert main(given) == 1  # every worker meets one: the population dies, which the journal says
    assert "FirerlError" in journal(tmp_path / "r")


def test_too_little_memory_on_the_device_says_which_setting_to_lower() -> None:
    settings = Classifier.resolve({"model": "mlp", "width": 1, "batch_size": 32, "micro_batch": 16})
    host = Host(LearnerSpec(Classifier, settings), durable=False)
    host.create([Create(0, {}, 0)])

    def full(pixels: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words")

    host._learner(0).network.forward = full  # type: ignore[attr-defined]
    with pytest.raises(MachineFailure) as caught:
        list(host.advance([Advance(0, 1, 0)]))
    assert "in a new run learner.micro_batch below 16" in str(caught.value)
    assert "Tried to allocate 2.00 GiB" in str(caught.value)
    assert "\n" not in str(caught.value)

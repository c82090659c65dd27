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
from commands_for_tests import files, generations, group_members, journal, launch

from firerl.agents.classifier import Classifier
from firerl.commands.launch import main
from firerl.config import compose, request
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, MachineFailure
from firerl.envs import images
from firerl.envs.images.files import folder
from firerl.envs.images.files.decoding import Piece
from firerl.envs.images.files.folder import FolderData, ImageNetSettings
from firerl.envs.images.files.listing import scan
from firerl.envs.images.files.readers import Readers
from firerl.errors import MachineError
from firerl.session import start as starting
from firerl.session.watching.progress import Silent

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
    val = scan(str(root)).val
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
        if isinstance(piece, Piece):  # and not the look before the run
            read.extend(path for path in piece.paths if "/val/" in path)
        return real(self, piece, out)

    class Ends(Silent):
        def round_done(self, round: Any) -> None:
            ends.append(len(read))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Readers, "read", spy)
        made = request.resolve(compose.compose([*given, "engine=inline", f"run_dir={run_dir}"]))
        starting.start(made, observer=Ends())
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
    val = scan(str(root)).val
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
    images._load.cache_clear()
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


def test_broken_images_over_the_limit_are_told_before_there_is_a_folder(tmp_path: Path, capfd: Any) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    given = arguments(root, "cnn", "paper22", "engine=inline", "data.max_broken=1", f"run_dir={tmp_path / 'r'}")
    assert main(given) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"firerl: data.max_broken=1: 2 images of data.root={root} cannot be read, which are more: ")
    assert not (tmp_path / "r").exists()


def spoil(path: Path) -> None:
    """A PNG that only decoding finds broken."""
    imagenet_for_tests.picture(1, 1).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def test_broken_images_that_the_run_meets_first_end_nothing_for_good(tmp_path: Path, capfd: Any) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    for path in sorted((root / "train" / "n01").iterdir()):
        spoil(path)
    given = arguments(root, "cnn", "paper22", "engine=inline", "data.max_broken=3")
    assert main([*given, f"run_dir={tmp_path / 'r'}"]) == 2
    said = capfd.readouterr().err.splitlines()
    assert "data.max_broken=3: more training images than that cannot be read" in said[-1]
    named = [line for line in said if "cannot be read and is left out" in line]
    assert len(named) == len({line.split()[1] for line in named}) > 3  # each once, however often they are met
    assert generations(tmp_path / "r") == 1
    assert "FirerlError" not in journal(tmp_path / "r")
    listed = (tmp_path / "r" / "unused_files.txt").read_text().splitlines()
    assert len(listed) == 5 + len(named)
    assert main([f"resume={tmp_path / 'r'}", "data.max_broken=20"]) == 0
    undisturbed = [one for one in given if not one.startswith("data.max_broken")]
    assert main([*undisturbed, f"run_dir={tmp_path / 'undisturbed'}"]) == 0
    assert journal(tmp_path / "r") == journal(tmp_path / "undisturbed")


def test_a_folder_that_is_away_for_a_moment_is_no_learners_failure(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments(root, "cnn", "paper22", "engine=inline")
    images._load.cache_clear()
    assert main([*given, f"run_dir={tmp_path / 'undisturbed'}"]) == 0
    images._load.cache_clear()
    calls: list[str] = []

    def away(where: str) -> Any:
        calls.append(where)
        return scan(where if len(calls) != 3 else "/nowhere")  # twice before the run; then for its first learner

    monkeypatch.setattr(folder, "scan", away)
    assert main([*given, f"run_dir={tmp_path / 'disturbed'}"]) == 0
    assert len(calls) > 3
    assert journal(tmp_path / "disturbed") == journal(tmp_path / "undisturbed")


def test_a_folder_that_stays_away_costs_nothing_but_time(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    given = arguments(root, "cnn", "paper22", "engine=inline")
    images._load.cache_clear()
    monkeypatch.setattr(folder, "_present", lambda settings: lost(settings))
    assert main([*given, f"run_dir={tmp_path / 'r'}"]) == 2
    assert "there is no such folder" in capfd.readouterr().err.splitlines()[-1]
    assert generations(tmp_path / "r") == 1
    monkeypatch.undo()
    assert main([f"resume={tmp_path / 'r'}"]) == 0
    assert main([*given, f"run_dir={tmp_path / 'undisturbed'}"]) == 0
    assert journal(tmp_path / "r") == journal(tmp_path / "undisturbed")


def lost(settings: ImageNetSettings) -> Any:
    raise MachineError(f"data.root={settings.root}: there is no such folder")


def test_a_replaced_file_is_named_before_a_resume(tmp_path: Path, capfd: Any) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    given = arguments(root, "cnn", "paper22", "engine=inline", f"run_dir={tmp_path / 'r'}")
    assert main([*(one for one in given if one != "steps=24"), "steps=12"]) == 0
    path = root / "val" / "n02" / "n02_1.JPEG"
    path.write_bytes((root / "val" / "n01" / "n01_1.JPEG").read_bytes())
    before = journal(tmp_path / "r")
    capfd.readouterr()
    assert main([f"resume={tmp_path / 'r'}", "steps=24"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "not those that the run began with (val/n02/n02_1.JPEG is another file)" in line
    assert journal(tmp_path / "r") == before


def test_where_data_lie_and_who_reads_them_is_no_part_of_the_result(tmp_path: Path, root: Path, capfd: Any) -> None:
    given = [one for one in arguments(root, "cnn", "paper22", "engine=inline") if one != "steps=24"]
    assert main([*given, "steps=24", f"run_dir={tmp_path / 'here'}"]) == 0
    away = Path(shutil.copytree(root, tmp_path / "copied"))
    moved = [one for one in given if not one.startswith("data.root=")]
    aside = [f"data.root={away}", "data.processes=0", "data.threads=2", "data.keep=0", "data.check=false"]
    assert main([*moved, *aside, "steps=12", f"run_dir={tmp_path / 'there'}"]) == 0
    again = away.rename(tmp_path / "again")
    resume = [f"resume={tmp_path / 'there'}", "steps=24", "engine=inline"]
    assert main([*resume, f"data.root={again}", "data.processes=1", "data.max_broken=30"]) == 0
    assert journal(tmp_path / "here") == journal(tmp_path / "there")
    capfd.readouterr()
    assert main([*resume, f"data.root={again}", "data.size=64"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("firerl: data.size cannot change when a run is resumed: of the learner's settings only ")
    assert main([*resume, f"data.root={tmp_path / 'nowhere'}"]) == 0  # it has finished: nothing is read


def test_the_same_line_goes_on_where_the_data_have_moved(tmp_path: Path, capfd: Any) -> None:
    root = imagenet_for_tests.make(tmp_path / "images")
    given = [*arguments(root, "cnn", "paper22", "engine=inline"), "resume=auto", f"run_dir={tmp_path / 'r'}"]
    assert main(["steps=12" if one == "steps=24" else one for one in given]) == 0
    root.rename(tmp_path / "moved")
    images._load.cache_clear()
    given = [one.replace(str(root), str(tmp_path / "moved")) for one in given]
    assert main([*given, "data.processes=0"]) == 0
    assert len(journal(tmp_path / "r")) > 0
    (tmp_path / "moved" / "train" / "n01" / "new.JPEG").touch()
    capfd.readouterr()
    assert main([*("steps=36" if one == "steps=24" else one for one in given)]) == 2
    assert "data.files is " in capfd.readouterr().err


def test_too_little_memory_on_the_device_says_which_setting_to_lower() -> None:
    settings = Classifier.resolve({"model": "mlp", "width": 1, "batch_size": 32, "micro_batch": 16})
    host = Host(LearnerSpec(Classifier, settings), durable=False)
    host.create([Create(0, {}, 0)])

    def full(pixels: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words")

    host._learner(0).learner.network.forward = full  # type: ignore[attr-defined]
    with pytest.raises(MachineFailure) as caught:
        list(host.advance([Advance(0, 1, 0)]))
    assert "in a new run learner.micro_batch below 16" in str(caught.value)
    assert "Tried to allocate 2.00 GiB" in str(caught.value)
    assert "\n" not in str(caught.value)

"""A classifier's winner alone: the learner's answers from raw pixels, in torch and in onnxruntime, without the data."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import imagenet_for_tests
import numpy as np
import pytest

import firerl
from firerl.agents.classifier import Classifier
from firerl.commands import export, play
from firerl.envs import images
from firerl.envs.images import digits

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in export.PACKAGES),
    reason="the extra firerl[onnx] is not installed",
)


def finished(run_dir: Path, **settings: Any) -> Path:
    """A classifier's run of a few steps."""
    settings = {"width": 4, "batch_size": 16, "micro_batch": None, **settings}
    firerl.run(
        "classifier", settings=settings, algo="pbt", algo_settings={"fitness_window": 1},
        population=[2], evaluators=0, steps=20, eval_interval=10, ready_interval=20, engine="inline",
        logger="none", progress=False, run_dir=run_dir,
    )  # fmt: skip
    return run_dir


@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_its_logits_name_as_many_images_right_as_the_run_says(tmp_path: Path, model: str) -> None:
    run_dir = finished(tmp_path / "run", model=model)
    policy = firerl.load_policy(run_dir / "best.pt")
    assert policy.input_shape == (1, 8, 8)
    assert policy.classes == tuple("0123456789")
    objective, _ = digits.halves(digits.source()[1])
    logits = policy(objective.images[:, None])  # bytes fit into what it takes
    right = float((logits.argmax(1) == objective.labels).mean())
    assert right == json.loads((run_dir / "result.json").read_text())["objective"]
    one = policy(objective.images[0, None])
    assert one.shape == (10,)
    np.testing.assert_allclose(one, logits[0], rtol=0, atol=1e-5)


def test_it_normalises_as_the_learner_does() -> None:
    settings = Classifier.resolve({"model": "cnn", "width": 4})
    learner = Classifier(settings, {"learning_rate": 0.1}, 0, "cpu")
    learner.train(3)
    module: Any = Classifier.module_of(settings, learner.state()["weights"], Classifier.facts_of(settings))
    batch = next(iter(learner.data.held_out("report")))
    learner.network.eval()
    _, report = digits.halves(digits.source()[1])
    wanted = learner.network(learner._pixels(batch)).detach().numpy()
    found = firerl.winner.policy.Policy(module, {"task": "t", "network_step": 3, "objective": None})(
        report.images[:, None]
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def of_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on a folder of images, and that folder under another name: the data have gone."""
    where = tmp_path_factory.mktemp("classes")
    root = imagenet_for_tests.make(where / "images")
    data = {"name": "imagenet", "root": str(root), "size": 16, "objective": 24, "processes": 0}
    run_dir = finished(where / "run", model="cnn", data=data)
    return run_dir, root.rename(where / "elsewhere")


def test_a_folders_winner_needs_no_data_and_knows_its_classes(of_folder: tuple[Path, Path]) -> None:
    run_dir, root = of_folder
    policy = firerl.load_policy(run_dir)
    assert policy.input_shape == (3, 16, 16)
    assert policy.classes == tuple(f"n{label:02}" for label in range(12))
    data = {"name": "imagenet", "root": str(root), "size": 16, "objective": 24, "processes": 0}
    right = count = 0
    for batch in images.load(images.check(data)).held_out("objective"):
        right += int((policy(batch.images).argmax(1) == batch.labels).sum())
        count += len(batch.labels)
    assert right / count == json.loads((run_dir / "result.json").read_text())["objective"]


@needs_onnx
def test_its_onnx_file_takes_pixels_and_names_the_classes(of_folder: tuple[Path, Path], tmp_path: Path) -> None:
    import onnxruntime

    run_dir, _ = of_folder
    assert export.main([str(run_dir), "--onnx", str(tmp_path / "out.onnx")]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16)).astype(np.float32)
    (logits,) = session.run(["logits"], {"images": pixels})
    np.testing.assert_allclose(logits, firerl.load_policy(run_dir)(pixels), rtol=1e-4, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"])[:2] == ["n00", "n01"]


def test_play_says_how_good_it_is_and_that_there_is_nothing_to_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = finished(tmp_path / "run", model="mlp")
    assert play.main([str(run_dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = json.loads((run_dir / "result.json").read_text())
    assert lines[1] == f"evaluate(0) = {told['objective']}"
    assert lines[2] == f"report(0): accuracy = {told['fresh']['accuracy']}, on data that the search did not see"
    assert play.main([str(run_dir), "--video", str(tmp_path / "out.mp4")]) == 2
    assert "nothing to film" in capsys.readouterr().err


def test_play_without_the_data_is_one_line(of_folder: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    images._load.cache_clear()
    assert play.main([str(of_folder[0])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no such folder" in line

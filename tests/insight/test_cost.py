"""What a run on ImageNet's folders costs: counts from the settings, speeds measured, one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagenet_for_tests
import pytest

from firerl.config import compose, request
from firerl.config.run_config import RunConfig
from firerl.insight.plan import cost
from firerl.insight.plan.cost import Images, Speeds


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imagenet_for_tests.make(tmp_path_factory.mktemp("imagenet"))


def made(root: Path, *more: str) -> RunConfig:
    given = ["learner=classifier", "data=imagenet", f"data.root={root}", "data.objective=20", "learner.model=cnn"]
    return request.resolve(compose.compose([*given, "preset=paper22", "run_dir=r", *more]))


def test_images_are_counted_from_the_settings(root: Path) -> None:
    run = made(root, "steps=4800")  # 24 evaluations of 22 workers
    train, evaluated = 22 * 4800 * 1024, 22 * 24 * 20
    assert cost.images_of(run, 4) == Images(train, evaluated, train + 4 * 20)
    assert cost.images_of(run, 64).read == train + 22 * 20  # no more processes than workers
    none_kept = made(root, "steps=4800", "data.keep=0")
    assert cost.images_of(none_kept, 4).read == train + evaluated
    some_kept = made(root, "steps=4800", "data.keep=1")  # six of 224 x 224 x 3 bytes
    assert cost.images_of(some_kept, 4).read == train + 4 * 6 + 22 * 24 * 14


def test_the_line_says_hours(root: Path) -> None:
    run = made(root, "steps=2400")
    said = cost.text(run, Images(54_000_000, 1_000_000, 54_000_080), Speeds(1500.0, 16, 0.002, 0.001))
    assert "reads 54,000,080 images. Reading takes 10.0 h at the 1,500 images/s of 16 cores here." in said
    assert "The network takes 30.3 h of one core at 2.05 s for a step of 1,024 images." in said
    assert "\n" not in said


def test_speeds_are_measured(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "SECONDS", 0.1)
    told: list[str] = []
    run = made(root, "data.size=32", "learner.width=2", "steps=2400")
    found = cost.measure(run)
    assert found.read > 1
    assert all(1e-6 < seconds < 5 for seconds in (found.train, found.evaluate))
    monkeypatch.setattr(cost, "measure", lambda config: found)
    said = cost.line(run, told.append)
    assert said is not None
    assert said.startswith("cost: the run reads 54,067,")
    assert len(told) == 1


def test_short_runs_and_other_data_say_nothing_and_trouble_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(config: Any) -> Any:
        raise OSError("the disk is on fire\nand more")

    monkeypatch.setattr(cost, "measure", trouble)
    assert cost.line(made(root, "learner.batch_size=8", "learner.micro_batch=8", "eval_interval=1", "steps=24")) is None
    digits = request.resolve(compose.compose(["learner=classifier", "run_dir=r", "steps=600000"]))
    assert cost.line(digits) is None
    said = cost.line(made(root))
    assert said == "note: what this run will cost could not be measured: the disk is on fire"

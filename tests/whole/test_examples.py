"""What stands in examples/: each is a learner that keeps the contract and evolves, with any number of processes."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from commands_for_tests import launch

import firerl
from firerl.commands import check
from firerl.config.learners import find_learner

EXAMPLES = Path(__file__).parents[2] / "examples"
LEARNERS = ["torch_digits.Digits", "ppo_evolved.PPO", "sklearn_sgd.Wrapped"]
LEARNERS += ["transformers_vit.Images"] if importlib.util.find_spec("transformers") else []
IMAGES = ["data=own_images:make_data", "learner.model=own_images:make_model"]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.mark.parametrize("words", [*([name] for name in LEARNERS), ["classifier", *IMAGES, "eval_interval=10"]])
def test_it_passes_the_check(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = check.main(words)
    out = capsys.readouterr().out
    assert code == 0, out
    assert out.endswith("all checks passed\n")


def lines(name: str) -> list[str]:
    return [line for line in (EXAMPLES / name).read_text().splitlines() if line]


def test_they_are_as_short_as_they_are_said_to_be() -> None:
    assert len(lines("torch_digits.py")) <= 25
    assert len(lines("own_images.py")) - 3 <= 10  # three are the docstring's
    text = {name: (EXAMPLES / name).read_text().splitlines() for name in ("ppo.py", "ppo_evolved.py")}
    assert len(text["ppo_evolved.py"]) - len(text["ppo.py"]) <= 15


def test_the_plain_original_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """A little of it."""
    code = (EXAMPLES / "ppo.py").read_text().replace("50_000", "512")
    exec(compile(code, "ppo.py", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines()[-1].startswith("512 ")


@pytest.mark.parametrize("name", LEARNERS)
def test_it_evolves_to_the_same_with_two_processes_and_after_an_interruption(name: str, tmp_path: Path) -> None:
    learner = find_learner(name)
    interval = max(20, 2 * learner.granularity)
    more: dict[str, Any] = {
        "population": [2, 2], "evaluators": 2, "eval_interval": interval, "ready_interval": 2 * interval,
        "progress": False, "logger": "none",
    }  # fmt: skip
    steps = 4 * interval
    whole = firerl.run(learner, steps=steps, engine="inline", run_dir=tmp_path / "whole", **more)
    two = firerl.run(learner, steps=steps, engine="local", processes=2, run_dir=tmp_path / "two", **more)
    firerl.run(learner, steps=steps // 2, engine="inline", run_dir=tmp_path / "half", **more)
    half = firerl.resume(tmp_path / "half", learner, steps=steps, progress=False)
    assert whole.figures["hash"] == two.figures["hash"] == half.figures["hash"]


def test_images_and_a_network_of_ones_own_evolve_to_the_same_with_two_processes_and_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    sizes = ["population.sizes=[2,2]", "population.evaluators=2", "steps=96", "eval_interval=4", "ready_interval=8"]
    process = launch("learner=classifier", *IMAGES, *sizes, "logger=none", "engine=inline", f"run_dir={tmp_path / 'r'}")
    while not any(tmp_path.glob("r/checkpoints/*")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "r" / "result.json").exists()
    code = {"settings": {"data": "own_images.make_data", "model": "own_images.make_model"}}
    more: dict[str, Any] = {
        "population": [2, 2], "evaluators": 2, "steps": 96, "eval_interval": 4, "ready_interval": 8,
        "progress": False, "logger": "none",
    }  # fmt: skip
    two = firerl.run("classifier", engine="local", processes=2, run_dir=tmp_path / "two", **code, **more)
    killed = firerl.resume(tmp_path / "r", progress=False)
    assert killed.figures["hash"] == two.figures["hash"]
    assert killed.objective > 0.5


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its cells' code in one namespace: a kernel would take longer than the cells, and bring fifteen packages."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), "notebook.ipynb", "exec"), names)
    assert "Quadratic" in capsys.readouterr().out
    assert names["figure"].axes
    shown = names["result"]._repr_html_()
    for expected in ("<table>", "Quadratic", "fire", "120", "0..", "runs/notebook/fire-0"):
        assert expected in shown

"""What stands in examples/: each is a learner that keeps the contract and evolves, with any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.commands import check
from firerl.config.learners import find_learner

EXAMPLES = Path(__file__).parents[2] / "examples"
LEARNERS = ["torch_digits.Digits", "ppo_evolved.PPO", "sklearn_sgd.Wrapped"]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.mark.parametrize("name", LEARNERS)
def test_it_passes_the_check(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = check.main([name])
    out = capsys.readouterr().out
    assert code == 0, out
    assert out.endswith("all checks passed\n")


def lines(name: str) -> list[str]:
    return [line for line in (EXAMPLES / name).read_text().splitlines() if line]


def test_they_are_as_short_as_they_are_said_to_be() -> None:
    assert len(lines("torch_digits.py")) <= 25
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

"""What ``benchmarks/returns.py`` makes of curves; its runs are too long for a test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import returns
import training_runs


def row(values: list[float | None], **fields: Any) -> dict[str, Any]:
    """A run with a point every 5,000 steps, two episodes each, ten seconds apart."""
    curve = [[5000 * (k + 1), v, 0 if v is None else 2, 10.0 * (k + 1)] for k, v in enumerate(values)]
    return {"curve": curve, "arm": "vmpo", "task": "Ant", **fields}


def test_the_training_return_is_the_mean_of_the_last_20_000_steps() -> None:
    smooth = returns.smooth(row([None, 1.0, 3.0, None, 5.0, 7.0]))
    assert np.isnan(smooth[0, 1])
    assert smooth[1:, 1].tolist() == [1.0, 2.0, 2.0, 3.0, 5.0]
    assert smooth[:, 0].tolist() == [5000, 10000, 15000, 20000, 25000, 30000]


def test_a_level_is_reached_where_the_curve_stays() -> None:
    curve = np.array([[1, 0.0, 10], [2, 5.0, 20], [3, 4.0, 30], [4, 5.0, 40], [5, 6.0, 50]])
    assert returns.reached(curve, 5.0) == (4.0, 40.0)
    assert returns.reached(curve, 0.0) == (1.0, 10.0)
    assert returns.reached(curve, 7.0) is None
    curve[0, 1] = np.nan  # before an episode has ended nothing is reached
    assert returns.reached(curve, 4.0) == (2.0, 20.0)


def test_ratios_are_ppos_over_ours() -> None:
    ours = [row([50.0] * 8, seed=seed) for seed in range(3)]
    theirs = [row([0.0] * 4 + [10.0] * 4, seed=seed, arm="ppo") for seed in range(3)]
    assert returns.against_ppo(ours + theirs, "Ant") == {
        "ant_steps_to_ppo_return": 8.0,
        "ant_seconds_to_ppo_return": 8.0,
    }
    assert set(returns.against_ppo(ours, "Ant").values()) == {None}


def test_results_that_are_there_are_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = returns.jobs(["Hopper"], [0], ["vmpo"])
    path = tmp_path / "results.jsonl"
    done = row([1.0], **job, settings=training_runs.settings_of(job))
    path.write_text(training_runs.json.dumps(done) + "\n" + '{"torn')
    monkeypatch.setattr(training_runs.multiprocessing, "get_context", lambda kind: pytest.fail("it ran"))
    training_runs.run_all([job], path, 1)
    assert len(training_runs.read(path)) == 1
    assert training_runs.key(job) != training_runs.key({**job, "given": {"epochs": 9}})


def test_the_two_ppos_are_compared_seed_by_seed(capsys: pytest.CaptureFixture[str]) -> None:
    def ended(arm: str, seed: int, training: float, mean_action: float) -> dict[str, Any]:
        return row([training] * 8, seed=seed, arm=arm, evaluations=[{"steps": 40_000, "return": mean_action}])

    rows = [ended("ppo_firerl", seed, 30.0 + seed, 50.0) for seed in range(3)]
    rows += [ended("ppo", seed, 10.0, 20.0) for seed in (1, 2, 3)]
    assert returns.against_library(rows, "Ant") == {"ant_ppo_over_library": 3.15}  # 31.5 over 10, of seeds 1 and 2
    assert "training 31 : 10, 32 : 10; mean action 50 : 20, 50 : 20" in capsys.readouterr().out
    assert returns.against_library(rows[:3], "Ant") == {}

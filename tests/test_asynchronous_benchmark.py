"""benchmarks/evidence/asynchronous.py simulates what engine=simulated does, and its table says what the rows say."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from async_runs import points_of

from firerl import api
from firerl.config import EngineConfig


@pytest.fixture(scope="module")
def benchmark() -> Any:
    return importlib.import_module("asynchronous")


@pytest.mark.parametrize("sync", [True, False])
def test_a_run_without_a_folder_is_a_simulated_run(benchmark: Any, tmp_path: Path, sync: bool) -> None:
    arm = benchmark.Arm("fire", sizes=(4, 4), evaluators=3, settings={"significance": 0.2})
    config = replace(arm.config(benchmark.PROBLEM, 120), seed=3, run_dir=str(tmp_path / "r"), sync=sync)
    costs = {"seconds_per_step": 0.1, "seconds_per_evaluation": 0.0, "seconds_per_copy": 0.0, "seconds_per_save": 0.0}
    engine = EngineConfig("simulated", 11, speed_spread=1.0, **costs)
    api.start(replace(config, engine=engine, logger=()))
    run = benchmark.Run(config)
    told = [worker for _, worker in benchmark.MODES["synchronous" if sync else "asynchronous"](run, 1.0)]
    assert told == [point.reports[0].worker for point in points_of(tmp_path / "r")]
    journal = api.Journal.open(tmp_path / "r")
    assert journal.last().state == run.state
    journal.close()


def test_the_table_compares_seed_by_seed(benchmark: Any) -> None:
    def row(objective: float, seconds: float, end: float) -> dict[str, Any]:
        return {"objective": objective, "times": {"1.8": seconds}, "end": end, "network_steps": 10.0}

    found = {("synchronous", 0.0, seed): row(2.0, 100.0 + seed, 400.0) for seed in range(3)}
    found |= {("asynchronous", 0.0, seed): row(2.5, 50.0 + seed / 2, 300.0) for seed in range(3)}
    lines, told = benchmark.figures(found)
    assert told["objective_to_reach"] == 1.8
    assert told["time_ratio_0"] == [0.5, 0.5, 0.5]
    assert told["final_difference_0"] == [0.5, 0.5, 0.5]
    assert told["end_ratio_0"] == [0.75, 0.75, 0.75]
    assert "| 0 % | 101 | 50 | 0.50 [0.50, 0.50] | 400 | 300 | 2.00 | 2.50 | +0.50 [+0.50, +0.50] |" in lines

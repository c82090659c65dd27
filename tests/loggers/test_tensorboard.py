"""TensorBoard's files: one point a step, rebuilt from the journal."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import firerl
from firerl.logger import About
from firerl.loggers.tensorboard import TensorBoard


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def started(folder: Path) -> TensorBoard:
    logger = TensorBoard()
    logger.start(About(folder, folder, {}, 0))
    return logger


def test_a_resumed_run_has_every_point_once(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    firerl.run("quadratic", steps=120, engine="inline", seed=1, progress=False, run_dir=run_dir)
    firerl.resume(run_dir, steps=180, progress=False)
    found = read(run_dir / "tensorboard")
    told = {(row["worker"], row["step"]): row["objective"] for row in firerl.Result(run_dir, {}).journal
            if row["event"] == "report"}  # fmt: skip
    steps = [step for step, _ in found["P1/best"]]
    assert steps == sorted({step for _, step in told})
    assert steps[-1] == 180
    expected = [(step, pytest.approx(value)) for (worker, step), value in told.items() if worker == 3]
    assert found["worker-03/objective"] == expected
    assert 0 < len(found["speed/steps_per_second"]) < len(steps)  # of the points since the resume
    assert found["time/train"][-1][0] == 180


def test_a_point_of_22_workers_is_cheap(tmp_path: Path) -> None:
    logger = started(tmp_path)
    values = {f"worker-{worker:02}/metric_{i}": float(i) for worker in range(22) for i in range(12)}
    costs = []
    for step in range(5):
        begun = time.perf_counter()
        logger.log(step, values)
        costs.append(time.perf_counter() - begun)
    logger.close()
    assert min(costs) < 0.02
    assert [step for step, _ in read(tmp_path)["worker-21/metric_3"]] == [0, 1, 2, 3, 4]


def test_close_without_a_start_does_no_harm() -> None:
    TensorBoard().close()

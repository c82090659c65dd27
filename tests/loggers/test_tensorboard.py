"""TensorBoard's files: a run a worker, one point a step, rebuilt from the journal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.logger import About
from firerl.loggers.by_worker import MOST
from firerl.loggers.tensorboard import TensorBoard


def read(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """(step, value) by run and tag, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    multiplexer = EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0})
    multiplexer.AddRunsFromDirectory(str(folder)).Reload()
    return {
        run: {tag: [(event.step, event.value) for event in multiplexer.Scalars(run, tag)] for tag in tags["scalars"]}
        for run, tags in multiplexer.Runs().items()
    }


def table(folder: Path) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """Hyperparameters and metrics by run, as the HParams view has them."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(TBContext(multiplexer=multiplexer, data_provider=provider))
    asked = api_pb2.ListSessionGroupsRequest(slice_size=1000, allowed_statuses=[api_pb2.STATUS_UNKNOWN])
    asked.col_params.add(hparam="lr")
    found = list_session_groups.Handler(RequestContext(), context, "", asked).run().session_groups
    return {
        group.sessions[0].name: (
            {name: value.number_value for name, value in group.hparams.items()},
            {metric.name.tag: metric.value for metric in group.metric_values},
        )
        for group in found
    }


def started(folder: Path, space: dict[str, Any] | None = None) -> TensorBoard:
    logger = TensorBoard()
    logger.start(About(folder, folder, {"space": space or {}}, 0))
    return logger


def test_a_resumed_run_has_every_point_once(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    firerl.run("quadratic", steps=120, engine="inline", seed=1, progress=False, run_dir=run_dir)
    firerl.resume(run_dir, steps=180, progress=False)
    found = read(run_dir / "tensorboard")
    told = {(row["worker"], row["step"]): row["objective"] for row in firerl.Result(run_dir, {}).journal
            if row["event"] == "report"}  # fmt: skip
    steps = [step for step, _ in found["population"]["P1/best"]]
    assert steps == sorted({step for _, step in told})
    assert steps[-1] == 180
    expected = [(step, pytest.approx(value)) for (worker, step), value in told.items() if worker == 3]
    assert found["worker-03"]["objective"] == expected
    assert 0 < len(found["population"]["speed/steps_per_second"]) < len(steps)  # of the points since the resume
    assert found["population"]["time/train"][-1][0] == 180


def test_workers_are_runs_with_the_same_tags_and_lines_of_hparams(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    firerl.run("quadratic", preset="smoke", engine="inline", seed=1, progress=False, run_dir=run_dir)
    found = read(run_dir / "tensorboard")
    members = [f"worker-{worker:02}" for worker in range(8)]
    assert {"population", *members} <= found.keys()
    assert {run: list(tags) for run, tags in found.items() if run != "population"} == {
        run: ["objective", "lr"] for run in found if run != "population"
    }
    assert max(map(len, found.values())) <= MOST
    lines = table(run_dir / "tensorboard")
    assert lines.keys() == found.keys() - {"population"}
    for run, (hyperparameters, metrics) in lines.items():
        assert hyperparameters == {"lr": pytest.approx(found[run]["lr"][-1][1])}
        assert metrics["objective"] == pytest.approx(found[run]["objective"][-1][1])


def test_no_run_has_more_tags_than_one_can_look_at(tmp_path: Path) -> None:
    logger = started(tmp_path, {"lr": {}, "decay": {}})
    metrics = {f"worker-00/metric_{i}": float(i) for i in range(60)}
    logger.log(1, {"worker-00/loss": 1.0, **metrics, **{f"time/part_{i}": 0.0 for i in range(60)}})
    logger.log(2, {"worker-01/late": 1.0, **metrics, "worker-01/lr": 0.5, "worker-01/decay": 0.1})
    logger.log(3, {"worker-01/objective": 2.0, "worker-00/objective": 1.0})
    logger.close()
    found = read(tmp_path)
    assert len(found["population"]) == MOST
    assert list(found["worker-00"]) == ["loss", *(f"metric_{i}" for i in range(MOST - 4)), "objective"]
    assert list(found["worker-01"]) == ["lr", "decay", "objective"]
    assert table(tmp_path)["worker-01"][0] == {"lr": 0.5, "decay": 0.1}


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
    assert [step for step, _ in read(tmp_path)["worker-21"]["metric_3"]] == [0, 1, 2, 3, 4]


def test_close_without_a_start_does_no_harm() -> None:
    TensorBoard().close()

"""TensorBoard's files: one point a step, rebuilt from the journal."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from test_journal import config_for, fire_points, make_run, members_of, state_after

from firerl.config import RunConfig
from firerl.evolution.population import Report, Set, State, Worker
from firerl.journal_db import Journal, Point
from firerl.progress import Round
from firerl.tensorboard import Replay, TensorBoardObserver

pytestmark = pytest.mark.unverified("journals made by hand")


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    made = config_for(tmp_path / "r")
    make_run(made, fire_points())
    return made


def round_at(config: RunConfig, step: int) -> Round:
    point = Point([Report(i, step, float(i)) for i in range(4)], [])
    return Round(step, state_after(members_of(config)), point, True, 40, 0.5, {"train": 0.9, "idle": 0.1}, 0.0)


def test_points_hold_workers_populations_and_evolution(tmp_path: Path, config: RunConfig) -> None:
    observer = TensorBoardObserver(tmp_path / "tb")
    observer.started(config, Journal.open(Path(config.run_dir)), 20, 1)
    observer.round_done(round_at(config, 30))
    observer.close()
    found = read(tmp_path / "tb")
    assert found["worker-01/objective"] == [(10, 1.0), (20, 1.25), (30, 1.0)]
    assert [step for step, _ in found["worker-03/objective"]] == [10, 30]  # it failed in between
    assert [value for _, value in found["worker-03/lr"]] == pytest.approx([0.4, 0.4, 0.6])  # copied at 20
    assert found["worker-04/lr"] == [(20, pytest.approx(0.1))]
    assert found["worker-00/loss"] == [(10, 0.5)]
    assert found["P2/best"] == [(10, 3.0), (20, 2.25), (30, 3.0)]
    assert found["P1/median"][0] == (10, 0.5)
    assert found["evolution/copies"] == [(10, 0.0), (20, 1.0), (30, 1.0)]
    assert found["evolution/evaluators_running"][0] == (10, 1.0)
    assert found["evolution/evaluators_succeeded"][-1] == (30, 1.0)
    assert found["evolution/evaluators_stopped"][-1] == (30, 1.0)
    assert found["speed/steps_per_second"] == [(30, 80.0)]
    assert found["time/train"] == [(30, pytest.approx(0.9))]


def test_a_resume_doubles_no_point(tmp_path: Path, config: RunConfig) -> None:
    for _ in range(2):
        observer = TensorBoardObserver(tmp_path / "tb")
        observer.started(config, Journal.open(Path(config.run_dir)), 20, 1)
        observer.round_done(round_at(config, 30))  # never committed: the next start does not know it
        observer.close()
    assert [step for step, _ in read(tmp_path / "tb")["P1/best"]] == [10, 20, 30]


def test_words_and_missing_numbers_are_left_out() -> None:
    state = State((Worker(0, 1, False, {"kind": "adam", "on": True, "lr": 0.5}), Worker(1, 1, False, {})))
    reports = [Report(0, 10, None, {"loss": float("nan")}), Report(1, 10, float("inf"), failure="NaN")]
    assert dict(Replay(state).scalars(Point(reports, []))) == {"worker-00/lr": 0.5, "evolution/copies": 0.0}


def test_hyperparameters_that_change_alone_show_from_the_next_point_on() -> None:
    replay = Replay(State((Worker(0, 1, False, {"lr": 0.5}),)))
    changes = [Set(0, 10, 10, {"lr": 0.25})]
    shown = [dict(replay.scalars(Point([Report(0, step, 1.0)], changes)))["worker-00/lr"] for step in (10, 20)]
    assert shown == [0.5, 0.25]


def test_random_search_and_pbt_have_no_evaluators(tmp_path: Path) -> None:
    config = config_for(tmp_path / "r", "pbt")
    tags = dict(Replay(members_of(config)).scalars(Point([Report(0, 10, 1.0)], [])))
    assert not [tag for tag in tags if "evaluator" in tag]


def test_a_round_of_22_workers_is_cheap(tmp_path: Path) -> None:
    config = config_for(tmp_path / "r", sizes=(8, 8), evaluators=6)
    make_run(config, [])
    observer = TensorBoardObserver(tmp_path / "tb")
    observer.started(config, Journal.open(tmp_path / "r"), 0, 1)
    metrics = {f"metric_{i}": float(i) for i in range(10)}
    point = Point([Report(i, 10, float(i), metrics) for i in range(22)], [])
    round = Round(10, members_of(config), point, False, 220, 1.0, {"train": 1.0}, 0.0)
    costs = []
    for _ in range(5):
        begun = time.perf_counter()
        observer.round_done(round)
        costs.append(time.perf_counter() - begun)
    observer.close()
    assert min(costs) < 0.02


def test_close_twice_and_rounds_without_a_start_do_no_harm(tmp_path: Path, config: RunConfig) -> None:
    observer = TensorBoardObserver(tmp_path / "tb")
    observer.round_done(round_at(config, 10))
    observer.finished({}, tmp_path)
    observer.close()
    assert not (tmp_path / "tb").exists()

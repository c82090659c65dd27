"""What loggers are told of a run, point by point."""

from __future__ import annotations

from pathlib import Path

import pytest
from journals_by_hand import config_for, fire_points, members_of
from simulate import make_setup

from firerl.evolution.population import Report, Set, State, Worker, initial_state
from firerl.session.watching.scalars import Replay
from firerl.storage.generation import Point

pytestmark = pytest.mark.unverified("journals made by hand")


def test_points_hold_workers_populations_and_evolution(tmp_path: Path) -> None:
    replay = Replay(members_of(config_for(tmp_path / "r")))
    first, second = (dict(replay.scalars(point)) for point in fire_points())
    assert (first["worker-01/objective"], second["worker-01/objective"]) == (1.0, 1.25)
    assert "worker-03/objective" not in second  # it failed
    assert (first["worker-03/lr"], second["worker-03/lr"]) == (0.4, 0.4)
    third = dict(replay.scalars(Point([Report(3, 30, 1.0)], [])))
    assert third["worker-03/lr"] == 0.6  # copied at 20
    assert second["worker-04/lr"] == 0.1
    assert first["worker-00/loss"] == 0.5
    assert (first["P2/best"], second["P2/best"], first["P1/median"]) == (3.0, 2.25, 0.5)
    assert (first["evolution/copies"], second["evolution/copies"]) == (0.0, 1.0)
    assert (first["evolution/evaluators_running"], second["evolution/evaluators_succeeded"]) == (1.0, 1.0)
    assert second["evolution/evaluators_stopped"] == 1.0


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


def test_where_nobody_waits_a_sub_population_is_told_by_everybodys_latest() -> None:
    setup = make_setup((2, 2))
    replay = Replay(initial_state(setup), sync=False)
    told = []
    for worker, step, objective in ((0, 10, 1.0), (1, 10, 3.0), (0, 20, 2.0), (2, 10, 9.0)):
        point = Point([Report(worker, step, objective)], [])
        told.append((dict(replay.scalars(point)), replay.step(point)))
    assert [row.get("P1/best") for row, _ in told] == [1.0, 3.0, 3.0, None]
    assert [row.get("P1/median") for row, _ in told] == [1.0, 2.0, 2.5, None]
    assert [step for _, step in told] == [2, 5, 7, 10]

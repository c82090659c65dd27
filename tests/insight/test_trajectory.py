"""What a run had reached along its steps, against the states that the decision core had."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from journals_by_hand import config_for, members_of
from simulate import Scenario, scenarios

from firerl.config.run_config import AlgoConfig, RunConfig
from firerl.evolution.population import Copy, Report, initial_state
from firerl.evolution.winner import winner
from firerl.insight.history.history import tell
from firerl.insight.history.trajectory import Trajectory, trajectory
from firerl.storage.generation import Point

quick = settings(max_examples=25, deadline=None, database=None, derandomize=True)


def config_of(scenario: Scenario) -> RunConfig:
    """Only what a trajectory looks at."""
    return config_for(
        Path("unused"),
        sizes=scenario.setup.sizes,
        evaluators=scenario.setup.evaluators,
        eval_interval=scenario.setup.eval_interval,
    )


@given(scenarios())
@quick
def test_the_best_is_the_winner_of_every_point(scenario: Scenario) -> None:
    window = scenario.settings.fitness_window
    log = scenario.simulate().log
    history = tell(initial_state(scenario.setup), [Point(t.reports, t.decisions) for t in log])
    config = replace(config_of(scenario), algo=AlgoConfig("fire", {"fitness_window": window}))
    last = math.nan
    for t, best in zip(log, trajectory(config, history).best, strict=True):
        leader = winner(t.after, t.decisions, window)
        if leader is not None and leader.objective is not None:
            last = leader.objective
        assert best == last or (math.isnan(best) and math.isnan(last))


@given(scenarios(synchronous=True))
@quick
def test_steps_are_those_of_every_worker(scenario: Scenario) -> None:
    log = scenario.simulate().log
    history = tell(initial_state(scenario.setup), [Point(t.reports, t.decisions) for t in log])
    found = trajectory(config_of(scenario), history)
    done, by_evaluators = 0, 0
    for t, steps, of_evaluators in zip(log, found.steps, found.evaluator_steps, strict=True):
        for w in t.before.workers:
            trained = t.reported()[w.id].step - w.step
            done += trained
            by_evaluators += trained if w.is_evaluator else 0
        assert (steps, of_evaluators) == (done, by_evaluators)


def test_the_median_is_of_what_healthy_members_reported_before_any_was_replaced(tmp_path: Path) -> None:
    config = config_for(tmp_path, "pbt")
    copy = Copy(0, 4, 20, 20, {"lr": 0.1}, {"lr": 0.2}, 0.0, 9.0)
    first = Point([Report(i, 10, float(i)) for i in range(5)], [])
    second = Point([*(Report(i, 20, 2.0 * i) for i in range(4)), Report(4, 20, failure="NaN")], [copy])
    third = Point([Report(0, 30, None), Report(1, 30, 7.0), Report(2, 30, 7.0), Report(3, 30, 7.0)], [])
    found = trajectory(config, tell(members_of(config), [first, second, third]))
    assert found.median.tolist() == [2.0, 3.0, 7.0]  # of 0 to 4; of 0 2 4 6; of 0 7 7 7
    assert found.best[2] == 7.0


def test_steps_of_evaluation_are_summed_over_workers_and_fresh_learners(tmp_path: Path) -> None:
    config = config_for(tmp_path, "pbt", sizes=(2,))
    fresh = Copy(1, 0, 20, 20, {"lr": 0.1}, {"lr": 0.2}, None, 9.0, fresh=True)
    counts = [(100, 50), (200, 90), (300, 95)]  # the second worker's learner is new after the second point
    points = [
        Point([Report(i, 10 * n, 1.0, {"evaluation_steps": float(c)}) for i, c in enumerate(pair)], [])
        for n, pair in enumerate(counts, start=1)
    ]
    points[1] = Point(points[1].reports, [fresh])
    found = trajectory(config, tell(members_of(config), points))
    assert found.evaluation_steps.tolist() == [150.0, 290.0, 290.0 + 100.0 + 95.0]
    assert found.steps.tolist() == [20, 40, 60]


def line(steps: list[int], best: list[float]) -> Trajectory:
    none = np.zeros(len(steps))
    return Trajectory(np.array(steps), none.astype(int), np.array(best), none, none, tuple(() for _ in steps))


def test_between_two_points_the_earlier_holds() -> None:
    path = line([10, 30, 60], [1.0, 4.0, 2.0])
    assert [path.index(budget) for budget in (9, 10, 29, 30, 1000)] == [-1, 0, 0, 1, 2]
    at = path.at(np.array([9.0, 10.0, 29.0, 30.0, 99.0]), path.best)
    assert math.isnan(at[0])
    assert at[1:].tolist() == [1.0, 1.0, 4.0, 2.0]


@pytest.mark.parametrize(("start", "end"), [(10, 60), (10, 45), (20, 40), (12, 25), (10, 100), (60, 60)])
def test_the_area_is_the_mean_over_single_steps(start: int, end: int) -> None:
    path = line([10, 30, 60], [1.0, 4.0, 2.0])
    singles = path.at(np.arange(start, max(end, start + 1)).astype(float), path.best)
    assert path.area(start, end) == pytest.approx(singles.mean())

"""When a run will be over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firerl import envs
from firerl.session.pace import Pace


def test_evaluators_that_wait_for_their_first_work_are_expected_to_take_time():
    pace = Pace(lambda steps: 1.0, workers=8, processes=2, begun=0, steps=1000)
    pace.round_done(100, active=6)  # three in each process: nine rounds of four follow
    assert pace.seconds_left(30.0) == pytest.approx(9 * 40.0)


def test_workers_in_processes_of_their_own_take_as_long_as_one():
    pace = Pace(lambda steps: 1.0, workers=8, processes=8, begun=0, steps=1000)
    pace.round_done(100, active=6)
    assert pace.seconds_left(30.0) == pytest.approx(9 * 30.0)


def test_a_run_that_goes_on_counts_its_own_rounds_alone():
    pace = Pace(lambda steps: 1.0, workers=4, processes=1, begun=500, steps=1000)
    pace.round_done(600, active=4)
    pace.round_done(700, active=4)
    assert pace.seconds_left(20.0) == pytest.approx(30.0)


@given(st.integers(1, 19), st.floats(0.5, 3.0))
def test_steps_that_become_dearer_are_foreseen(rounds: int, later: float):
    def cost(steps: int) -> float:
        return (min(steps, 400) + later * max(steps - 400, 0)) / steps if steps else 1.0

    pace = Pace(cost, workers=1, processes=1, begun=0, steps=2000)
    for k in range(rounds):
        pace.round_done(100 * (k + 1), active=1)
    elapsed = 100 * rounds * cost(100 * rounds)
    assert elapsed + pace.seconds_left(elapsed) == pytest.approx(400 + later * 1600)


def test_a_humanoid_that_stands_costs_more_than_one_that_falls():
    assert envs.cost_of("Humanoid", 40_000) == envs.cost_of("Hopper-v5", 4_000_000) == 1.0
    assert envs.cost_of("Humanoid-v5", 80_000) == pytest.approx(1.125)
    assert envs.cost_of("Humanoid", 0) == 1.0

"""Who is ahead in P1, and whose saved state holds that network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import NOW, READY, Scenario, busy, idle, make_setup, member, point, scenarios

from firerl.evolution import curves
from firerl.evolution.algorithms import fire
from firerl.evolution.population import Copy, Decision, Promote, State, Worker, contenders
from firerl.evolution.winner import Leader, smoothed_leader, winner


def state(*workers: Worker) -> State:
    return State(workers)


def test_the_best_healthy_member_of_p1() -> None:
    population = state(
        member(0, curve=[9.0, 1.0]),
        member(1, curve=[0.0, 3.0], network_step=77),
        member(2, curve=[99.0], failed=True),
        member(3, 2, curve=[50.0]),
        busy(4, 2, 3, 0, [70.0]),
    )
    assert winner(population, [], 1) == Leader(1, 1, 3.0, 77)
    assert winner(population, [], 2) == Leader(0, 0, 5.0, 90)  # means 5 and 1.5


def test_without_evaluators_every_sub_population_may_win() -> None:
    population = state(member(0, curve=[1.0]), member(1, 2, curve=[3.0]), member(2, 3, curve=[9.0], failed=True))
    assert winner(population, [], 1) == Leader(1, 1, 3.0, 90)
    assert contenders(population) == list(population.workers)


def test_nobody_is_healthy() -> None:
    population = state(member(0, failed=True), member(1, failed=True), member(2, 2, curve=[1.0]), idle(3))
    assert winner(population, [], 1) is None
    assert smoothed_leader(population, []) is None


def test_any_objective_beats_none() -> None:
    assert winner(state(member(0), member(1, curve=[-1e9])), [], 1) == Leader(1, 1, -1e9, 90)
    leader = winner(state(member(0, failed=True), member(1)), [], 1)
    assert leader == Leader(1, 1, None, 90)


def test_a_promoted_winners_network_is_in_the_evaluators_file() -> None:
    """States are saved before the decisions of their point."""
    workers = [
        member(0, curve=[0.0, 0.5]),
        member(1, curve=[0.0]),
        member(2, 2, ready_step=90),
        member(3, 2, ready_step=90),
        busy(4, 2, 2, 0, [0.0, 1.0], network_step=400),
    ]
    options = fire.Settings(significance=0.3, min_points=3)
    after, decisions = point(make_setup((2, 2), 1), options, workers, {0: 1.0, 1: -1.0, 4: 2.0})
    assert {type(d) for d in decisions} >= {Promote, Copy}
    assert winner(state(*after.values()), decisions, 1) == Leader(0, 4, 2.0, 410)
    leader = smoothed_leader(state(*after.values()), decisions)
    assert leader is not None
    assert leader.holder == 4
    later = winner(state(*after.values()), [], 1)  # at any later point the child's own file holds it
    assert later == Leader(0, 0, 2.0, 410)


def test_the_smoothed_leader_ends_highest_on_smooth_curves() -> None:
    spiky, steady = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 6.0], [4.0] * 8
    population = state(member(0, curve=spiky), member(1, curve=steady), member(2))
    smooth_end = float(curves.smooth(np.array(spiky))[-1])
    assert smooth_end < 4.0
    assert smoothed_leader(population, []) == Leader(1, 1, 4.0, 90)
    assert winner(population, [], 1) == Leader(0, 0, 6.0, 90)


def test_without_objectives_a_network_that_was_saved_leads() -> None:
    """Member 0 failed and copies 1 at this very point: its own file holds the network that failed."""
    workers = [member(0, ready_step=NOW - READY), member(1, ready_step=NOW - READY)]
    after, decisions = point(make_setup((2,)), fire.Settings(), workers, {0: "ValueError"})
    assert any(isinstance(d, Copy) for d in decisions)
    leader = winner(state(*after.values()), decisions, 1)
    assert leader is not None
    assert leader.holder == 1


@given(scenarios())
@hypothesis_settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_the_winner_of_any_run_is_held_by_who_trained_it(scenario: Scenario) -> None:
    for t in scenario.simulate().log:
        leader = winner(t.after, t.decisions, t.settings.fitness_window)
        p1 = [w for w in t.after.workers if w.population == 1 and not w.failed]
        if leader is None:
            assert not p1
            continue
        best = t.after.workers[leader.worker]
        assert best in p1
        assert leader.network_step == best.network_step
        holder = t.reported()[leader.holder]
        assert holder.network_step == best.network_step
        assert not holder.failed
        made: list[Decision] = [d for d in t.decisions if isinstance(d, Promote) and d.child == best.id]
        assert leader.holder == (made[0].worker if made else best.id)
        means = [np.mean(w.curve[-t.settings.fitness_window :]) for w in p1 if w.curve]
        assert leader.objective == (pytest.approx(max(means), abs=1e-9) if means else None)

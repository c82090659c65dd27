"""Where a network comes from, worked out by hand and against what a simulated engine really trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import Scenario, scenarios

from firerl.evolution import lineage
from firerl.evolution.lineage import Segment
from firerl.evolution.population import (
    Copy,
    Decision,
    Promote,
    Set,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
    initial_state,
)

A, B, C, D = ({"lr": value} for value in (0.4, 0.3, 0.2, 0.1))

INITIAL = State(
    (
        Worker(0, 1, False, A),
        Worker(1, 1, False, B),
        Worker(2, 2, False, C),
        Worker(3, 2, False, D),
        Worker(4, 2, True),
    )
)


def copy(worker: int, donor: int, network_step: int, values: dict[str, float]) -> Copy:
    return Copy(worker, donor, network_step, network_step, {}, values, 0.0, 1.0)


def start(worker: int, parent: int, child: int, network_step: int, values: dict[str, float]) -> StartEvaluator:
    return StartEvaluator(worker, parent, child, network_step, network_step, values)


def path(decisions: Sequence[Decision], worker: int, network_step: int) -> list[tuple[Any, ...]]:
    return [
        (s.worker, s.origin, s.start, s.end, s.hyperparameters)
        for s in lineage.segments(INITIAL, decisions, worker, network_step)
    ]


def test_a_member_that_nobody_touched() -> None:
    assert path([], 1, 70) == [(1, "initial", 0, 70, B)]
    assert path([copy(0, 1, 50, D)], 1, 70) == [(1, "initial", 0, 70, B)]
    assert path([], 1, 0) == []


def test_through_changes_of_hyperparameters_alone() -> None:
    """What worker 0 changed before it was copied belongs to the copy's past, what it changed later does not."""
    decisions = [Set(0, 20, 20, C), copy(1, 0, 50, D), Set(0, 60, 60, B)]
    assert path(decisions, 1, 70) == [(0, "initial", 0, 20, A), (0, "set", 20, 50, C), (1, "copy", 50, 70, D)]
    assert path(decisions, 0, 70) == [(0, "initial", 0, 20, A), (0, "set", 20, 60, C), (0, "set", 60, 70, B)]


def test_through_a_copy_an_evaluator_and_a_promotion() -> None:
    """Parent 3 copies 2 at 100; evaluator 4 takes it at 150 under child 0's rate; promoted at 220, trained to 300."""
    e = {"lr": 0.25}
    decisions: list[Decision] = [
        copy(3, 2, 100, e),
        start(4, 3, 0, 150, A),
        Promote(4, 3, 0, 220, 220, 7, 1.0, 0.001),
        start(4, 2, 1, 220, B),
        StopEvaluator(4, 2, 1, 260, "no-improvement", 4, -1.0, 1.0),
    ]
    expected = [
        (2, "initial", 0, 100, C),
        (3, "copy", 100, 150, e),
        (4, "evaluator", 150, 220, A),
        (0, "promotion", 220, 300, A),
    ]
    assert path(decisions, 0, 300) == expected
    assert path(decisions, 3, 300) == [(2, "initial", 0, 100, C), (3, "copy", 100, 300, e)]
    assert path(decisions, 4, 260) == [(2, "initial", 0, 220, C), (4, "evaluator", 220, 260, B)]
    assert lineage.schedule(lineage.segments(INITIAL, decisions, 0, 300)) == [
        {"from": 0, "to": 100, "hyperparameters": C},
        {"from": 100, "to": 150, "hyperparameters": e},
        {"from": 150, "to": 300, "hyperparameters": A},
    ]


def test_a_donor_that_moves_on_does_not_change_what_was_copied() -> None:
    decisions = [copy(0, 1, 50, D), copy(1, 2, 80, A)]
    assert path(decisions, 0, 120) == [(1, "initial", 0, 50, B), (0, "copy", 50, 120, D)]
    assert path(decisions, 1, 120) == [(2, "initial", 0, 80, C), (1, "copy", 80, 120, A)]


def test_decisions_of_one_point_count_in_their_order() -> None:
    """Promoted and copied at once: the copy has the evaluator's network; stretches of no steps are left out."""
    decisions: list[Decision] = [
        start(4, 2, 0, 50, A),
        Promote(4, 2, 0, 90, 90, 7, 1.0, 0.0),
        copy(1, 0, 90, D),
        start(4, 3, 0, 90, A),
    ]
    assert path(decisions, 1, 90) == [(2, "initial", 0, 50, C), (4, "evaluator", 50, 90, A)]
    assert path(decisions, 1, 99)[-1] == (1, "copy", 90, 99, D)
    assert len(path(decisions, 1, 99)) == 3


def test_a_network_may_start_again_from_an_earlier_step() -> None:
    """In asynchronous runs a copied network can be behind: its axis is its own."""
    assert path([copy(0, 1, 30, D)], 0, 45) == [(1, "initial", 0, 30, B), (0, "copy", 30, 45, D)]


def test_equal_neighbours_are_joined() -> None:
    rows = lineage.schedule([Segment(0, "initial", 0, 10, A), Segment(1, "copy", 10, 20, dict(A))])
    assert rows == [{"from": 0, "to": 20, "hyperparameters": A}]
    rows = lineage.schedule(
        [Segment(0, "initial", 0, 10, A), Segment(1, "copy", 10, 20, B), Segment(0, "copy", 20, 30, A)]
    )
    assert [row["hyperparameters"] for row in rows] == [A, B, A]


@given(scenarios())
@hypothesis_settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_the_schedule_is_what_the_engine_trained(scenario: Scenario) -> None:
    """For every member and busy evaluator, through copies and evaluator successes, in either mode."""
    simulation = scenario.simulate()
    decisions = [d for t in simulation.log for d in t.decisions]
    for w in simulation.state.workers:
        if w.is_evaluator and not w.evaluation:
            continue
        history = simulation.networks[w.id].history()
        assert sum(steps for _, steps in history) == w.network_step
        segments = lineage.segments(initial_state(scenario.setup), decisions, w.id, w.network_step)
        assert [s.end for s in segments[:-1]] == [s.start for s in segments[1:]]
        rows = lineage.schedule(segments)
        assert [(row["hyperparameters"], row["to"] - row["from"]) for row in rows] == history  # type: ignore[operator]

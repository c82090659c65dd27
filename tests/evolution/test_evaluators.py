"""What evaluators decide, from the specification's section of that name.

Curves of three points and constant curves are their own smooth curves, so the numbers here are worked out by hand.
With curves that start at one value the first pair is a tie; one win of one is p = 1/2, two of two 1/4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from scipy.stats import chisquare
from simulate import BEFORE, NOW, busy, idle, make_setup, member, of, point

from firerl.evolution.algorithms import fire
from firerl.evolution.evaluators import least_points
from firerl.evolution.population import Copy, Evaluation, Promote, Report, StartEvaluator, State, StopEvaluator, Worker

P = 0.3  # two wins of two succeed
RESTING: dict[str, Any] = {"ready_step": BEFORE}  # no ready at step 100
BETTER, CHILD = [0.0, 1.0, 2.0], [0.0, 0.5, 1.0]  # two wins, best_score_diff 1


def settings(**options: Any) -> fire.Settings:
    return fire.Settings(**{"significance": P, "min_points": 3, "max_eval_steps": 1000, **options})


def judge(
    eta: Sequence[float], rho: Sequence[float], started: int = 0, **options: Any
) -> tuple[dict[int, Worker], Promote | StopEvaluator | None]:
    """The verdict on evaluator 4 (curve eta, parent 2) against child 0 (curve rho), at its step 100."""
    workers = [
        member(0, curve=rho[:-1], **RESTING),
        member(1, curve=[0.0], **RESTING),
        member(2, 2, network_step=300, **RESTING),
        member(3, 2, **RESTING),
        busy(4, 2, 2, 0, eta[:-1], started=started, network_step=350),
    ]
    after, decisions = point(make_setup((2, 2), 1), settings(**options), workers, {0: rho[-1], 4: eta[-1]})
    verdicts = of(Promote | StopEvaluator, decisions)  # type: ignore[arg-type]
    assert len(verdicts) <= 1
    return after, verdicts[0] if verdicts else None


def reason(eta: Sequence[float], rho: Sequence[float], started: int = 0, **options: Any) -> str | None:
    """The reason of a stop, "success", or None: go on."""
    verdict = judge(eta, rho, started, **options)[1]
    return verdict.reason if isinstance(verdict, StopEvaluator) else "success" if verdict else None


def test_success_gives_the_child_the_evaluators_network_and_curve() -> None:
    after, promote = judge(BETTER, CHILD)
    assert promote == Promote(4, 2, 0, NOW, 360, 3, 1.0, 0.25)
    child = after[0]
    assert (child.curve, child.network_step, child.replaced_step) == ((0.0, 1.0, 2.0), 360, NOW)
    assert (child.hyperparameters, child.step, child.ready_step) == ({"lr": 0.01}, NOW, BEFORE)


def test_success_needs_a_p_value_below_p_and_a_better_best() -> None:
    assert reason(BETTER, CHILD) == "success"
    assert reason(BETTER, CHILD, significance=0.25) is None  # p = 1/4 is not below 1/4
    # One win of two, p = 3/4; below p = 0.8, so that only the best decides.
    assert reason([0.0, 1.0, 0.0], [0.0, 0.5, 0.5], significance=0.8) == "success"
    assert reason([0.0, 1.0, 1.0], [0.0, 0.5, 2.0], significance=0.8) is None
    assert reason([0.0, 1.0, 1.0], [0.0, 0.5, 1.0], significance=0.8) is None  # one win, one tie, best equal


def test_patience_shrinks_as_time_goes_by() -> None:
    """p = 3/4 ends the evaluation once 3/4 > 0.3 + 1 - T/100, which is when T > 55."""
    eta, rho = [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]
    assert reason(eta, rho, started=NOW - 54, max_eval_steps=100) is None
    assert reason(eta, rho, started=NOW - 56, max_eval_steps=100) == "no-improvement"
    # p = 1 ends it as soon as 1 > 0.3 + 1 - T/100.
    assert reason([0.0] * 3, [0.0] * 3, started=NOW - 29, max_eval_steps=100) is None
    assert reason([0.0] * 3, [0.0] * 3, started=NOW - 31, max_eval_steps=100) == "no-improvement"


def test_a_stop_tells_what_it_saw() -> None:
    after, stop = judge([0.0, 1.0, 0.0], [0.0, 0.5, 0.5], started=NOW - 60, max_eval_steps=100)
    assert stop == StopEvaluator(4, 2, 0, NOW, "no-improvement", 3, 0.5, 0.75)
    assert after[0].curve == (0.0, 0.5, 0.5)


def test_no_verdict_on_fewer_than_four_points_of_overlap() -> None:
    usual = {"significance": 0.01, "min_points": fire.Settings().min_points}
    assert usual["min_points"] == 4
    # Equal constant curves, p = 1: at T = 50 of 1000 patience is 0.96.
    for points, expected in ((1, None), (3, None), (4, "no-improvement"), (7, "no-improvement")):
        assert reason([1.0] * points, [1.0] * points, started=NOW - 50, **usual) == expected
    # The overlap counts, not the evaluator's own points.
    assert reason([1.0] * 9, [1.0] * 3, started=NOW - 50, **usual) is None
    assert reason([1.0] * 3, [1.0] * 9, started=NOW - 50, **usual) is None


def test_time_is_up_also_with_few_points() -> None:
    for points in (1, 2, 3):
        curve = [1.0] * points
        assert reason(curve, curve, started=NOW - 99, min_points=4, max_eval_steps=100) is None
        assert reason(curve, curve, started=NOW - 100, min_points=4, max_eval_steps=100) == "no-improvement"


def test_success_without_overlap_needs_seven_points() -> None:
    for points, expected in ((4, None), (6, None), (7, "success"), (9, "success")):
        eta = [10.0 + i for i in range(points)]
        assert reason(eta, [0.0] * 12, significance=0.01, min_points=4) == expected
    _, promote = judge([10.0 + i for i in range(7)], [0.0] * 12, significance=0.01, min_points=4)
    assert isinstance(promote, Promote)
    assert (promote.points, promote.p_value) == (7, 0.0)
    assert promote.best_score_diff > 0
    assert [least_points(p) for p in (0.3, 0.05, 0.01, 0.001)] == [2, 5, 7, 10]


def test_above_the_child_but_not_rising_is_no_success() -> None:
    assert reason([10.0] * 8, [0.0] * 8, significance=0.01) is None


@pytest.mark.parametrize("eta", [[-10.0] * 3, [10.0, 11.0, 12.0], [-10.0] * 8, [10.0] * 8])
def test_without_overlap_an_evaluator_runs_to_its_last_step(eta: list[float]) -> None:
    rho = [0.0] * 8
    usual = {"significance": 0.01, "min_points": 4, "max_eval_steps": 100}
    assert reason(eta, rho, started=NOW - 99, **usual) is None
    assert reason(eta, rho, started=NOW - 100, **usual) == "no-overlap"
    _, stop = judge(eta, rho, started=NOW - 100, **usual)
    assert isinstance(stop, StopEvaluator)
    assert stop.points == len(eta)


def test_timeout_where_neither_success_nor_another_stop_applies() -> None:
    # p = 3/4 <= 0.8, but the child's best is better; p = 1/4 is not below 1/4, and not above it.
    assert reason([0.0, 1.0, 1.0], [0.0, 0.5, 2.0], NOW - 100, significance=0.8, max_eval_steps=100) == "timeout"
    assert reason([0.0, 1.0, 1.0], [0.0, 0.5, 2.0], NOW - 99, significance=0.8, max_eval_steps=100) is None
    assert reason(BETTER, CHILD, NOW - 100, significance=0.25, max_eval_steps=100) == "timeout"
    assert reason(BETTER, CHILD, NOW - 100, max_eval_steps=100) == "success"


# Several evaluators


def test_two_successes_on_one_child() -> None:
    """The larger best_score_diff wins, here 3 - 1 against 2 - 1; the other goes on, against the new curve."""
    workers = [
        *(member(id, curve=CHILD[:-1], **RESTING) for id in (0, 1)),
        *(member(id, 2, **RESTING) for id in (2, 3)),
        busy(4, 2, 2, 0, BETTER[:-1]),
        busy(5, 2, 3, 0, BETTER[:-1]),
    ]
    setup = make_setup((2, 2), 2)
    after, decisions = point(setup, settings(), workers, {0: 1.0, 1: 1.0, 4: 2.0, 5: 3.0})
    assert of(Promote, decisions) == [Promote(5, 3, 0, NOW, NOW, 3, 2.0, 0.25)]
    assert of(StopEvaluator, decisions) == []
    assert after[4].evaluation == Evaluation(2, 0, 0)
    assert after[4].curve == (0.0, 1.0, 2.0)
    assert after[0].curve == (0.0, 1.0, 3.0)
    assert after[5].evaluation is not None  # it has begun again at once
    assert after[5].evaluation.started == NOW
    # At the next point it is judged against [0, 1, 3, 3], and stops: its patience is long over at T = max_eval_steps.
    _, decisions = point(setup, settings(max_eval_steps=110), list(after.values()), {0: 3.0, 1: 1.0, 4: 2.0})
    [stop] = of(StopEvaluator, decisions)
    assert (stop.worker, stop.reason) == (4, "no-improvement")
    assert stop.best_score_diff < -0.5


def test_siblings_of_a_success_go_on_even_with_a_bad_verdict() -> None:
    workers = [
        *(member(id, curve=CHILD[:-1], **RESTING) for id in (0, 1)),
        *(member(id, 2, **RESTING) for id in (2, 3, 4)),
        busy(5, 2, 2, 0, [0.0, -1.0]),
        busy(6, 2, 3, 0, BETTER[:-1]),
        busy(7, 2, 4, 1, [0.0, -1.0]),
    ]
    objectives = {0: 1.0, 1: 1.0, 5: -2.0, 6: 2.0, 7: -2.0}
    after, decisions = point(make_setup((2, 3), 3), settings(max_eval_steps=100), workers, objectives)
    assert [p.worker for p in of(Promote, decisions)] == [6]
    assert [(s.worker, s.reason) for s in of(StopEvaluator, decisions)] == [(7, "no-improvement")]  # on another child
    assert after[5].evaluation == Evaluation(2, 0, 0)


def test_successes_come_by_falling_difference_then_stops_in_worker_order() -> None:
    workers = [
        *(member(id, curve=CHILD[:-1], **RESTING) for id in range(4)),
        *(member(id, 2, **RESTING) for id in range(4, 8)),
        busy(8, 2, 4, 3, [0.0, -1.0]),
        busy(9, 2, 5, 1, BETTER[:-1]),
        busy(10, 2, 6, 0, BETTER[:-1]),
        busy(11, 2, 7, 2, [0.0, -1.0]),
    ]
    objectives = {**dict.fromkeys(range(4), 1.0), 8: -2.0, 9: 2.0, 10: 4.0, 11: -2.0}
    _, decisions = point(make_setup((4, 4), 4), settings(max_eval_steps=100), workers, objectives)
    assert [d.worker for d in decisions[:4]] == [10, 9, 8, 11]
    assert [d.worker for d in of(StartEvaluator, decisions)] == [8, 9, 10, 11]
    assert len(decisions) == 8


def test_an_evaluator_is_judged_when_it_reports_only() -> None:
    workers = [
        *(member(id, curve=CHILD, **RESTING) for id in (0, 1)),
        *(member(id, 2, **RESTING) for id in (2, 3)),
        busy(4, 2, 2, 0, BETTER),
    ]
    state = State(tuple(workers))
    reports = [Report(0, NOW, 1.0)]
    assert fire.decide(make_setup((2, 2), 1), settings(), state, reports)[1] == []


# The fitness of parents, seen where a ready ranks by it


def parents(curves: dict[int, list[float]], **options: Any) -> tuple[list[Copy], list[Any]]:
    """The copies among parents 2, 3, ... whose evaluators have these curves at a ready, and all decisions."""
    n = len(curves)
    workers = [member(id, **RESTING) for id in (0, 1)]
    workers += [member(2 + i, 2) for i in range(n)]
    workers += [busy(2 + n + i, 2, 2 + i, 0, curve[:-1]) for i, curve in enumerate(curves.values())]
    objectives = {2 + n + i: curve[-1] for i, curve in enumerate(curves.values())}
    _, decisions = point(make_setup((2, n), n), settings(**options), workers, objectives)
    return of(Copy, decisions), decisions


def test_fitness_of_parents_is_the_sum_of_best_score_diffs() -> None:
    """Bests 2, 5, 3, 4 from one start: fitness 2-5+2-3+2-4 = -6, 3+2+1 = 6, 1-2-1 = -2, 2-1+1 = 2; k = 1."""
    [copy], _ = parents({2: [0.0, 1.0, 2.0], 3: [0.0, 1.0, 5.0], 4: [0.0, 3.0, 2.0], 5: [0.0, 4.0, 0.0]})
    assert (copy.worker, copy.fitness, copy.donor, copy.donor_fitness) == (2, -6.0, 3, 6.0)


def test_an_evaluator_curve_counts_from_min_points_on() -> None:
    curves = {2: [0.0, 1.0, 2.0], 3: [0.0, 1.0, 5.0], 4: [0.0, -9.0], 5: [0.0, 99.0]}
    [copy], _ = parents(curves)
    assert (copy.worker, copy.fitness, copy.donor, copy.donor_fitness) == (2, -3.0, 3, 3.0)
    assert parents(curves, min_points=4)[0] == []
    [copy], _ = parents(curves, min_points=2)  # the overlap of all ends after two points with 4 and 5
    assert (copy.worker, copy.donor) == (4, 5)


def test_a_parent_without_an_evaluator_neither_wins_nor_loses() -> None:
    workers = [
        *(member(id, **RESTING) for id in (0, 1)),
        *(member(id, 2, curve=[1000.0 * (id - 4)]) for id in range(2, 8)),  # objectives do not matter here
        busy(8, 2, 4, 0, [0.0, 1.0]),
        busy(9, 2, 5, 0, [0.0, 1.0]),
    ]
    for seed in range(10):
        _, decisions = point(make_setup((2, 6), 2, seed=seed), settings(), workers, {8: 2.0, 9: 3.0})
        assert [(c.worker, c.donor) for c in of(Copy, decisions)] == [(4, 5)]


# Starts


def begin(workers: list[Worker], sizes: tuple[int, ...] = (2, 4), seed: int = 0, **options: Any) -> list[Any]:
    """The decisions of a point without objectives; evaluators are the last workers."""
    return point(make_setup(sizes, len(workers) - sum(sizes), seed=seed), settings(**options), workers, {})[1]


def group(population: int, ids: range, **fields: Any) -> list[Worker]:
    """Members that have no ready at step 100."""
    return [member(id, population, **{**RESTING, **fields}) for id in ids]


def test_a_start_says_what_is_copied() -> None:
    workers = [
        *(member(0, curve=[1.0], lr=0.05, **RESTING), member(1, curve=[0.0], **RESTING)),
        *group(2, range(2, 4), network_step=240),
        idle(4),
    ]
    after, [begun] = point(make_setup((2, 2), 1), settings(), workers, {})
    assert isinstance(begun, StartEvaluator)
    assert (begun.worker, begun.child, begun.step, begun.network_step, begun.fresh) == (4, 0, NOW, 250, False)
    assert begun.hyperparameters == {"lr": 0.05}
    evaluator = after[4]
    assert evaluator.evaluation == Evaluation(begun.parent, 0, NOW)
    assert (evaluator.curve, evaluator.network_step, evaluator.hyperparameters) == ((), 250, {"lr": 0.05})


def test_the_least_recently_evaluated_parent_is_next() -> None:
    """Two evaluators, four parents, never two on one: each parent's turn comes before anybody's second."""
    setup, options = make_setup((2, 4), 2), settings(min_points=1, max_eval_steps=10, significance=0.01)
    workers = [*group(1, range(2), curve=[0.0]), *group(2, range(2, 6)), idle(6), idle(7)]
    turns: list[set[int]] = []
    for _ in range(12):
        objectives = {w.id: 0.0 if w.population == 1 else -1.0 for w in workers}
        workers = [replace(w, ready_step=w.step) for w in workers]
        after, decisions = point(setup, options, workers, objectives)
        workers = list(after.values())
        turns.append({b.parent for b in of(StartEvaluator, decisions)})
    assert all(len(turn) == 2 for turn in turns)
    assert all(a | b == {2, 3, 4, 5} for a, b in pairwise(turns))


def test_recently_is_a_matter_of_when_not_of_the_members_own_steps() -> None:
    """Asynchronous: parent 2 is ten times as far as parent 3. It was evaluated first, so its turn comes first."""
    setup, options = make_setup((2, 2), 1), settings(min_points=1, max_eval_steps=10, significance=0.01)
    fast = {"step": 900, "ready_step": 900, "network_step": 900}
    workers: list[Worker] = [*group(1, range(2), curve=[0.0]), member(2, 2, **fast), member(3, 2, **RESTING), idle(4)]
    turns = []
    for _ in range(6):
        objectives = {0: 0.0, 1: 0.0, 4: -1.0}
        workers = [replace(w, ready_step=w.step) for w in workers]
        after, decisions = point(setup, options, workers, objectives)
        workers = list(after.values())
        turns += [b.parent for b in of(StartEvaluator, decisions)]
    assert turns in ([2, 3] * 3, [3, 2] * 3)


def test_equally_old_parents_are_drawn() -> None:
    workers = [*group(1, range(2)), *group(2, range(2, 6)), idle(6)]
    drawn = Counter(begin(workers, seed=seed)[0].parent for seed in range(400))
    assert set(drawn) == {2, 3, 4, 5}
    assert chisquare(list(drawn.values())).pvalue > 1e-3
    assert begin(workers, seed=3) == begin(workers, seed=3)


def test_just_explored_parents_come_last() -> None:
    """Member 3 has lost itself at this ready; it was never evaluated, yet 4, evaluated once, comes before it."""
    workers = [
        *group(1, range(2)),
        member(2, 2, evaluated_point=80),
        member(3, 2, evaluated_point=-1),
        member(4, 2, evaluated_point=40),
        busy(5, 2, 2, 0, [0.0, 1.0]),
        busy(6, 2, 3, 0, [0.0, 0.0]),
        idle(7),
    ]
    _, decisions = point(make_setup((2, 3), 3), settings(), workers, {5: 2.0, 6: 0.0})
    assert [c.worker for c in of(Copy, decisions)] == [3]
    assert [(b.worker, b.parent) for b in of(StartEvaluator, decisions)] == [(6, 4), (7, 3)]


def children(workers: list[Worker], seed: int = 0) -> tuple[list[int], list[int]]:
    """(who copied, whose hyperparameters evaluators take) among children 0..3 with parents 4 and 5, at a ready."""
    setup = make_setup((4, 2), 1, seed=seed)
    _, decisions = point(setup, settings(truncation=0.5), [*workers, *group(2, range(4, 6)), idle(6)], {})
    return [c.worker for c in of(Copy, decisions)], [b.child for b in of(StartEvaluator, decisions)]


def test_the_fittest_child_is_taken() -> None:
    assert children([member(id, curve=[float(id % 3)], **RESTING) for id in range(4)]) == ([], [2])


def test_a_child_that_explores_at_this_moment_is_not_taken() -> None:
    """Half of the members copy; what is left are the old members 2 and 3. Without a fitness a draw decides."""
    curves = [[0.0], [1.0], [3.0], [2.0]]
    assert children([member(id, curve=curve) for id, curve in enumerate(curves)]) == ([0, 1], [2])
    broken = [member(id, failed=id < 3, ready_step=80) for id in range(4)]
    assert {children(broken, seed) == ([0, 1, 2], [3]) for seed in range(10)} == {True}


def test_before_any_evaluation_the_child_is_drawn() -> None:
    drawn = Counter(children(group(1, range(4)), seed)[1][0] for seed in range(400))
    assert set(drawn) == {0, 1, 2, 3}
    assert chisquare(list(drawn.values())).pvalue > 1e-3


def grandparents(fitness: bool, seed: int) -> int:
    """The child of P2 whose hyperparameters evaluator 8, of P3, takes; two of P2 may have a fitness."""
    curves = [[0.0, 1.0], [0.0, 0.0]] if fitness else [[], []]
    workers = [
        *group(1, range(2)),
        *(member(id, 2, curve=[float(id)], **RESTING) for id in (2, 3, 4)),
        *group(3, range(5, 7)),
        busy(7, 2, 2, 0, curves[0]),
        idle(8, 3),
        busy(9, 2, 3, 0, curves[1]),
    ]
    objectives = {7: 2.0, 9: 0.0} if fitness else {}
    _, decisions = point(make_setup((2, 3, 2), 3, seed=seed), settings(), workers, objectives)
    [begun] = of(StartEvaluator, decisions)
    return begun.child


def test_a_child_without_fitness_is_taken_by_its_objective() -> None:
    assert {grandparents(False, seed) for seed in range(10)} == {4}  # objectives 2, 3, 4
    assert {grandparents(True, seed) for seed in range(10)} == {2}  # only 2 and 3 have a fitness: 2 and -2


def test_equally_fit_children_are_drawn_in_keyed_random_order() -> None:
    drawn = Counter(
        children([member(id, curve=[1.0], **RESTING) for id in range(4)], seed)[1][0] for seed in range(400)
    )
    assert chisquare([drawn[id] for id in range(4)]).pvalue > 1e-3


def test_evaluators_wait_for_parents_and_children() -> None:
    assert begin([*group(1, range(2)), *group(2, range(2, 4)), idle(4)], (2, 2), min_steps_before_eval=NOW + 1) == []
    assert len(begin([*group(1, range(2)), *group(2, range(2, 4)), idle(4)], (2, 2), min_steps_before_eval=NOW)) == 1
    crowd = begin([*group(1, range(2)), *group(2, range(2, 4)), *(idle(id) for id in range(4, 8))], (2, 2))
    assert [b.worker for b in crowd] == [4, 5]
    assert {b.parent for b in crowd} == {2, 3}
    assert begin([*group(1, range(2)), *group(2, range(2, 4), failed=True), idle(4)], (2, 2)) == []

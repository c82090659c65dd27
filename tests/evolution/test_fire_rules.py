"""Rules of FIRE PBT that need more than one sub-population, curve or point: chains, failures, patience, differences."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from simulate import BEFORE, LR, NOW, Scenario, busy, idle, make_setup, member, of, point
from test_fire import check_run

from firerl.evolution import evaluators
from firerl.evolution.algorithms import fire
from firerl.evolution.curves import best_score_diff, overlap, smooth
from firerl.evolution.population import (
    Copy,
    Evaluation,
    Fail,
    Promote,
    Report,
    Setup,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)
from firerl.evolution.space import Space

RESTING: dict[str, Any] = {"ready_step": BEFORE}  # no ready at step 100
BETTER, CHILD = [0.0, 1.0, 2.0], [0.0, 0.5, 1.0]  # two wins of two, p = 1/4
quickly = hypothesis_settings(max_examples=100, deadline=None, database=None, derandomize=True)
noisy = st.lists(st.integers(-50, 50), min_size=1, max_size=25).map(lambda ys: np.array(ys, dtype=float))


def settings(**options: Any) -> fire.Settings:
    return fire.Settings(**{"significance": 0.3, "min_points": 3, "max_eval_steps": 1000, **options})


# Chains


def test_in_a_chain_of_four_five_evaluators_serve_in_turn() -> None:
    """Evaluators 8 to 12 serve P2, P3, P4, P2, P3; in each sub-population the member with the odd id is ahead."""
    members = [member(id, 1 + id // 2, curve=[float(id % 2)], **RESTING) for id in range(8)]
    workers = [*members, *(idle(8 + j, 2 + j % 3) for j in range(5))]
    for seed in range(5):
        setup = make_setup((2, 2, 2, 2), 5, seed=seed)
        starts = of(StartEvaluator, point(setup, settings(), workers, {})[1])
        assert [(s.worker, s.child) for s in starts] == [(8, 1), (9, 3), (10, 5), (11, 1), (12, 3)]
        parents = [s.parent for s in starts]
        assert {parents[0], parents[3]} == {2, 3}
        assert {parents[1], parents[4]} == {4, 5}
        assert parents[2] in (6, 7)


def test_in_a_chain_of_three_pairs_each_loser_copies_its_own_neighbour() -> None:
    """Size 2, k = 1. P1 by objectives 3 and 5; parents by their evaluators' bests 2 and 1, not by their objectives."""
    workers = [member(id, 1 + id // 2) for id in range(6)]
    for parent, child, curve in ((2, 1, BETTER), (3, 1, CHILD), (4, 3, CHILD), (5, 3, BETTER)):
        workers.append(busy(parent + 4, 1 + parent // 2, parent, child, curve[:-1]))
    told = {0: 3.0, 1: 5.0, 2: 0.0, 3: 9.0, 4: 9.0, 5: 0.0, 6: 2.0, 7: 1.0, 8: 1.0, 9: 2.0}
    after, decisions = point(make_setup((2, 2, 2), 4), settings(), workers, told)
    told_copies = [(c.worker, c.donor, c.fitness, c.donor_fitness) for c in of(Copy, decisions)]
    assert told_copies == [(0, 1, 3.0, 5.0), (3, 2, -1.0, 1.0), (4, 5, -1.0, 1.0)]
    # Stop 3: member 3 was a parent to 7 and a child to 8 and 9, member 4 a parent to 8; 6 goes on.
    assert [(s.worker, s.reason) for s in of(StopEvaluator, decisions)] == [(id, "replaced") for id in (7, 8, 9)]
    assert after[6].evaluation == Evaluation(2, 1, 0)
    # Who has just explored is nobody's child: P2's evaluator takes 1, P3's take 2.
    assert [(s.worker, s.child) for s in of(StartEvaluator, decisions)] == [(7, 1), (8, 2), (9, 2)]


def test_a_promotion_in_mid_chain_leaves_the_evaluator_of_that_parent_alone() -> None:
    """Evaluator 7 of P3 succeeds on member 2 of P2, whom evaluator 6 measures as a parent: no exploit, no stop 3."""
    workers = [
        *(member(id, curve=CHILD[:-1], **RESTING) for id in (0, 1)),
        *(member(id, 2, curve=CHILD[:-1], **RESTING) for id in (2, 3)),
        *(member(id, 3, **RESTING) for id in (4, 5)),
        busy(6, 2, 2, 0, CHILD[:-1]),
        busy(7, 3, 4, 2, BETTER[:-1], network_step=390),
    ]
    told = {**dict.fromkeys((0, 1, 2, 3, 6), 1.0), 7: 2.0}
    after, decisions = point(make_setup((2, 2, 2), 2), settings(), workers, told)
    assert [(p.worker, p.parent, p.child, p.best_score_diff) for p in of(Promote, decisions)] == [(7, 4, 2, 1.0)]
    assert (after[2].curve, after[2].network_step) == ((0.0, 1.0, 2.0), 400)
    assert after[6].evaluation == Evaluation(2, 0, 0)
    assert of(StopEvaluator, decisions) == []


@pytest.mark.parametrize(
    ("sizes", "count"), [((4, 3, 3, 2), 7), ((2, 2, 2, 2), 4), ((3, 2), 5), ((2, 2, 2), 9)], ids=str
)
@pytest.mark.parametrize("subset_seed", [None, 3], ids=["synchronous", "asynchronous"])
def test_uneven_chains_small_groups_and_spare_evaluators(
    sizes: tuple[int, ...], count: int, subset_seed: int | None
) -> None:
    """The rules hold, spare evaluators wait, and parents exploit where evaluators can measure 2k = 2 of them."""
    options = settings(max_eval_steps=120, min_points=4, significance=0.15)
    setup = Setup(sizes, count, Space.parse(LR), seed=4, eval_interval=10, ready_interval=50)
    simulation = Scenario(setup, options, 150, 0.01, 0.02, False, subset_seed).simulate()
    check_run(simulation)
    population = {w.id: w.population for w in simulation.state.workers}
    serving = Counter(w.population for w in simulation.state.workers if w.is_evaluator)
    assert set(serving) == set(range(2, len(sizes) + 1))
    decisions = [d for t in simulation.log for d in t.decisions]
    exploiting = {population[c.worker] for c in of(Copy, decisions) if not c.fresh}
    measured = {parents for parents, evaluators in serving.items() if evaluators >= 2}
    assert {1} <= exploiting <= {1} | measured
    if subset_seed is None:
        assert exploiting == {1} | measured
    for t in simulation.log[1:]:
        running = Counter(w.population for w in t.after.workers if w.evaluation)
        if subset_seed is None and not any(w.failed for w in t.after.workers):
            assert running == {p: min(sizes[p - 1], serving[p]) for p in serving}


# NaN


@pytest.mark.parametrize("objective", [math.nan, math.inf, -math.inf])
def test_an_objective_that_is_not_finite_is_a_failure_or_refused(objective: float) -> None:
    """Member 1 reports it as the failure that it is: no point, no rank; unmarked it is refused."""
    setup, state = make_setup((4,)), State(tuple(member(id, curve=[float(id)], **RESTING) for id in range(4)))
    reports = [Report(id, NOW, float(id)) for id in (0, 2, 3)]
    after, decisions = fire.decide(setup, settings(), state, [*reports, Report(1, NOW, objective, failure="NaN")])
    assert decisions == [Fail(1, NOW, "NaN")]
    assert (after.workers[1].curve, after.workers[1].failed) == ((1.0,), True)
    assert after.workers[0].curve == (0.0, 0.0)
    with pytest.raises(ValueError, match="that is a failure"):
        fire.decide(setup, settings(), state, [*reports, Report(1, NOW, objective)])


def test_a_child_with_a_nan_is_not_judged_and_its_evaluator_stops_when_it_comes_back() -> None:
    """Evaluator 4 would succeed on child 0, 2 - 1, were it healthy; at the ready member 0 copies member 1."""
    for ready in (NOW - 20, BEFORE):
        workers = [
            *(member(id, curve=CHILD, ready_step=ready) for id in (0, 1)),
            *(member(id, 2, **RESTING) for id in (2, 3)),
            busy(4, 2, 2, 0, BETTER[:-1]),
        ]
        after, decisions = point(make_setup((2, 2), 1), settings(), workers, {0: "NaN", 1: 1.0, 4: 2.0})
        if ready == BEFORE:
            assert decisions == [Fail(0, NOW, "NaN")]
            assert after[4].evaluation == Evaluation(2, 0, 0)
        else:
            _, copy, stop, begun = decisions
            assert (copy.worker, copy.donor, copy.fresh) == (0, 1, True)  # type: ignore[union-attr]
            assert stop == StopEvaluator(4, 2, 0, NOW, "replaced", 3, None, None)
            assert begun.child == 1  # type: ignore[union-attr]


# Patience


def verdict_after(elapsed: int, eta: list[int], rho: list[int], patience: str = "shrinking") -> Any:
    """The verdict on these curves, had they taken ``elapsed`` steps of 100."""
    evaluator = busy(4, 2, 2, 0, [float(y) for y in eta], started=NOW - elapsed, step=NOW)
    child: Worker = member(0, curve=[float(y) for y in rho])
    made = evaluators.smoothed([evaluator, child])
    options = fire.Settings(max_eval_steps=100, patience=patience)
    return evaluators.verdict(options, evaluator, made[4], made[0], child)


curve_values = st.lists(st.integers(-4, 4), min_size=4, max_size=12)


@given(curve_values, curve_values, st.integers(0, 150), st.integers(0, 150))
@quickly
def test_patience_only_shrinks(eta: list[int], rho: list[int], one: int, other: int) -> None:
    """What ends after T ends, for the same reason, after any longer time too."""
    early, late = (verdict_after(elapsed, eta, rho) for elapsed in sorted([one, other]))
    assert early is None or early == late


@given(st.integers(1, 200), st.integers(1, 200), st.floats(0.001, 0.5))
@quickly
def test_patience_is_p_and_what_is_left_of_the_time(elapsed: int, most: int, p: float) -> None:
    given_settings = fire.Settings(max_eval_steps=most, significance=p)
    left = (most - elapsed) / most if elapsed < most else 0.0
    assert evaluators.patience(given_settings, elapsed) == pytest.approx(p + left)


# Differences, on curves as they are smoothed in a run


@given(noisy, noisy)
@quickly
def test_best_score_diff_of_smooth_curves_is_antisymmetric_where_they_overlap(f: np.ndarray, g: np.ndarray) -> None:
    if overlap(smooth(f), smooth(g)):
        assert best_score_diff(f, g) == -best_score_diff(g, f)
    else:
        assert min(best_score_diff(f, g), best_score_diff(g, f)) == 0


@given(noisy, noisy, st.integers(-1000, 1000))
@quickly
def test_only_where_curves_stand_to_each_other_counts(f: np.ndarray, g: np.ndarray, shift: int) -> None:
    """Both moved alike: nothing changes. f wholly above: it does not matter by how much."""
    given_smooth = {"smooth_f": f, "smooth_g": g}
    moved = best_score_diff(f + shift, g + shift, smooth_f=f + shift, smooth_g=g + shift)
    assert moved == best_score_diff(f, g, **given_smooth)
    above = [f + 101 + height for height in (0, abs(shift))]
    assert len({best_score_diff(high, g, smooth_f=high, smooth_g=g) for high in above}) == 1


def judged(
    eta: np.ndarray, rho: np.ndarray, elapsed: int, unit: float, offset: float
) -> Promote | StopEvaluator | None:
    """The verdict on two curves in another unit, from another zero; its difference in the old unit."""
    evaluator = busy(1, 2, 2, 0, (unit * eta + offset).tolist(), started=NOW - elapsed, step=NOW)
    child = member(0, curve=(unit * rho + offset).tolist())
    made = evaluators.smoothed([evaluator, child])
    found = evaluators.verdict(fire.Settings(max_eval_steps=360), evaluator, made[1], made[0], child)
    if found is None or found.best_score_diff is None:
        return found
    return replace(found, best_score_diff=round(found.best_score_diff / unit, 6) + 0.0)


# On this grid sums with whole numbers and products with powers of two are exact: nothing but the place changes.
grid = st.lists(st.integers(-4096, 4096), min_size=2, max_size=20).map(lambda ys: np.array(ys) / 1024)


@given(
    grid, grid, st.sampled_from([0, 0, -9, 9]), st.integers(10, 400), st.integers(-9, 9), st.integers(-(2**17), 2**17)
)
@quickly
def test_a_verdict_is_the_same_in_any_unit_and_from_any_zero(
    eta: np.ndarray, rho: np.ndarray, height: int, elapsed: int, power: int, offset: int
) -> None:
    found = judged(eta + height, rho, elapsed, 1.0, 0)
    assert judged(eta + height, rho, elapsed, 2.0**power, 0) == found
    assert judged(eta + height, rho, elapsed, 1.0, offset) == found


@given(st.integers(7, 20), st.integers(4, 20), st.integers(0, 2**32), st.integers(-(2**30), 2**30))
@quickly
def test_an_evaluator_far_above_that_only_falls_is_never_promoted(n: int, m: int, seed: int, offset: int) -> None:
    """Nor one that falls so evenly that its smooth curve never rises: what it gains is exactly nothing."""
    draws = np.random.default_rng(seed)
    eta, rho = 100 - 3.0 * np.arange(n), draws.integers(-4096, 4096, m) / 1024
    assert (np.diff(smooth(eta)) < 0).all()
    assert not isinstance(judged(eta, rho, 300, 1.0, offset), Promote)


@given(st.lists(grid, min_size=2, max_size=7), st.integers(-9, 9), st.integers(-(2**17), 2**17))
@quickly
def test_parents_rank_the_same_in_any_unit_and_from_any_zero(some: list[np.ndarray], power: int, offset: int) -> None:
    def ranks(unit: float, offset: float) -> list[list[bool]]:
        workers = [busy(20 + i, 2, i, 9, (unit * y + offset).tolist()) for i, y in enumerate(some)]
        made = evaluators.smoothed(workers)
        found = evaluators.improvement_fitness({w.id: w for w in workers}, made, 4)
        values = list(found.values())
        return [[a < b for b in values] for a in values]

    assert ranks(2.0**power, 0) == ranks(1.0, 0)
    assert ranks(1.0, offset) == ranks(1.0, 0)


@given(noisy, noisy)
@quickly
def test_overlapping_parts_are_as_long_as_each_other_and_begin_side_by_side(f: np.ndarray, g: np.ndarray) -> None:
    """One part begins at its curve's first point; the other's has reached that height there, and not before."""
    shared = overlap(f, g)
    if shared:
        late, start = (f, shared.f) if shared.g == 0 else (g, shared.g)
        height = g[0] if shared.g == 0 else f[0]
        assert late[start] >= height
        assert (late[:start] < height).all()
        assert len(f[shared.f :][: shared.length]) == len(g[shared.g :][: shared.length]) == shared.length

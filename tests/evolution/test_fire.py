"""The order of one evaluation point, and what holds in any run of FIRE PBT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import (
    BEFORE,
    NOW,
    Scenario,
    Simulation,
    Transition,
    applied,
    busy,
    idle,
    make_setup,
    member,
    of,
    point,
    scenarios,
)

from firerl.errors import SettingError
from firerl.evolution import curves, plain
from firerl.evolution.algorithms import fire
from firerl.evolution.evaluators import improvement_fitness, least_points, smoothed
from firerl.evolution.exploit import objective_fitness
from firerl.evolution.population import (
    Copy,
    Evaluation,
    Fail,
    Promote,
    Report,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)

RESTING: dict[str, Any] = {"ready_step": BEFORE}  # no ready at step 100
BETTER, CHILD = [0.0, 1.0, 2.0], [0.0, 0.5, 1.0]  # two wins of two, p = 1/4


def settings(**options: Any) -> fire.Settings:
    return fire.Settings(**{"significance": 0.3, "min_points": 3, "max_eval_steps": 1000, **options})


# The order at one evaluation point


def ready_with_a_promotion(other: float) -> tuple[dict[int, Worker], list[Any]]:
    """A ready of P1 at which evaluator 4, ending at 2, is promoted into child 0, ending at 1, beside member 1."""
    workers = [
        member(0, curve=CHILD[:-1], lr=0.04),
        member(1, curve=[other], lr=0.001),
        *(member(id, 2, **RESTING) for id in (2, 3)),
        busy(4, 2, 2, 0, BETTER[:-1], network_step=500),
    ]
    return point(make_setup((2, 2), 1), settings(), workers, {0: 1.0, 1: other, 4: 2.0})


def test_a_promotion_comes_before_exploit_and_counts_there() -> None:
    """Before its promotion member 0 would lose, 1 against 1.5; with the evaluator's last point it wins."""
    after, decisions = ready_with_a_promotion(other=1.5)
    promote, copy, begun = decisions
    assert isinstance(promote, Promote)
    assert isinstance(copy, Copy)
    assert isinstance(begun, StartEvaluator)
    assert (copy.worker, copy.donor, copy.fitness, copy.donor_fitness) == (1, 0, 1.5, 2.0)
    assert (copy.network_step, copy.donor_hyperparameters) == (510, {"lr": 0.04})  # the evaluator's network
    assert after[1].network_step == 510
    assert (begun.worker, begun.child) == (4, 0)


def test_a_promoted_child_is_no_loser_and_nobody_takes_its_place() -> None:
    after, decisions = ready_with_a_promotion(other=9.0)
    assert of(Copy, decisions) == []
    assert after[0].curve == (0.0, 1.0, 2.0)
    assert after[0].ready_step == NOW


def test_at_a_later_ready_a_promoted_child_loses_like_any_other() -> None:
    after, _ = ready_with_a_promotion(other=9.0)
    workers = [replace(w, ready_step=80) if w.id < 2 else w for w in after.values()]
    _, decisions = point(make_setup((2, 2), 1), settings(), workers, {0: 2.0, 1: 9.0})
    assert [(c.worker, c.donor) for c in of(Copy, decisions)] == [(0, 1)]
    _, decisions = point(make_setup((2, 2), 1), settings(min_steps_before_ready=11), workers, {0: 2.0, 1: 9.0})
    assert of(Copy, decisions) == []  # its age counts from the promotion


def parents_ready(told: Mapping[int, float | str]) -> list[Any]:
    """A ready of P2 with evaluators 4 and 5 on its members 2 and 3; the first has nearly run out of patience."""
    workers = [
        *(member(id, curve=CHILD[:-1], **RESTING) for id in (0, 1)),
        *(member(id, 2) for id in (2, 3)),
        busy(4, 2, 2, 0, [0.0, -1.0]),
        busy(5, 2, 3, 1, [0.0, 0.2], started=BEFORE),
    ]
    return point(make_setup((2, 2), 2), settings(max_eval_steps=110), workers, {0: 1.0, 1: 1.0, **told})[1]


def test_parents_are_ranked_by_the_evaluator_curves_before_the_verdicts() -> None:
    """Evaluator 4 stops at this very point, yet its parent has the fitness 0 - 0.5, the bests of both, and loses."""
    stop, copy, begun = parents_ready({4: -3.0, 5: 0.5})
    assert (stop.worker, stop.reason) == (4, "no-improvement")
    assert (copy.worker, copy.donor, copy.fitness, copy.donor_fitness) == (2, 3, -0.5, 0.5)
    assert (begun.worker, begun.parent) == (4, 2)


def test_failures_come_before_the_fitness_of_parents() -> None:
    """Without the failed evaluator's curve fewer than 2k parents are ranked."""
    fail, stop, begun = parents_ready({4: "ValueError", 5: 0.5})
    assert (fail.worker, stop.reason, begun.worker) == (4, "failed", 4)


def test_a_failed_evaluator_stops_and_begins_again_with_a_fresh_stream() -> None:
    workers = [
        *(member(id, **RESTING) for id in (0, 1)),
        *(member(id, 2, **RESTING) for id in (2, 3, 4)),
        busy(5, 2, 2, 0, [1.0, 2.0]),
    ]
    after, decisions = point(make_setup((2, 3), 1), settings(), workers, {5: "RuntimeError"})
    fail, stop, begun = decisions
    assert (fail.worker, fail.failure) == (5, "RuntimeError")  # type: ignore[union-attr]
    assert stop == StopEvaluator(5, 2, 0, NOW, "failed", 2, None, None)
    assert isinstance(begun, StartEvaluator)
    assert begun.fresh
    assert begun.parent in (3, 4)
    assert not after[5].failed


@pytest.mark.parametrize("replaced", ["parent", "child"])
def test_an_evaluator_stops_when_exploit_replaces_its_parent_or_child(replaced: str) -> None:
    """Stop 3, and a start at the same point. Member 0 loses to 1; parent 2 loses to 3, whose evaluator is better."""
    ready = {"ready_step": NOW - 20}
    workers = [
        *(member(id, curve=[float(id)], **(ready if replaced == "child" else RESTING)) for id in (0, 1)),
        *(member(id, 2, **(ready if replaced == "parent" else RESTING)) for id in (2, 3)),
        busy(4, 2, 2, 0, [0.0, 0.1]),
        busy(5, 2, 3, 1, [0.0, 1.0]),
    ]
    after, decisions = point(make_setup((2, 2), 2), settings(), workers, {4: 0.2, 5: 2.0})
    [copy], [stop], [begun] = of(Copy, decisions), of(StopEvaluator, decisions), of(StartEvaluator, decisions)
    assert copy.worker == (0 if replaced == "child" else 2)
    assert stop == StopEvaluator(4, 2, 0, NOW, "replaced", 3, None, None)
    assert (begun.worker, begun.parent) == (4, 2)
    assert begun.child == 1  # the fitter one, and never one that explores now
    assert after[5].evaluation == Evaluation(3, 1, 0)
    assert decisions == [copy, stop, begun]


def test_a_failed_members_return_ends_its_evaluations_too() -> None:
    workers = [
        *(member(id, curve=[float(id)]) for id in (0, 1)),
        *(member(id, 2, **RESTING) for id in (2, 3)),
        busy(4, 2, 2, 0, [0.0, 0.1]),
    ]
    _, decisions = point(make_setup((2, 2), 1), settings(), workers, {0: "ValueError", 1: 1.0, 4: 0.2})
    assert [type(d) for d in decisions] == [Fail, Copy, StopEvaluator, StartEvaluator]
    assert decisions[2].reason == "replaced"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "report", [Report(1, BEFORE, 1.0), Report(2, NOW, 1.0), Report(3, NOW, 1.0)], ids=["old", "failed", "idle"]
)
def test_a_report_that_cannot_be_is_refused(report: Report) -> None:
    workers = (member(0), member(1), member(2, failed=True), idle(3))
    with pytest.raises(ValueError, match=f"worker {report.worker}"):
        fire.decide(make_setup((3,)), settings(), State(workers), [report])


# Validation


@pytest.mark.parametrize(
    ("sizes", "evaluators", "options", "named"),
    [
        ((8,), 1, {}, "evaluators=1"),
        ((8, 8), 0, {}, "evaluators=0"),
        ((8, 8, 8), 1, {}, "evaluators=1"),
        ((8, 8), 6, {"max_eval_steps": 69}, "max_eval_steps=69"),  # six evaluations, the sign test needs seven
    ],
)
def test_what_cannot_work_is_refused(
    sizes: tuple[int, ...], evaluators: int, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingError, match=named):
        fire.validate(make_setup(sizes, evaluators), fire.Settings(**options))


def test_the_papers_populations_are_accepted() -> None:
    for sizes, evaluators in (((8, 8), 6), ((8, 8, 8), 12), ((8, 8, 8, 8), 18), ((22,), 0)):
        fire.validate(make_setup(sizes, evaluators), fire.Settings(max_eval_steps=70))
        assert fire.arrange(sizes, evaluators) == (sizes, evaluators)


# Any run

KINDS = [Fail, Promote, StopEvaluator, Copy, StopEvaluator, StartEvaluator]


def check_order_and_records(t: Transition) -> None:
    """The new state is what the decisions say, and they come in the specification's order."""
    assert {w.id: w for w in t.after.workers} == applied(t)
    assert [w.id for w in t.after.workers] == [w.id for w in t.before.workers]
    place = 0
    for d in t.decisions:
        late = isinstance(d, StopEvaluator) and d.reason == "replaced"
        failed = isinstance(d, StopEvaluator) and d.reason == "failed"
        wanted = 4 if late else 0 if failed else KINDS.index(type(d))
        assert wanted >= place, t.decisions
        place = wanted
    for before, after in zip(t.before.workers, t.after.workers, strict=True):
        assert after.step >= before.step
        assert after.ready_step >= before.ready_step
        assert after.population == before.population
        assert after.is_evaluator == before.is_evaluator
        if not after.is_evaluator:
            assert t.setup.space.contains(after.hyperparameters)
        elif after.evaluation:
            parent, child = (t.after.workers[id] for id in (after.evaluation.parent, after.evaluation.child))
            assert (parent.population, child.population) == (after.population, after.population - 1)
            assert after.hyperparameters == child.hyperparameters
            if len(t.setup.sizes) > 1:
                index = after.id - sum(t.setup.sizes)
                assert after.population == 2 + index % (len(t.setup.sizes) - 1)
    parents = [w.evaluation.parent for w in t.after.workers if w.evaluation]
    assert len(parents) == len(set(parents))


def check_pure(t: Transition, text: str) -> None:
    """Same arguments, same answer, and the arguments are as they were."""
    assert plain.dumps([t.before, t.reports]) == text
    assert fire.decide(t.setup, t.settings, t.before, t.reports) == (t.after, t.decisions)


def expected_verdict(t: Transition, evaluator: Worker, child: Worker) -> set[str | None]:
    """What the specification says on one evaluator: "success", a stop's reason, or None."""
    assert evaluator.evaluation is not None
    s = t.settings
    elapsed, over = evaluator.step - evaluator.evaluation.started, False
    over = elapsed >= s.max_eval_steps
    eta, rho = (curves.smooth(w.curve) for w in (evaluator, child))
    shared = curves.overlap(eta, rho)
    points = shared.length if shared else len(eta)
    if points < s.min_points and not over:
        return {None}
    better = curves.best_score_diff(evaluator.curve, child.curve, min_points=s.min_points) > 0
    p_value = curves.binom_test(evaluator.curve, child.curve)
    least = 1 if shared else least_points(s.significance)
    if better and p_value < s.significance and points >= least:
        # With few points a verdict is due only because time is up; the specification does not say if it may be good.
        return {"success"} if points >= s.min_points else {"success", "timeout", "no-overlap"}
    if shared and p_value > s.significance + max(0.0, 1 - elapsed / s.max_eval_steps):
        return {"no-improvement"}
    return {("timeout" if shared else "no-overlap") if over else None}


def check_verdicts(t: Transition) -> None:
    """Every evaluator that reports gets the verdict it should; of successes on one child the best is taken."""
    workers = t.reported()
    given: dict[int, str] = {d.worker: "success" for d in t.of(Promote)}
    given.update({d.worker: d.reason for d in t.of(StopEvaluator) if d.reason not in ("replaced", "failed")})
    promoted = {d.child: d for d in t.of(Promote)}
    assert len(promoted) == len(t.of(Promote))
    differences = [d.best_score_diff for d in t.of(Promote)]
    assert differences == sorted(differences, reverse=True)
    for report in t.reports:
        evaluator = workers[report.worker]
        if not evaluator.evaluation or workers[evaluator.evaluation.child].failed:
            assert evaluator.id not in given
            continue
        child = workers[evaluator.evaluation.child]
        expected = expected_verdict(t, evaluator, child)
        if child.id in promoted and promoted[child.id].worker != evaluator.id:
            assert evaluator.id not in given  # goes on
            if expected == {"success"}:
                difference = curves.best_score_diff(evaluator.curve, child.curve, min_points=t.settings.min_points)
                assert difference <= promoted[child.id].best_score_diff
        else:
            assert given.get(evaluator.id) in expected
    assert set(given) <= {r.worker for r in t.reports}


def check_stop_3(t: Transition) -> None:
    """Exactly the evaluators whose parent or child was replaced by exploit stop for it."""
    copied = {c.worker for c in t.of(Copy)}
    running = {w.id: w.evaluation for w in t.reported().values() if w.evaluation}
    for d in t.decisions:
        if isinstance(d, Promote | StopEvaluator) and getattr(d, "reason", "") not in ("replaced", "failed"):
            del running[d.worker]
    affected = {id for id, e in running.items() if {e.parent, e.child} & copied}
    assert affected == {d.worker for d in t.of(StopEvaluator) if d.reason == "replaced"}


def check_starts(t: Transition, last: dict[int, int], now: int) -> None:
    """Every idle evaluator starts if it can, in worker order, with the right parent and child.

    ``last``: when (index of the decision point) an evaluator last worked on each parent.
    """
    workers = applied(t, StartEvaluator)
    copied = {c.worker for c in t.of(Copy)}
    fitness = improvement_fitness(
        t.reported(), smoothed([w for w in t.reported().values() if w.evaluation]), t.settings.min_points
    )
    starts = {d.worker: d for d in t.of(StartEvaluator)}
    assert [d.worker for d in t.of(StartEvaluator)] == sorted(starts)
    taken = {w.evaluation.parent for w in workers.values() if w.evaluation}
    last.update({d.parent: now for d in t.of(Promote) + t.of(StopEvaluator)})
    for evaluator in [w for w in workers.values() if w.is_evaluator and not w.evaluation]:
        members = [w for w in workers.values() if not w.is_evaluator and not w.failed]
        free = {
            w.id
            for w in members
            if w.population == evaluator.population and w.id not in taken and w.step >= t.settings.min_steps_before_eval
        }
        group = [w for w in members if w.population == evaluator.population - 1 and w.id not in copied]
        if evaluator.id not in starts:
            assert not free or not group
            continue
        d = starts[evaluator.id]
        assert d.parent in free
        free = free - copied or free
        assert d.parent in free
        if t.synchronous:
            assert last.get(d.parent, -1) == min(last.get(id, -1) for id in free)
        assert d.child in {w.id for w in group}
        score = {w.id: fitness.get(w.id) for w in group}
        if evaluator.population == 2:
            score = {w.id: objective_fitness(w, t.settings.fitness_window) for w in group}
        if set(score.values()) == {None}:
            score = {w.id: objective_fitness(w, 1) for w in group}
        known = [value for value in score.values() if value is not None]
        assert not known or score[d.child] == max(known)
        assert (d.hyperparameters, d.network_step) == (
            workers[d.child].hyperparameters,
            workers[d.parent].network_step,
        )
        assert d.fresh == evaluator.failed
        taken.add(d.parent)
        last[d.parent] = now


def check_run(simulation: Simulation) -> None:
    last: dict[int, int] = {}
    for now, t in enumerate(simulation.log):
        check_order_and_records(t)
        check_verdicts(t)
        check_stop_3(t)
        check_starts(t, last, now)


@given(scenarios(least_populations=2))
@hypothesis_settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_any_run_keeps_the_rules(scenario: Scenario) -> None:
    check_run(scenario.simulate())


@given(scenarios())
@hypothesis_settings(max_examples=15, deadline=None, database=None, derandomize=True)
def test_decide_is_pure(scenario: Scenario) -> None:
    simulation = Simulation(fire, scenario.setup, scenario.settings, scenario.learn)
    texts = []
    for _ in range(8):
        simulation.run(1, scenario.subset_seed)
        texts.append(plain.dumps([simulation.log[-1].before, simulation.log[-1].reports]))
    for t, text in zip(simulation.log, texts, strict=False):
        check_pure(t, text)


@pytest.mark.parametrize("subset_seed", [None, 1], ids=["synchronous", "asynchronous"])
def test_long_runs_keep_the_rules_and_everything_happens(subset_seed: int | None) -> None:
    """Hundreds of points of 30 workers in three sub-populations, with failures, silence and ties."""
    options = fire.Settings(significance=0.15, max_eval_steps=100, min_steps_before_ready=100)
    setup = replace(make_setup((8, 6, 6), 10, seed=1), ready_interval=100)
    scenario = Scenario(setup, options, 300, 0.02, 0.05, True, subset_seed)
    simulation = scenario.simulate()
    check_run(simulation)
    assert len(simulation.log) == scenario.rounds
    decisions = [d for t in simulation.log for d in t.decisions]
    seen = {getattr(d, "reason", type(d)) for d in decisions}
    assert seen >= {Copy, Fail, Promote, StartEvaluator, "no-improvement", "replaced", "failed", "no-overlap"}
    assert {simulation.state.workers[d.child].population for d in of(Promote, decisions)} == {1, 2}
    assert {simulation.state.workers[d.worker].population for d in of(Copy, decisions) if not d.fresh} == {1, 2, 3}

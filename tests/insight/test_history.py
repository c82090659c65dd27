"""Histories told from reports and decisions, against the states that the decision core had."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import LR, Scenario, Simulation, make_setup, scenarios

from firerl.evolution import curves, lineage
from firerl.evolution.algorithms import cosine
from firerl.evolution.population import Copy, Promote, Set, StartEvaluator, StopEvaluator, initial_state
from firerl.insight.history.history import RUNNING, History, Teller, tell
from firerl.storage.generation import Point


def history_of(simulation: Simulation) -> History:
    points = [Point(t.reports, t.decisions) for t in simulation.log]
    return tell(initial_state(simulation.setup), points)


@given(scenarios())
@hypothesis_settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_every_worker_ends_as_the_core_left_it(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    history = history_of(simulation)
    for w in simulation.state.workers:
        assert history.curves[w.id] == w.curve
        if w.is_evaluator and not w.evaluation:
            assert all(stretch.end is not None for stretch in history.stretches[w.id])
            continue
        *past, now = history.stretches[w.id]
        assert (now.start, now.end, now.settings[-1][1]) == (w.replaced_step, None, w.hyperparameters)
        assert now.network_step + w.step - now.start == w.network_step
        assert all(stretch.end is not None for stretch in past)


@given(scenarios())
@hypothesis_settings(max_examples=25, deadline=None, database=None, derandomize=True)
def test_the_teller_knows_the_workers_at_every_point(scenario: Scenario) -> None:
    """What ranks and winners are computed from."""
    simulation = scenario.simulate()
    teller = Teller(initial_state(simulation.setup))
    for t in simulation.log:
        for report in t.reports:
            teller.hear(report)
        judged = dict(teller.curves)
        for decision in t.decisions:
            teller.apply(decision, judged)
        known = teller.workers()
        for w in t.after.workers:
            told = known[w.id]
            same = (told.curve, told.hyperparameters, told.failed, told.evaluation, told.population, told.is_evaluator)
            assert same == (w.curve, w.hyperparameters, w.failed, w.evaluation, w.population, w.is_evaluator)
            if w.evaluation or not w.is_evaluator:
                assert (told.step, told.network_step) == (w.step, w.network_step)


@given(scenarios())
@hypothesis_settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_ancestry_is_the_lineage(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    history = history_of(simulation)
    for w in simulation.state.workers:
        if w.is_evaluator and not w.evaluation:
            continue
        legs = [
            (
                leg.stretch.worker,
                leg.stretch.origin,
                *(leg.stretch.network_step + at - leg.stretch.start for at in ends),
            )
            for leg in history.ancestry(w.id)
            for ends in [(leg.start, leg.end)]
        ]
        path = lineage.segments(history.initial, history.decisions, w.id, w.network_step)
        assert legs == [(s.worker, s.origin, s.start, s.end) for s in path]


@given(scenarios())
@hypothesis_settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_nothing_reported_or_decided_is_left_out(scenario: Scenario) -> None:
    log = scenario.simulate().log
    history = history_of(scenario.simulate())
    told = sorted(
        (r.worker, r.step, r.objective) for t in log for r in t.reports if r.objective is not None and not r.failure
    )
    kept = [
        (w, *point)
        for w, all in history.stretches.items()
        for s in all
        for point in zip(s.steps, s.objectives, strict=True)
    ]
    assert sorted(kept) == told
    origins = [stretch.origin for all in history.stretches.values() for stretch in all]
    for origin, kind in (("copy", Copy), ("promotion", Promote), ("evaluator", StartEvaluator)):
        assert origins.count(origin) == sum(isinstance(d, kind) for d in history.decisions)
    ended = [d for d in history.decisions if isinstance(d, Promote | StopEvaluator)]
    assert len(ended) == sum(m.outcome != RUNNING for m in history.measurements)
    assert history.step == max(
        w.step for w in (log[-1].after if log else history.initial).workers if not w.is_evaluator
    )


@given(scenarios(least_populations=2))
@hypothesis_settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_the_curves_of_a_verdict_give_its_numbers(scenario: Scenario) -> None:
    for m in history_of(scenario.simulate()).measurements:
        if m.best_score_diff is None:
            continue
        eta, rho = np.array(m.eta), np.array(m.rho)
        assert curves.best_score_diff(eta, rho, min_points=scenario.settings.min_points) == m.best_score_diff
        assert curves.binom_test(eta, rho) == m.p_value


def test_hyperparameters_that_change_alone_stay_in_the_stretch() -> None:
    setup = make_setup((3,), spec=LR)
    settings = cosine.Settings(hyperparameters={"lr": 0.1}, anneal="lr", anneal_steps=100)
    simulation = Simulation(cosine, setup, settings, lambda value, values, rng: (value + 1, value))
    simulation.run(6)
    history = history_of(simulation)
    assert any(isinstance(d, Set) for d in history.decisions)
    for w in simulation.state.workers:
        (stretch,) = history.stretches[w.id]
        assert stretch.settings[-1][1] == w.hyperparameters
        assert [step for step, _ in stretch.settings[1:]] == [d.step for d in history.decisions if d.worker == w.id]


def test_a_run_without_points_has_only_its_first_draws() -> None:
    initial = initial_state(make_setup((2, 2), 1))
    history = tell(initial, [])
    assert history.step == 0
    assert [len(all) for all in history.stretches.values()] == [1, 1, 1, 1, 0]

"""Random search: PBT without exploit and explore."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import Scenario, Simulation, active, scenarios

from firerl.base.settings import build
from firerl.errors import SettingError
from firerl.evolution.algorithms import pbt, random
from firerl.evolution.population import Fail, initial_state


@given(scenarios())
@hypothesis_settings(max_examples=25, deadline=None, database=None, derandomize=True)
def test_nothing_ever_changes_but_that_the_failed_stay_out(scenario: Scenario) -> None:
    sizes, evaluators = random.arrange(scenario.setup.sizes, scenario.setup.evaluators)
    assert (sizes, evaluators) == ((sum(scenario.setup.sizes) + scenario.setup.evaluators,), 0)
    setup = replace(scenario.setup, sizes=sizes, evaluators=evaluators)
    options = random.Settings(fitness_window=scenario.settings.fitness_window)
    random.validate(setup, options)
    simulation = Simulation(random, setup, options, scenario.learn)
    log = simulation.run(scenario.rounds, scenario.subset_seed)
    first = [w.hyperparameters for w in initial_state(setup).workers]
    failed: set[int] = set()
    points = dict.fromkeys(range(sizes[0]), 0)
    for t in log:
        assert {type(d) for d in t.decisions} <= {Fail}
        assert failed.isdisjoint(r.worker for r in t.reports)
        failed |= {d.worker for d in t.decisions}
        for r in t.reports:
            points[r.worker] += r.failure is None and r.objective is not None
        assert [w.hyperparameters for w in t.after.workers] == first
        assert {w.id for w in t.after.workers if w.failed} == failed
        assert {w.id: len(w.curve) for w in t.after.workers} == points
        assert all(w.network_step == w.step and w.replaced_step == 0 for w in t.after.workers)
    assert {w.id for w in active(simulation.state)} == set(range(sizes[0])) - failed


def test_settings_of_exploit_are_unknown_to_it() -> None:
    assert build(random.Settings, {"fitness_window": 3}).fitness_window == 3
    with pytest.raises(SettingError, match="truncation"):
        build(random.Settings, {"truncation": 0.25})
    assert build(pbt.Settings, {"truncation": 0.3}).truncation == 0.3

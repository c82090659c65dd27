"""What every algorithm starts from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import ALL_KINDS, Scenario, make_setup, scenarios

from firerl.evolution.algorithms import fire, pbt, random
from firerl.evolution.population import initial_state, members


def test_the_first_state() -> None:
    state = initial_state(make_setup((3, 2, 2), 5))
    assert [w.id for w in state.workers] == list(range(12))
    assert [w.population for w in state.workers] == [1, 1, 1, 2, 2, 3, 3, *(2, 3, 2, 3, 2)]  # evaluator j: 2 + j mod 2
    assert [w.is_evaluator for w in state.workers] == [False] * 7 + [True] * 5
    assert [w.id for w in members(state, 2)] == [3, 4]
    for w in state.workers:
        assert (w.step, w.network_step, w.curve, w.evaluation, w.failed) == (0, 0, (), None, False)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_all_algorithms_draw_the_same_first_hyperparameters(seed: int) -> None:
    """22 workers as 8 + 8 + 6: FIRE's 16 members begin as the first 16 of PBT's and of random search's 22."""
    drawn = {}
    for algorithm in (fire, pbt, random):
        sizes, evaluators = algorithm.arrange((8, 8), 6)
        state = initial_state(make_setup(sizes, evaluators, seed=seed, spec=ALL_KINDS))
        assert len(state.workers) == 22
        drawn[algorithm] = [dict(w.hyperparameters) for w in state.workers if not w.is_evaluator]
    assert len(drawn[fire]) == 16
    assert len(drawn[pbt]) == 22
    assert drawn[fire] == drawn[pbt][:16]
    assert drawn[pbt] == drawn[random]
    assert len({d["lr"] for d in drawn[pbt]}) == 22


def test_other_seeds_draw_other_hyperparameters() -> None:
    first = {initial_state(make_setup((1,), seed=seed)).workers[0].hyperparameters["lr"] for seed in range(50)}
    assert len(first) == 50


@given(scenarios())
@hypothesis_settings(max_examples=50, deadline=None, database=None, derandomize=True)
def test_evaluators_are_spread_evenly_and_first_values_lie_in_their_ranges(scenario: Scenario) -> None:
    setup = scenario.setup
    state = initial_state(setup)
    assert initial_state(setup) == state
    served = [w.population for w in state.workers if w.is_evaluator]
    counts = [served.count(population) for population in range(2, len(setup.sizes) + 1)]
    assert sum(counts) == setup.evaluators
    assert not counts or max(counts) - min(counts) <= 1
    for population, size in enumerate(setup.sizes, start=1):
        assert len(members(state, population)) == size
    assert all(setup.space.contains(w.hyperparameters) for w in state.workers if not w.is_evaluator)

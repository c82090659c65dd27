"""Plain PBT: one sub-population, no evaluators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from simulate import Scenario, Simulation, Transition, make_setup, scenarios

from firerl.evolution.algorithms import fire, pbt
from firerl.evolution.population import Copy, Fail, Promote, Setup
from firerl.evolution.space import Space


def test_the_whole_budget_becomes_members() -> None:
    assert pbt.arrange((8, 8), 6) == ((22,), 0)
    assert pbt.arrange((8, 8, 8), 12) == ((36,), 0)
    assert pbt.arrange((22,), 0) == ((22,), 0)


@given(scenarios())
@hypothesis_settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_pbt_is_fire_with_one_sub_population_and_copies_only(scenario: Scenario) -> None:
    """The same decisions as FIRE's with the same settings, and nothing about evaluators."""
    sizes, evaluators = pbt.arrange(scenario.setup.sizes, scenario.setup.evaluators)
    setup = Setup(
        sizes,
        evaluators,
        scenario.setup.space,
        scenario.setup.seed,
        scenario.setup.eval_interval,
        scenario.setup.ready_interval,
    )
    s = scenario.settings
    options = pbt.Settings(
        s.truncation, s.explore_factors, s.resample_probability, s.fitness_window, s.min_steps_before_ready
    )
    pbt.validate(setup, options)
    logs = []
    for algorithm, given_settings in ((pbt, options), (fire, s)):
        simulation = Simulation(algorithm, setup, given_settings, scenario.learn)
        logs.append([(t.after, t.decisions) for t in simulation.run(scenario.rounds, scenario.subset_seed)])
    assert logs[0] == logs[1]
    assert {type(d) for _, decisions in logs[0] for d in decisions} <= {Copy, Fail}


def test_explore_factors_reach_explore() -> None:
    setup = make_setup((4,))
    simulation = Simulation(pbt, setup, pbt.Settings(explore_factors=(0.9,)), lambda v, h, rng: (v, h["lr"]))
    copies = [d for t in simulation.run(12) for d in t.of(Copy)]
    assert copies
    for copy in copies:
        assert copy.hyperparameters["lr"] == max(1e-4, copy.donor_hyperparameters["lr"] * 0.9)


# FIRE against PBT on a noisy quadratic, in closed form: a high rate crosses the flat directions, a low one averages
# the noise out, and greed for early gains lowers the rate too soon.

CURVATURE = np.arange(1, 101) ** -1.5
NOISE = 0.3
TRAINED = 10  # steps in an interval


def descend(theta: Any, values: Mapping[str, Any], rng: np.random.Generator) -> tuple[Any, float]:
    """Ten steps theta -= lr (h theta + noise sqrt(h) eps) at once; the objective is -log10 of the loss."""
    keep = 1 - values["lr"] * CURVATURE
    variance = (values["lr"] * NOISE) ** 2 * CURVATURE * (keep ** (2 * np.arange(TRAINED)[:, None])).sum(axis=0)
    theta = keep**TRAINED * theta + np.sqrt(variance) * rng.standard_normal(len(theta))
    return theta, -float(np.log10(0.5 * np.sum(CURVATURE * theta**2) + 1e-12))


def quadratic_run(algorithm: Any, settings: Any, seed: int) -> tuple[float, list[Transition]]:
    """The best objective of P1 at the end of a run with 22 workers, and its decisions."""
    sizes, evaluators = algorithm.arrange((8, 8), 6)
    space = Space.parse({"lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-5, 1.0]}})
    setup = Setup(sizes, evaluators, space, seed, TRAINED, 5 * TRAINED)
    simulation = Simulation(algorithm, setup, settings, descend, np.ones(100))
    log = simulation.run(200)
    return max(w.curve[-1] for w in simulation.state.workers if w.population == 1 and w.curve), log


def test_fire_promotes_and_beats_pbt_on_the_noisy_quadratic() -> None:
    margins = []
    for seed in range(4):
        best, log = quadratic_run(fire, fire.Settings(max_eval_steps=600), seed)
        assert any(t.of(Promote) for t in log)
        margins.append(best - quadratic_run(pbt, pbt.Settings(), seed)[0])
    assert np.mean(margins) > 0, margins

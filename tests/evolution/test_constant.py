"""One fixed set of hyperparameters, repeated over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulate import ALL_KINDS, Simulation, make_setup

from firerl.errors import SettingError
from firerl.evolution.algorithms import constant, pbt
from firerl.evolution.population import Fail, Values

VALUES = {
    "lr": 0.01,
    "discount": 0.95,
    "entropy": 0,
    "shift": -0.5,
    "epochs": 3,
    "optimiser": "sgd",
    "nesterov": True,
    "batch": 64,
}


def test_all_members_start_alike_whatever_the_seed() -> None:
    for seed in (0, 1):
        state = constant.initial(make_setup((5,), seed=seed, spec=ALL_KINDS), constant.Settings(hyperparameters=VALUES))
        assert [dict(w.hyperparameters) for w in state.workers] == [VALUES] * 5


def test_nothing_changes_and_a_failed_member_stays_out() -> None:
    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        return value + values["lr"], float("nan") if rng.random() < 0.03 else rng.normal()

    settings = constant.Settings(hyperparameters={"lr": 0.125})
    simulation = Simulation(constant, make_setup((8,)), settings, learn)
    simulation.state = constant.initial(simulation.setup, settings)
    log = simulation.run(20)
    decisions = [d for t in log for d in t.decisions]
    assert decisions
    assert {type(d) for d in decisions} == {Fail}
    failed = {d.worker for d in decisions}
    assert {w.id for w in log[-1].after.workers if w.failed} == failed
    assert all(simulation.networks[w.id].value == 20 * 0.125 for w in log[-1].after.workers if w.id not in failed)


def test_the_budget_is_pbts() -> None:
    assert constant.arrange((8, 8), 6) == pbt.arrange((8, 8), 6) == ((22,), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 2.0}, r"algo\.hyperparameters\.lr=2\.0: must be a value of log_uniform in \[0\.0001, 1\.0\]"),
        ({"lr": "fast"}, "algo.hyperparameters.lr=fast"),
        ({"epochs": 2.5}, "algo.hyperparameters.epochs=2.5: must be a value of integer"),
        ({"optimiser": "rmsprop"}, r"algo\.hyperparameters\.optimiser=rmsprop: must be one of \[adam, sgd, nan\]"),
        ({"lrr": 0.1}, "'algo.hyperparameters.lrr': did you mean 'algo.hyperparameters.lr'"),
        ({"lr": None}, "no value for hyperparameter 'lr'"),
    ],
)
def test_values_that_are_no_point_of_the_space(change: dict[str, Any], message: str) -> None:
    setup = make_setup((4,), spec=ALL_KINDS)
    constant.validate(setup, constant.Settings(hyperparameters=VALUES))
    values = {name: value for name, value in {**VALUES, **change}.items() if value is not None}
    with pytest.raises(SettingError, match=message):
        constant.validate(setup, constant.Settings(hyperparameters=values))

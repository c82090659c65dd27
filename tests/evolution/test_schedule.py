"""Schedules known in advance, in random search and with constant hyperparameters."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from simulate import Simulation, make_setup

from firerl.errors import SettingError
from firerl.evolution import find, schedule
from firerl.evolution.algorithms import constant, random
from firerl.evolution.population import Set, Setup, Values, first_values

SPEC = {"decay": {"uniform": [0.0, 1.0]}, "lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-6, 1.0]}}


def goyal(**changes: Any) -> schedule.ScheduleSettings:
    return schedule.ScheduleSettings(**{"schedule": "goyal", "anneal_steps": 90, **changes})


def simulation(module: ModuleType, setup: Setup, **changes: Any) -> Simulation:
    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        return value, float(rng.normal())

    made = Simulation(module, setup, module.Settings(**changes), learn)
    made.state = find.initial_state(module, setup, made.settings)
    return made


def test_goyal_in_epochs_of_90() -> None:
    """Goyal et al. 2017, section 5.1: warm-up over 5 epochs, a tenth at 30, 60 and 80."""
    expected = {
        0: 0.1,
        1: 0.28,
        4: 0.82,
        5: 1,
        29: 1,
        30: 0.1,
        59: 0.1,
        60: 0.01,
        79: 0.01,
        80: 1e-3,
        89: 1e-3,
        99: 1e-3,
    }
    assert {epoch: schedule.share_of_first(goyal(), epoch) for epoch in expected} == pytest.approx(expected)


def test_epochs_scale_with_the_length_of_the_run() -> None:
    long = goyal(anneal_steps=90 * 1250)
    assert all(schedule.share_of_first(long, 1250 * e) == schedule.share_of_first(goyal(), e) for e in range(100))


@pytest.mark.parametrize("module", [random, constant])
def test_each_member_trains_with_its_first_value_times_the_share(module: ModuleType) -> None:
    """Random search keeps each member's own draw as the base, whatever the rate is in between."""
    setup = make_setup((3,), spec=SPEC)
    chosen = {"decay": 0.25, "lr": 0.4}
    run = simulation(
        module, setup, schedule="goyal", anneal_steps=90, **({"hyperparameters": chosen} if module is constant else {})
    )
    run.run(10)
    for worker, network in run.networks.items():
        base = chosen if module is constant else first_values(setup, worker)
        trained = [values for values, steps in network.history() for _ in range(0, steps, 10)]
        assert [values["decay"] for values in trained] == [base["decay"]] * 10
        shares = [0.1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3]
        assert [values["lr"] for values in trained] == pytest.approx([base["lr"] * share for share in shares])


def test_without_a_schedule_nothing_moves() -> None:
    setup = make_setup((3,), spec=SPEC)
    run = simulation(random, setup)
    assert not [d for t in run.run(6) for d in t.of(Set)]
    assert [w.hyperparameters for w in run.state.workers] == [first_values(setup, i) for i in range(3)]


@pytest.mark.parametrize("module", [random, constant])
@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (SPEC, {"anneal_steps": None}, "algo.anneal_steps is missing"),
        (SPEC, {"anneal": "decoy"}, "did you mean 'decay'"),
        (SPEC, {"anneal": "decay", "schedule": None}, "algo.anneal=decay: needs algo.schedule, one of goyal, cosine"),
        ({"epochs": {"integer": [1, 9]}}, {}, "algo.schedule=goyal: the space holds no uniform or log_uniform"),
    ],
)
def test_what_cannot_follow_a_schedule(module: ModuleType, spec: Any, changes: dict[str, Any], message: str) -> None:
    setup = make_setup((2,), spec=spec)
    fixed = {"hyperparameters": first_values(setup, 0)} if module is constant else {}
    settings = module.Settings(**{"schedule": "goyal", "anneal_steps": 90, **fixed, **changes})
    with pytest.raises(SettingError, match=message):
        module.validate(setup, settings)

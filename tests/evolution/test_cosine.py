"""The cosine schedule of one hyperparameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from simulate import INTERVAL, LR, Simulation, make_setup

from firerl.errors import SettingError
from firerl.evolution import lineage, schedule
from firerl.evolution.algorithms import constant, cosine
from firerl.evolution.population import Fail, Report, Set, Values

SPEC = {"decay": {"uniform": [0.0, 1.0]}, "lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-4, 1.0]}}
VALUES = {"decay": 0.5, "lr": 0.8}


def settings(**changes: Any) -> cosine.Settings:
    return cosine.Settings(**{"hyperparameters": VALUES, "anneal_steps": 40, **changes})


def value(options: cosine.Settings, step: int) -> float:
    d = schedule.scheduled_dimension(make_setup((2,), spec=SPEC), options)
    return float(d.clip(VALUES["lr"] * schedule.share_of_first(options, step)))


def simulation(options: cosine.Settings, size: int = 3) -> Simulation:
    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        return value, float(rng.normal())

    made = Simulation(cosine, make_setup((size,), spec=SPEC), options, learn)
    made.state = cosine.initial(made.setup, options)
    return made


def test_values_worked_out_by_hand() -> None:
    """0.8 at the start, half of it half-way, cos(pi / 4) = 0.7071 at a quarter, the lower bound at the end."""
    found = [value(settings(), step) for step in (0, 10, 20, 40, 70)]
    assert found == pytest.approx([0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 1e-4, 1e-4])
    assert [value(settings(final=0.5), step) for step in (0, 20, 40)] == pytest.approx([0.8, 0.6, 0.4])


def test_every_member_trains_each_interval_with_the_value_at_its_start() -> None:
    run = simulation(settings())
    log = run.run(6)
    expected = [({**VALUES, "lr": value(run.settings, step)}, INTERVAL) for step in (0, 10, 20, 30)]
    expected.append(({**VALUES, "lr": value(run.settings, 40)}, 2 * INTERVAL))  # its end stays
    for network in run.networks.values():
        assert network.history() == expected
    assert [len(t.of(Set)) for t in log] == [3, 3, 3, 3, 0, 0]


def test_the_schedule_of_a_result_is_what_was_trained() -> None:
    run = simulation(settings(), size=2)
    initial = run.state
    decisions = [d for t in run.run(4) for d in t.decisions]
    rows = lineage.schedule(lineage.segments(initial, decisions, 1, 40))
    assert [(row["hyperparameters"], row["to"] - row["from"]) for row in rows] == run.networks[1].history()  # type: ignore[operator]


def test_who_did_not_report_or_failed_is_left_alone() -> None:
    run = simulation(settings())
    reports = [Report(0, 10, 1.0), Report(2, 10, failure="NaN")]
    after, decisions = cosine.decide(run.setup, run.settings, run.state, reports)
    assert [(type(d), d.worker) for d in decisions] == [(Fail, 2), (Set, 0)]
    assert [dict(w.hyperparameters) == VALUES for w in after.workers] == [False, True, True]
    assert after.workers[0].curve == (1.0,)  # the curve goes on


@pytest.mark.parametrize(
    ("spec", "anneal", "chosen"),
    [
        (SPEC, None, "lr"),
        ({**SPEC, "learning_rate": {"uniform": [0, 1]}}, None, "learning_rate"),
        ({"epochs": {"integer": [1, 9]}, "wide": {"uniform": [0, 1]}}, None, "wide"),
        (SPEC, "decay", "decay"),
    ],
)
def test_which_hyperparameter(spec: dict[str, Any], anneal: str | None, chosen: str) -> None:
    assert schedule.scheduled_dimension(make_setup((2,), spec=spec), settings(anneal=anneal)).name == chosen


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (SPEC, {"anneal": "decoy"}, "algo.anneal 'decoy': did you mean 'decay'"),
        ({"epochs": {"integer": [1, 9]}}, {"hyperparameters": {"epochs": 2}}, "no uniform or log_uniform"),
        ({}, {"hyperparameters": {}}, "no uniform or log_uniform"),
        (SPEC, {"anneal_steps": None}, "algo.anneal_steps"),
        (SPEC, {"hyperparameters": {"decay": 0.5, "lr": 5.0}}, "algo.hyperparameters.lr=5.0"),
    ],
)
def test_what_cannot_be_annealed(spec: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        cosine.validate(make_setup((2,), spec=spec), settings(**changes))


def test_nothing_moves_where_the_end_is_the_start() -> None:
    still = settings(final=1.0, hyperparameters={"lr": 0.5})
    state = constant.initial(make_setup((2,), spec=LR), still)
    _, decisions = cosine.decide(make_setup((2,), spec=LR), still, state, [Report(0, 10, 0.0), Report(1, 10, 0.0)])
    assert decisions == []

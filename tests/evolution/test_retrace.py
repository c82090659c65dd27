"""A schedule that was found before, followed by fresh networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulate import INTERVAL, Simulation, make_setup

import firerl
from firerl.errors import SettingError
from firerl.evolution.algorithms import retrace
from firerl.evolution.population import Fail, Set

SPEC = {"decay": {"uniform": [0.0, 1.0]}, "lr": {"log_uniform": [1e-3, 1.0]}}
A, B, C = ({"decay": 0.5, "lr": value} for value in (0.8, 0.4, 0.1))
SCHEDULE = [(0, 20, A), (20, 30, B), (30, 50, C)]


def rows(schedule: list[tuple[int, int, dict[str, Any]]]) -> tuple[dict[str, Any], ...]:
    return tuple({"from": start, "to": end, "hyperparameters": values} for start, end, values in schedule)


def simulation(settings: retrace.Settings, size: int = 3) -> Simulation:
    made = Simulation(retrace, make_setup((size,), spec=SPEC), settings, lambda value, values, rng: (value, 1.0))
    made.state = retrace.initial(made.setup, settings)
    return made


def test_every_network_is_trained_as_the_schedule_says_and_its_last_row_goes_on() -> None:
    run = simulation(retrace.Settings(schedule=rows(SCHEDULE)))
    log = run.run(7)
    for network in run.networks.values():
        assert network.history() == [(A, 20), (B, 10), (C, 70 - 30)]
    assert [len(t.of(Set)) for t in log] == [0, 3, 3, 0, 0, 0, 0]


def test_what_the_schedule_leaves_out_is_constant() -> None:
    schedule = rows([(0, 10, {}), (10, 20, {"lr": 0.1})])
    settings = retrace.Settings(hyperparameters={"decay": 0.25, "lr": 0.9}, schedule=schedule)
    run = simulation(settings)
    run.run(2)
    expected = [({"decay": 0.25, "lr": 0.9}, INTERVAL), ({"decay": 0.25, "lr": 0.1}, INTERVAL)]
    assert all(network.history() == expected for network in run.networks.values())


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ([(0, 20, A), (30, 50, B)], "row 2: from=30, to=50: must begin at 20"),
        ([(10, 20, A)], "row 1: from=10, to=20: must begin at 0"),
        ([(0, 0, A)], "row 1: from=0, to=0: must begin at 0, where the row before ends, and end later"),
        ([(0, 25, A)], "row 1: to=25: must be a multiple of eval_interval=10"),
        ([(0, 20, {**A, "lr": 3.0})], "row 1: lr=3.0 is outside the space"),
        ([(0, 20, {"rl": 0.1})], "unknown hyperparameter 'rl in algo.schedule, row 1': allowed: decay, lr"),
    ],
)
def test_schedules_that_cannot_be_followed(schedule: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words.replace("(", r"\(")):
        retrace.validate(make_setup((2,), spec=SPEC), retrace.Settings(hyperparameters=A, schedule=rows(schedule)))


def test_a_row_of_other_parts_is_refused() -> None:
    with pytest.raises(SettingError, match="must have from, to and hyperparameters, it has \\[start\\]"):
        retrace.validate(make_setup((2,), spec=SPEC), retrace.Settings(hyperparameters=A, schedule=({"start": 0},)))


def test_a_failed_member_stays_out() -> None:
    run = simulation(retrace.Settings(schedule=rows(SCHEDULE)))
    run.learn = lambda value, values, rng: (value + 1, float("nan") if values == B and rng.random() < 0.5 else 1.0)
    log = run.run(6)
    failed = [d.worker for t in log for d in t.decisions if isinstance(d, Fail)]
    assert len(failed) == len(set(failed))
    for worker in failed:
        assert run.networks[worker].history()[-1] == (B, 10)


def test_the_winner_of_a_run_is_retraced(tmp_path: Path) -> None:
    """A single network of another seed has, at the end, been trained with the winner's schedule."""
    options: dict[str, Any] = {"evaluators": 0, "steps": 120, "eval_interval": 10, "ready_interval": 20}
    options |= {"engine": "inline", "progress": False}
    found = firerl.run("quadratic", population=[4], algo="pbt", run_dir=tmp_path / "a", **options)
    settings = {"schedule": found.schedule}
    again = firerl.run(
        "quadratic", population=[1], algo="retrace", algo_settings=settings, run_dir=tmp_path / "b", seed=5, **options
    )
    assert again.schedule == found.schedule
    assert again.objective != found.objective

"""The fast harness of quadratic.py against the whole program, its exact loss against trained learners."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.evolution import find


def module(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.parametrize("algo", find.names())
def test_the_harness_gives_what_a_whole_run_gives(algo: str, tmp_path: Path) -> None:
    runs = module("quadratic_runs")
    steps, problem = 300, "kappa 2"
    settings = runs.PROBLEMS[problem]
    whole = firerl.run(
        "quadratic",
        settings=settings,
        algo=algo,
        steps=steps,
        seed=3,
        engine="inline",
        run_dir=tmp_path / "run",
        progress=False,
    )
    fast = runs.simulate(runs.Arm(algo, algo).config(problem, steps), seed=3)
    assert fast["objective"] == whole.objective
    assert {key: fast[key] for key in whole.figures["evolution"]} == dict(whole.figures["evolution"])


def test_the_expected_loss_is_the_mean_of_trained_learners() -> None:
    schedule = module("quadratic_schedule")
    settings, rates = {"dimensions": 20, "kappa": 1.0, "noise": 0.3}, [0.9, 0.1, 0.02]
    losses = []
    for seed in range(400):
        learner = Quadratic(settings, {"lr": 0.0}, seed, "cpu")
        for rate in rates:
            learner.set_hyperparameters({"lr": rate})
            learner.train(10)
        losses.append(10 ** -learner.evaluate(0))
    exact = schedule.expected_loss(np.log(rates), learner.curvature, settings["noise"], 10)
    assert np.mean(losses) == pytest.approx(exact, rel=0, abs=4 * np.std(losses) / np.sqrt(len(losses)))


def test_the_best_schedule_is_no_worse_than_a_constant_or_a_decay() -> None:
    schedule = module("quadratic_schedule")
    settings = {"dimensions": 20, "kappa": 1.5, "noise": 0.3}
    h = Quadratic(settings, {"lr": 0.0}, 0, "cpu").curvature
    best = schedule.best_schedule(settings, steps=300, pieces=6)
    least = schedule.expected_loss(np.log(best), h, settings["noise"], 50)
    for rates in (np.full(6, 0.1), np.full(6, 0.03), np.geomspace(1, 0.01, 6)):
        assert least < schedule.expected_loss(np.log(rates), h, settings["noise"], 50)


def test_a_finished_run_is_found_by_its_definition(tmp_path: Path) -> None:
    benchmark, runs = module("quadratic"), module("quadratic_runs")
    path = tmp_path / "results.jsonl"
    arm = runs.Arm("some name", "pbt", sizes=(4, 4), evaluators=3)
    row = {"arm": "old name", "problem": "kappa 1", "seed": 0, "definition": arm.definition(), "objective": 1.0}
    path.write_text(json.dumps(row) + '\n{"arm": "cut o')
    assert benchmark.collect([arm], path) == {"some name": {"kappa 1": {0: row}}}
    assert benchmark.collect([replace(arm, evaluators=4)], path) == {}


def test_the_interval_covers_the_mean() -> None:
    mean, low, high = module("quadratic").interval(np.random.default_rng(1).normal(3.0, 1.0, 200).tolist())
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.15)


def test_noise_is_told_to_the_algorithm_but_not_scored() -> None:
    runs = module("quadratic_runs")
    config = runs.Arm("pbt", "pbt").config("kappa 2", 300)
    plain, loud = runs.simulate(config, 3), runs.simulate(config, 3, noise=1e6)
    assert plain["objective"] != loud["objective"]  # other members were copied
    assert abs(loud["objective"]) < 20
    silent, noisy, rare = (runs.Arm("a", **more) for more in ({}, {"noise": 0.5}, {"intervals": (20, 120)}))
    assert silent.definition() == {"algo": "fire", "settings": {}, "sizes": None, "evaluators": None}  # as of old rows
    assert noisy.definition() == {**silent.definition(), "noise": 0.5}
    assert (rare.config("kappa 2").eval_interval, rare.config("kappa 2").ready_interval) == (20, 120)


def test_conditions_compare_fire_and_pbt_of_the_same_condition() -> None:
    benchmark, arms = module("quadratic"), module("quadratic_arms")
    rows = {seed: {"objective": 3.0 + seed} for seed in (0, 1)}
    others = {seed: {"objective": 2.5 + seed} for seed in (0, 1)}
    problems = list(module("quadratic_runs").PROBLEMS)
    found = {
        arms.condition_name("fire", 15, 2): {problems[0]: rows},
        arms.condition_name("pbt", 15, 2): {problems[0]: others},
    }
    line = next(line for line in benchmark.condition_table(found) if line.startswith("| 15 | 2 |"))
    assert line == "| 15 | 2 | 0-2 | 3.50, 3.00 | +0.50 [+0.50, +0.50] |  |  |  |  |"

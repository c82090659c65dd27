"""What every algorithm must keep; a new file of ``firerl/evolution/algorithms`` is tested here without a word."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from simulate import Simulation, make_setup

from firerl import api
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.evolution import find, plain
from firerl.evolution.population import Report, Setup, Values
from firerl.session import start as starting

ALGORITHMS = find.names()
NUMBERS = {
    "lr": {"log_uniform": [1e-3, 1e-1], "bounds": [1e-4, 1.0]},
    "discount": {"one_minus_log_uniform": [0.9, 0.999]},
    "shift": {"uniform": [-1.0, 1.0]},
    "epochs": {"integer": [1, 10]},
}
SMALL = ["population.sizes=[5,4]", "population.evaluators=2", "ready_interval=20", "logger=[]"]


def run(algo: str, run_dir: Path, *arguments: str) -> dict[str, Any]:
    """A run of the quadratic learner as typed; returns its result."""
    config = resolve(compose(["learner=quadratic", f"algo={algo}", f"run_dir={run_dir}", "seed=3", *SMALL, *arguments]))
    return dict(starting.start(config).figures)


def journal(run_dir: Path) -> str:
    command = [sys.executable, "-m", "firerl.journal", str(run_dir), "--reports"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_journal_is_the_same_with_one_and_two_processes(algo: str, tmp_path: Path) -> None:
    one = run(algo, tmp_path / "1", "engine.processes=1", "steps=240")
    assert one == run(algo, tmp_path / "2", "engine.processes=2", "steps=240")
    assert journal(tmp_path / "1") == journal(tmp_path / "2")


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_run_that_was_resumed_half_way_ends_the_same(algo: str, tmp_path: Path) -> None:
    """State.memory and changes of hyperparameters at the last ready are part of what is kept."""
    arguments = ["engine=inline", *(["algo.anneal_steps=240"] if algo == "cosine" else [])]
    whole = run(algo, tmp_path / "whole", *arguments, "steps=240")
    run(algo, tmp_path / "half", *arguments, "steps=120")
    assert api.resume(tmp_path / "half", progress=False, steps=240).figures == whole
    assert journal(tmp_path / "half") == journal(tmp_path / "whole")


@pytest.mark.parametrize("algo", ALGORITHMS)
@given(st.integers(0, 2**32), st.booleans())
@hypothesis_settings(max_examples=5, deadline=None, database=None, derandomize=True)
def test_decide_is_pure_keeps_the_bounds_and_goes_on_from_text(algo: str, seed: int, synchronous: bool) -> None:
    module = find.algorithm(algo)
    sizes, evaluators = module.arrange((5, 5), 2)
    setup = Setup(sizes, evaluators, make_setup((1,), spec=NUMBERS).space, seed, 10, 20)
    own = {"hyperparameters": setup.space.sample(np.random.default_rng(seed), 99), "anneal_steps": 150}
    known = {f.name for f in dataclasses.fields(module.Settings)}
    settings = module.Settings(**{name: value for name, value in own.items() if name in known})
    module.validate(setup, settings)

    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float | None]:
        value += rng.normal(values["lr"], 1.0)
        return value, rng.choice([value, value, value, None, math.nan], p=[0.4, 0.3, 0.25, 0.03, 0.02])

    simulation = Simulation(module, setup, settings, learn)
    simulation.state = find.initial_state(module, setup, settings)
    for t in simulation.run(20, None if synchronous else seed):
        before = plain.state_from_plain(plain.loads(plain.dumps(t.before)))
        told = [plain.made(Report, plain.loads(plain.dumps(r))) for r in t.reports]
        again = module.decide(setup, settings, before, told)
        assert plain.dumps(again) == plain.dumps((t.after, t.decisions))
        assert before == t.before
        assert [w.id for w in t.after.workers] == list(range(len(t.after.workers)))
        assert all(setup.space.contains(w.hyperparameters) for w in t.after.workers if w.hyperparameters)

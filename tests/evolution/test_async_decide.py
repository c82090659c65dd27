"""decide() on one report at a time, in any order: what every algorithm must keep where nobody waits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from simulate import active, make_setup

from firerl.evolution import find, plain
from firerl.evolution.population import (
    Copy,
    Decision,
    Fail,
    Promote,
    Report,
    Set,
    Setup,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)

ALGORITHMS = find.names()
PACED = ("random", "constant", "cosine")  # nobody learns of the others
SPACE = {"lr": {"log_uniform": [1e-3, 1e-1], "bounds": [1e-4, 1.0]}, "epochs": {"integer": [1, 10]}}


@dataclass(frozen=True)
class Step:
    """One report and what was decided on it."""

    before: State
    report: Report
    after: State
    decisions: list[Decision]


def made(algo: str, seed: int) -> tuple[ModuleType, Setup, Any]:
    """The algorithm, evaluations every 10 steps, a ready every 20."""
    module = find.algorithm(algo)
    sizes, evaluators = module.arrange((5, 4), 3)
    setup = Setup(sizes, evaluators, make_setup((1,), spec=SPACE).space, seed, 10, 20)
    own = {
        "hyperparameters": setup.space.sample(np.random.default_rng(seed), 99), "anneal_steps": 150,
        "max_eval_steps": 80, "significance": 0.2, "min_points": 3,
    }  # fmt: skip
    known = {f.name for f in dataclasses.fields(module.Settings)}
    return module, setup, module.Settings(**{name: value for name, value in own.items() if name in known})


def told(setup: Setup, worker: Worker, noise: float) -> Report:
    """What this worker says next: a function of itself alone."""
    step = worker.step + setup.eval_interval
    draw = np.random.default_rng([setup.seed, worker.id, step])
    value = worker.network_step * worker.hyperparameters["lr"] + noise * float(draw.normal())
    luck = float(draw.random())
    if luck < 0.03:
        return Report(worker.id, step, None, failure="NaN")
    return Report(worker.id, step, None if luck < 0.06 else value)


def played(algo: str, seed: int, speeds: Sequence[float], reports: int, noise: float = 1.0) -> Iterator[Step]:
    """A run in which the next to report is drawn by the workers' speeds."""
    module, setup, settings = made(algo, seed)
    state = find.initial_state(module, setup, settings)
    draw = np.random.default_rng([seed, 1])
    for _ in range(reports):
        workers = active(state)
        if not workers or all(w.failed for w in state.workers if w.population == 1):
            return
        weights = np.array([speeds[w.id % len(speeds)] for w in workers])
        worker = workers[int(draw.choice(len(workers), p=weights / weights.sum()))]
        report = told(setup, worker, noise)
        after, decisions = module.decide(setup, settings, state, [report])
        yield Step(state, report, after, decisions)
        state = after


runs = given(st.integers(0, 2**32), st.lists(st.sampled_from([0.1, 1.0, 3.0]), min_size=1, max_size=7))
few = hypothesis_settings(max_examples=4, deadline=None, database=None, derandomize=True)


@pytest.mark.parametrize("algo", ALGORITHMS)
@runs
@few
def test_a_report_changes_who_reported_and_what_decisions_say(algo: str, seed: int, speeds: list[float]) -> None:
    """The others keep step, curve and hyperparameters, but for failed members that come back and evaluators."""
    _, setup, _ = made(algo, seed)
    for s in played(algo, seed, speeds, 80):
        reporter, before = s.report.worker, s.before.workers
        named = {reporter} | {d.worker for d in s.decisions} | {d.child for d in s.decisions if isinstance(d, Promote)}
        parents = {d.parent for d in s.decisions if isinstance(d, Promote | StopEvaluator)}  # measured: they note it
        for old, new in zip(before, s.after.workers, strict=True):
            if old.id not in named:
                assert new == (
                    dataclasses.replace(old, evaluated_point=new.evaluated_point) if new.id in parents else old
                )
            assert new.step >= old.step
            assert new.failed <= (old.failed or new.id == reporter)
            assert setup.space.contains(new.hyperparameters) or not new.hyperparameters
        for d in s.decisions:
            if isinstance(d, Fail | Set):
                assert d.worker == reporter
            elif isinstance(d, Promote):
                assert d.worker == reporter
                assert not before[d.child].failed
            elif isinstance(d, StopEvaluator):
                assert d.worker == reporter or d.reason == "replaced"
            elif isinstance(d, StartEvaluator):
                assert not s.after.workers[d.parent].failed


@pytest.mark.parametrize("algo", ALGORITHMS)
@runs
@few
def test_who_reports_exploits_at_its_own_ready_from_a_healthy_donor(algo: str, seed: int, speeds: list[float]) -> None:
    for s in played(algo, seed, speeds, 120, noise=0.1):
        reporter, before = s.before.workers[s.report.worker], s.before.workers
        due = not reporter.is_evaluator and s.report.step - reporter.ready_step >= 20
        failed = s.report.failure is not None
        for d in (d for d in s.decisions if isinstance(d, Copy)):
            assert due
            donor = s.report.worker if d.donor == reporter.id else d.donor
            assert not before[donor].failed
            assert not (failed and donor == reporter.id)
            assert d.fresh == (before[d.worker].failed or (failed and d.worker == reporter.id))
            assert d.fresh or d.worker == reporter.id
            if d.donor not in {c.worker for c in s.decisions if isinstance(c, Copy)}:
                promoted = {p.child for p in s.decisions if isinstance(p, Promote)}
                trained = 10 if donor == reporter.id else 0
                assert donor in promoted or d.network_step == before[donor].network_step + trained
        if due:
            assert s.after.workers[reporter.id].ready_step == s.report.step


@pytest.mark.parametrize("algo", PACED)
@runs
@few
def test_without_exploit_the_order_of_the_reports_is_of_no_matter(algo: str, seed: int, speeds: list[float]) -> None:
    """Each worker is a function of its own reports: as in a run that waits, cut at the same steps."""
    module, setup, settings = made(algo, seed)
    last = [*played(algo, seed, speeds, 60)][-1].after
    state = find.initial_state(module, setup, settings)
    while waiting := [w for w in active(state) if w.step < last.workers[w.id].step]:
        state, _ = module.decide(setup, settings, state, [told(setup, w, 1.0) for w in waiting])
    assert [dataclasses.replace(w, evaluated_point=-1) for w in state.workers] == list(last.workers)


@pytest.mark.parametrize("algo", ALGORITHMS)
@runs
@few
def test_decide_on_one_report_is_pure_and_goes_on_from_text(algo: str, seed: int, speeds: list[float]) -> None:
    module, setup, settings = made(algo, seed)
    for s in [*played(algo, seed, speeds, 60)][::7]:
        again = module.decide(setup, settings, plain.state_from_plain(plain.loads(plain.dumps(s.before))), [s.report])
        assert plain.dumps(again) == plain.dumps((s.after, s.decisions))
        assert not any(math.isnan(value) for w in s.after.workers for value in w.curve)

"""Runs in which nobody waits: what is decided is replayed, no step counts twice, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import multiprocess
import pytest
from async_runs import SMALL, check_no_step_twice, last_hash, played_again, points_of
from told_quadratic import Told

import firerl
from firerl import engine
from firerl.agents.quadratic.learner import Quadratic
from firerl.base.seeding import Purpose, integer_seed
from firerl.engine.inline import InlineEngine
from firerl.engine.interface import Interval, LearnerSpec, MachineFailure
from firerl.errors import PopulationDied, SettingError
from firerl.evolution import find
from firerl.evolution.population import Copy, Fail, Promote, StartEvaluator, StopEvaluator
from firerl.session import start as starting
from firerl.session.watching.progress import Round, Silent
from firerl.storage.journal.journal_db import Journal

COSTS = {"speed_spread": 1.0, "seconds_per_step": 0.1, "seconds_per_evaluation": 0.5, "seconds_per_copy": 0.1,
         "seconds_per_save": 0.1}  # fmt: skip


class Uneven(Told):
    """Takes as long as its first draw says: some are five times as slow as others."""

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        self.nap = 0.001 + seed % 5 * 0.001

    def train(self, steps: int) -> dict[str, float]:
        time.sleep(self.nap)
        return super().train(steps)


def simulated(run_dir: Path, algo: str = "fire", **more: Any) -> Any:
    """A run in virtual time, its result."""
    from firerl.config.compose import compose
    from firerl.config.request import resolve

    settings = {
        "learner": "quadratic", "algo": algo, "engine": {"name": "simulated", "processes": 11, **COSTS},
        "population": {"sizes": [4, 4], "evaluators": 3}, "steps": 40, "ready_interval": 20, "seed": 3, "sync": False,
        "logger": "none", "run_dir": str(run_dir), **more,
    }  # fmt: skip
    return starting.start(resolve(compose(settings=settings)))


class KillsAt(Silent):
    """Kills one of the engine's processes, by SIGKILL, after these reports."""

    def __init__(self, reports: Sequence[int]):
        self.left, self.count, self.notes = list(reports), 0, list[str]()

    def round_done(self, round: Round) -> None:
        self.count += 1
        if self.left and self.count == self.left[0]:
            self.left.pop(0)
            children = [c for c in multiprocess.active_children() if c.name.startswith("firerl-")]
            os.kill(children[self.count % len(children)].pid, signal.SIGKILL)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in two real processes, one of which is killed, with learners that overtake each other; one fails."""
    run_dir, killer = tmp_path_factory.mktemp("uneven") / "run", KillsAt([40])
    firerl.run(Uneven, run_dir=run_dir, engine="local", processes=2, observer=killer, **{**SMALL, "seed": 18})
    assert sum("SIGKILL" in note for note in killer.notes) == 1
    return run_dir


def test_a_run_ends_when_every_member_has_its_steps(uneven: Path) -> None:
    check_no_step_twice(uneven)
    with closing(Journal.open(uneven)) as journal:
        members = journal.last().state.workers[:8]
    # One that fails after the last ready of its sub-population has nobody left to take from.
    assert {worker.step for worker in members if not worker.failed} == {120}
    assert sum(worker.failed for worker in members) <= 2
    decisions = [d for p in points_of(uneven) for d in p.decisions]
    assert {type(d) for d in decisions} >= {Copy, Fail, StartEvaluator, StopEvaluator}


def test_one_report_is_decided_on_and_committed_at_a_time(uneven: Path) -> None:
    points = points_of(uneven)
    journal = Journal.open(uneven)
    assert [number for number, *_ in journal.hashes()] == list(range(len(points) + 1))
    assert all(len(point.reports) == 1 for point in points)
    losers = [(d.worker, p.reports[0].worker) for p in points for d in p.decisions if isinstance(d, Copy)]
    assert losers
    assert all(loser == reporter for loser, reporter in losers) or any(p.reports[0].failure for p in points)


def test_the_order_of_the_reports_alone_decides_the_journal_whatever_dies(uneven: Path, tmp_path: Path) -> None:
    assert played_again(uneven, Uneven, tmp_path / "again") == last_hash(uneven)


@pytest.mark.parametrize("algo", [name for name in find.names() if name != "retrace"])
def test_every_algorithm_runs_in_virtual_time_and_always_alike(algo: str, tmp_path: Path) -> None:
    first = simulated(tmp_path / "1", algo)
    check_no_step_twice(tmp_path / "1")
    steps = [p.reports[0].step for p in points_of(tmp_path / "1")]
    assert steps != sorted(steps)
    if algo == "fire":
        assert simulated(tmp_path / "2", algo).figures == first.figures


def test_with_one_process_and_equal_steps_workers_take_turns(tmp_path: Path) -> None:
    firerl.run("quadratic", run_dir=tmp_path / "r", engine="inline", algo="random", **{
        **SMALL, "algo_settings": {}, "steps": 40,
    })  # fmt: skip
    assert [(p.reports[0].worker, p.reports[0].step) for p in points_of(tmp_path / "r")] == [
        (worker, step) for step in range(10, 50, 10) for worker in range(11)
    ]


def test_a_killed_controller_goes_on_where_its_last_commit_was(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    line = [
        sys.executable, "-m", "firerl.launch", "learner=quadratic", "sync=false", "population.sizes=[4,4]", "steps=200",
        "population.evaluators=3", "ready_interval=20", "engine.processes=1", "logger=none", f"run_dir={run_dir}",
        "algo.significance=0.2",
    ]  # fmt: skip
    command = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    while not (run_dir / "journal.sqlite").exists() or len(points_of(run_dir)) < 25:
        assert command.poll() is None
        time.sleep(0.02)
    command.send_signal(signal.SIGKILL)
    command.wait()
    before = points_of(run_dir)
    reached = max(p.reports[0].step for p in before if p.reports[0].worker < 8)
    firerl.resume(run_dir, progress=False, engine="inline", steps=reached // 20 * 20 + 40)
    after = points_of(run_dir)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    check_no_step_twice(run_dir)
    assert played_again(run_dir, Quadratic, tmp_path / "again") == last_hash(run_dir)


class Deaths(InlineEngine):
    """Its one process dies whenever it computes worker 1 at step 30, in whatever process."""

    starts = 0

    def __init__(self, spec: LearnerSpec, alone: Sequence[int]):
        super().__init__(spec)
        Deaths.starts += 1
        self.alone = alone

    def begin(self, order: Interval) -> None:
        super().begin(order)
        advance, died = order.advance, order.advance.died is not None
        if (advance.worker, advance.evaluate_seed) == (1, integer_seed(2, Purpose.EVALUATE, 1, 30)) and not died:
            alone = 1 in self.alone
            told = {"process": int(alone), "call": "advance", "suspects": [1], "alone": alone}
            raise MachineFailure("the process was killed", **told)


def test_who_kills_its_process_again_and_again_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice with others in it, twice alone, as in a synchronous run; the others go on meanwhile."""
    Deaths.starts = 0
    monkeypatch.setattr(engine, "make_engine", lambda name, spec, *rest: Deaths(spec, rest[4]))
    firerl.run("quadratic", run_dir=tmp_path / "r", engine="inline", **{**SMALL, "steps": 60})
    fails = [d for p in points_of(tmp_path / "r") for d in p.decisions if isinstance(d, Fail)]
    assert [(d.worker, d.step, d.failure) for d in fails] == [(1, 30, "died")]
    assert Deaths.starts == 5
    check_no_step_twice(tmp_path / "r")


class Doomed(Quadratic):
    """Cannot be built."""

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        if seed % 3 == 0:
            raise ZeroDivisionError("as the test wanted")
        super().__init__(settings, hyperparameters, seed, device)


@pytest.mark.parametrize("seed", range(3))
def test_a_learner_that_cannot_be_built_fails_and_is_replaced(tmp_path: Path, seed: int) -> None:
    try:
        firerl.run(Doomed, run_dir=tmp_path / "r", engine="inline", **{**SMALL, "seed": seed, "steps": 60})
    except PopulationDied:
        pytest.skip("nobody of P1 could be built")
    fails = [d for p in points_of(tmp_path / "r") for d in p.decisions if isinstance(d, Fail)]
    assert {d.failure for d in fails} == {"ZeroDivisionError"}


def test_a_dead_p1_ends_the_run(tmp_path: Path) -> None:
    class Nan(Quadratic):
        def evaluate(self, seed: int) -> float:
            return float("nan")

    with pytest.raises(PopulationDied, match="P1"):
        firerl.run(Nan, run_dir=tmp_path / "r", engine="inline", **SMALL)
    with pytest.raises(PopulationDied, match="P1"):
        firerl.resume(tmp_path / "r", Nan, progress=False)


def test_a_finished_run_can_be_extended_but_not_shortened(tmp_path: Path) -> None:
    firerl.run("quadratic", run_dir=tmp_path / "r", engine="inline", **{**SMALL, "steps": 60})
    with pytest.raises(SettingError, match="already at step 60"):
        firerl.resume(tmp_path / "r", progress=False, steps=40)
    assert firerl.resume(tmp_path / "r", progress=False, steps=100).figures["steps"] == 100
    check_no_step_twice(tmp_path / "r")


def test_stop_objective_ends_at_the_next_report(tmp_path: Path) -> None:
    result = simulated(tmp_path / "r", steps=60, stop={"objective": 0.3})
    assert result.figures["stopped"] == "stop.objective"
    reports = [p.reports[0] for p in points_of(tmp_path / "r")]
    assert [r.worker < 4 and (r.objective or 0) >= 0.3 for r in reports].index(True) == len(reports) - 1


def test_the_result_is_the_winners_network(uneven: Path) -> None:
    """Also where it was promoted and has not reported since: its weights lie in its evaluator's file."""
    from firerl.storage import checkpoint

    best = checkpoint.read(uneven / "best.pt")
    learner = Uneven(Told.settings, best["hyperparameters"], 0, "cpu")
    learner.load(weights=best["weights"])
    journal = Journal.open(uneven)
    worker = journal.last().state.workers[(journal.result() or {})["worker"]]
    assert learner.evaluate(1) == worker.curve[-1]


def test_a_promotion_reaches_a_child_in_the_middle_of_its_interval(tmp_path: Path) -> None:
    """Its interval is thrown away: its next report is its evaluator's network, one interval later."""
    simulated(tmp_path / "r", steps=100, seed=5, algo={"name": "fire", "significance": 0.3, "max_eval_steps": 60})
    promotions = [d for p in points_of(tmp_path / "r") for d in p.decisions if isinstance(d, Promote)]
    assert promotions
    check_no_step_twice(tmp_path / "r")
    assert played_again(tmp_path / "r", Quadratic, tmp_path / "again") == last_hash(tmp_path / "r")


def test_what_needs_that_workers_wait_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^learner\.stacked=2: must be null with sync=false"):
        firerl.run("classifier", run_dir=tmp_path / "r", settings={"stacked": 2}, sync=False)
    firerl.run("quadratic", run_dir=tmp_path / "r", engine="inline", **{**SMALL, "steps": 20})
    with pytest.raises(SettingError, match="sync cannot change when a run is resumed"):
        firerl.resume(tmp_path / "r", sync=True)

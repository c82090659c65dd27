"""What users of other PBT implementations complain of, each as a test (the list: docs/lab/reliability.md)."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from runs_for_tests import StopAt

import firerl
from firerl.errors import SettingError
from firerl.evolution import evaluators
from firerl.evolution.curves import smoothing
from firerl.evolution.population import Copy, Decision, Fail, Promote, Report, Set, StartEvaluator
from firerl.insight.health.health import examine
from firerl.learner import Learner
from firerl.session.watching.progress import Round, Silent
from firerl.storage.journal.journal_db import Journal

INTERVAL, READY = 10, 30
BOUNDS = (0.05, 0.3)
SMALL: dict[str, Any] = {
    "population": [4, 4], "evaluators": 2, "steps": 450, "eval_interval": INTERVAL, "ready_interval": READY,
    "engine": "inline", "seed": 3, "progress": False,
}  # fmt: skip


class Ledger(Learner):
    """Its weights are an account of its training: steps taken, and the integral of its rate over them."""

    space: ClassVar = {
        "rate": {"log_uniform": [0.1, 0.2], "bounds": list(BOUNDS)},
        "batch": {"integer": [3, 15], "bounds": [1, 20]},
    }
    settings: ClassVar[Mapping[str, Any]] = {"sick": None}  # the member whose evaluations are NaN from step 100 on
    made: ClassVar[int] = 0

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.sick = settings["sick"]
        self.steps, self.dose, self.seed = 0, 0.0, seed
        self.set_hyperparameters(hyperparameters)

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        self.rate, self.batch = values["rate"], values["batch"]

    def train(self, steps: int) -> dict[str, float]:
        self.steps += steps
        self.dose += self.rate * steps
        return {"steps": float(self.steps), "dose": self.dose, "rate": self.rate, "batch": float(self.batch)}

    def evaluate(self, seed: int) -> float:
        if self.sick is not None and self.steps > 100 and self.seed % 8 == self.sick:
            return math.nan
        return self.dose + 0.1 * math.sin(self.seed % 100 + self.steps)  # some noise, of its own

    def state(self) -> dict[str, Any]:
        return {"weights": {"steps": self.steps, "dose": self.dose}, "stream": {"seed": self.seed}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.steps, self.dose = weights["steps"], weights["dose"]
        if stream is not None:
            self.seed = stream["seed"]


def cut_and_resumed(run_dir: Path, rounds: int, **more: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        firerl.run(Ledger, run_dir=run_dir, observer=StopAt(rounds), **{**SMALL, **more})
    firerl.resume(run_dir, Ledger)


def history(run_dir: Path) -> list[tuple[list[Report], list[Decision]]]:
    with closing(Journal.open(run_dir)) as journal:
        return [(list(point.reports), list(point.decisions)) for point in journal.points()]


def first_values(run_dir: Path) -> dict[int, Mapping[str, Any]]:
    with closing(Journal.open(run_dir)) as journal:
        return {w.id: w.hyperparameters for w in journal.initial_state().workers if not w.is_evaluator}


@pytest.mark.parametrize(
    ("algo", "rounds"),
    [("pbt", None), ("fire", None), ("fire_lean", None), ("mfpbt", None), ("pb2", None), ("pbt", 7), ("fire", 31)],
)
def test_every_network_is_the_sum_of_the_steps_and_hyperparameters_that_the_journal_tells(
    tmp_path: Path, algo: str, rounds: int | None
) -> None:
    """Weights come with a copy, no step is trained twice or lost, what is tuned reaches the learner; resumed, too."""
    if rounds is None:
        firerl.run(Ledger, run_dir=tmp_path / "r", algo=algo, **SMALL)
    else:
        cut_and_resumed(tmp_path / "r", rounds, algo=algo)
    values = dict(first_values(tmp_path / "r"))
    accounts = dict.fromkeys(values, (0.0, 0.0))  # of each network: steps, dose
    copies = 0
    for reports, decisions in history(tmp_path / "r"):
        for report in reports:
            steps, dose = accounts[report.worker]
            rate, batch = values[report.worker]["rate"], values[report.worker]["batch"]
            accounts[report.worker] = (steps + INTERVAL, dose + rate * INTERVAL)
            assert report.metrics["rate"] == rate
            assert report.metrics["batch"] == batch
            assert report.metrics["steps"] == accounts[report.worker][0]
            assert report.metrics["dose"] == pytest.approx(accounts[report.worker][1], rel=1e-12)
        for decision in decisions:
            match decision:
                case Copy():
                    copies += decision.worker != decision.donor
                    accounts[decision.worker] = accounts[decision.donor]
                    values[decision.worker] = decision.hyperparameters
                case StartEvaluator():
                    accounts[decision.worker] = accounts[decision.parent]
                    values[decision.worker] = decision.hyperparameters
                case Promote():
                    accounts[decision.child] = accounts[decision.worker]
                case Set():
                    values[decision.worker] = decision.hyperparameters
    assert copies


@pytest.mark.parametrize("rounds", [7, 31])
def test_a_resume_explores_with_the_same_draws(tmp_path: Path, rounds: int) -> None:
    firerl.run(Ledger, run_dir=tmp_path / "whole", **SMALL)
    cut_and_resumed(tmp_path / "cut", rounds)
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    explored = [d.hyperparameters for _, ds in history(tmp_path / "cut") for d in ds if isinstance(d, Copy)]
    assert len({values["rate"] for values in explored}) >= 5


def test_explored_values_stay_in_their_bounds_and_keep_their_kind(tmp_path: Path) -> None:
    """With factors that would leave the bounds at once."""
    firerl.run(Ledger, run_dir=tmp_path / "r", algo_settings={"explore_factors": [0.1, 10.0]}, **SMALL)
    rates, batches = set(), set()
    for reports, _ in history(tmp_path / "r"):
        rates |= {report.metrics["rate"] for report in reports}
        batches |= {report.metrics["batch"] for report in reports}
    assert min(rates) == BOUNDS[0]
    assert max(rates) == BOUNDS[1]
    assert {batch.is_integer() for batch in batches} == {True}
    assert (min(batches), max(batches)) == (1, 20)


def test_a_member_that_reports_nan_is_replaced_and_ranks_nowhere(tmp_path: Path) -> None:
    firerl.run(Ledger, run_dir=tmp_path / "r", settings={"sick": 5}, **SMALL)
    rows = history(tmp_path / "r")
    failed = {d.worker for _, ds in rows for d in ds if isinstance(d, Fail)}
    assert failed
    assert all(r.objective is None for reports, _ in rows for r in reports if r.failure)
    donors = {(d.step, d.donor) for _, ds in rows for d in ds if isinstance(d, Copy)}
    resting: set[int] = set()
    for _, decisions in rows:
        resting |= {d.worker for d in decisions if isinstance(d, Fail)}
        for decision in decisions:
            if isinstance(decision, Copy):
                assert decision.donor not in resting
        resting -= {d.worker for d in decisions if isinstance(d, Copy | StartEvaluator)}
    assert donors


def test_nobody_waits_for_a_member_that_failed(tmp_path: Path) -> None:
    """The others report at each evaluation point, up to the last."""
    firerl.run(Ledger, run_dir=tmp_path / "r", settings={"sick": 5}, algo="random", **SMALL)
    rows = history(tmp_path / "r")
    out = {d.worker for _, ds in rows for d in ds if isinstance(d, Fail)}
    assert out
    assert len(rows) == SMALL["steps"] // INTERVAL
    assert all({r.worker for r in reports} >= set(range(10)) - out for reports, _ in rows)


def test_only_networks_of_the_same_age_are_compared(tmp_path: Path) -> None:
    firerl.run(Ledger, run_dir=tmp_path / "r", **SMALL)
    for reports, _ in history(tmp_path / "r"):
        assert len({report.step for report in reports}) == 1


def test_no_truncation_means_no_copy(tmp_path: Path) -> None:
    """Or is refused: never a copy from the whole population."""
    with pytest.raises(SettingError, match=r"algo\.truncation"):
        firerl.run(Ledger, run_dir=tmp_path / "r", algo="pbt", algo_settings={"truncation": 0.0}, **SMALL)


class Whole(Silent):
    """After each round, all that a resume needs is there."""

    def __init__(self, run_dir: Path):
        self.run_dir, self.rounds = run_dir, 0

    def round_done(self, round: Round) -> None:
        self.rounds += 1
        assert examine(self.run_dir).whole


def test_no_checkpoint_goes_that_is_still_needed(tmp_path: Path) -> None:
    watch = Whole(tmp_path / "r")
    firerl.run(Ledger, run_dir=tmp_path / "r", observer=watch, **SMALL)
    assert watch.rounds == SMALL["steps"] // INTERVAL


class Memory(Silent):
    """Bytes of Python's objects at some rounds."""

    def __init__(self, at: tuple[int, ...]):
        self.at, self.rounds = at, 0
        self.bytes: list[int] = []

    def round_done(self, round: Round) -> None:
        self.rounds += 1
        if self.rounds in self.at:
            smoothing.forget()  # they are many at first, and then no more
            evaluators._smoothed.cache_clear()  # likewise, at most 1,024
            gc.collect()
            self.bytes.append(tracemalloc.get_traced_memory()[0])


def test_memory_does_not_grow_with_the_rounds(tmp_path: Path) -> None:
    """The controller's and the learners' objects; docs/lab/reliability.md has processes over hours."""
    watch = Memory((30, 60, 90))
    tracemalloc.start()
    try:
        firerl.run(Ledger, run_dir=tmp_path / "r", observer=watch, **{**SMALL, "steps": 900})
    finally:
        tracemalloc.stop()
    growth = [after - before for before, after in pairwise(watch.bytes)]
    assert max(growth) < 50_000, watch.bytes  # 300 reports kept would be three times that


def test_a_run_that_was_interrupted_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        firerl.run(Ledger, run_dir=tmp_path / "r", observer=StopAt(1), **SMALL)
    assert not (tmp_path / "r" / "result.json").exists()
    assert firerl.resume(tmp_path / "r", Ledger).figures["steps"] == SMALL["steps"]


def test_more_steps_mean_more_progress(tmp_path: Path) -> None:
    before = firerl.run(Ledger, run_dir=tmp_path / "r", **SMALL).objective
    after = firerl.resume(tmp_path / "r", Ledger, steps=600)
    assert after.figures["steps"] == 600
    assert after.objective is not None
    assert before is not None
    assert after.objective > before

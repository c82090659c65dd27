"""The loop: failures of learners and machines, resuming, extending, stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from runs_for_tests import StopAt

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.config.compose import compose
from firerl.config.promised import NOT_PROMISED
from firerl.config.request import resolve
from firerl.config.run_config import to_plain
from firerl.engine.inline import InlineEngine
from firerl.engine.interface import Advance, LearnerSpec, MachineFailure, Outcome
from firerl.errors import FirerlError, PopulationDied, SettingError
from firerl.evolution.plain import dumps, loads
from firerl.evolution.population import Copy, Fail, Promote, Set, StartEvaluator, StopEvaluator
from firerl.session import controller
from firerl.session import start as starting
from firerl.session.watching.progress import Silent
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store

SMALL: dict[str, Any] = {"population": [4, 4], "evaluators": 2, "steps": 480, "engine": "inline", "seed": 5}


class Sick(Quadratic):
    """Fails in ways that its settings name, as a function of the worker's seed and step alone."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "sick": "raise", "from_step": 100, "share": 0.3}

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        self.options, self.steps = settings, 0
        self.sick = np.random.default_rng(seed + 1).random() < settings["share"]

    def train(self, steps: int) -> dict[str, float]:
        self.steps += steps
        if self.sick and self.steps > self.options["from_step"] and self.options["sick"] != "nan":
            self.sick = False
            raise SystemExit(3) if self.options["sick"] == "exit" else ZeroDivisionError("sick")
        return super().train(steps)

    def evaluate(self, seed: int) -> float:
        if self.sick and self.steps > self.options["from_step"]:
            return math.nan
        return super().evaluate(seed)

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {"weights": state["weights"], "stream": {**state["stream"], "steps": self.steps, "sick": self.sick}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if stream is not None:
            stream = dict(stream)
            self.steps, self.sick = stream.pop("steps"), stream.pop("sick")
        super().load(weights, stream)


def journal_of(run_dir: Path) -> Journal:
    return Journal.open(run_dir)


@pytest.mark.parametrize(("sick", "failure"), [("raise", "ZeroDivisionError"), ("exit", "SystemExit"), ("nan", "NaN")])
def test_a_learner_that_fails_is_replaced_and_the_run_goes_on(tmp_path: Path, sick: str, failure: str) -> None:
    run_dir = tmp_path / "r"
    result = firerl.run(Sick, settings={"sick": sick}, run_dir=run_dir, **SMALL)
    decisions = journal_of(run_dir).decisions()
    fails = [d for d in decisions if isinstance(d, Fail)]
    assert fails
    assert {d.failure for d in fails} == {failure}
    members = [d.worker for d in fails if d.worker < 8]
    assert {d.worker for d in decisions if isinstance(d, Copy) and d.fresh} == set(members)
    assert result.figures["steps"] == 480
    assert "sick" in (run_dir / "failures.log").read_text() or sick != "raise"


def test_under_random_search_a_failed_member_stays_out(tmp_path: Path) -> None:
    firerl.run(Sick, algo="random", run_dir=tmp_path / "r", **SMALL)
    points = list(journal_of(tmp_path / "r").points())
    failed = {d.worker for d in journal_of(tmp_path / "r").decisions() if isinstance(d, Fail)}
    assert failed
    assert failed.isdisjoint(report.worker for report in points[-1].reports)


def test_a_p1_that_dies_before_the_first_ready_leaves_nothing_that_a_resume_cannot_leave(tmp_path: Path) -> None:
    with pytest.raises(PopulationDied, match=r"P1 at step \d+ \(.*a resume tries again") as died:
        firerl.run(Sick, settings={"share": 1.0}, run_dir=tmp_path / "r", **SMALL)
    assert f"see {tmp_path / 'r' / 'failures.log'}" in str(died.value)
    assert "; the last: " in str(died.value)
    journal = journal_of(tmp_path / "r")
    assert (journal.last().number, journal.decisions()) == (0, [])
    with pytest.raises(PopulationDied, match="P1"):
        firerl.resume(tmp_path / "r", Sick)


class Frail(InlineEngine):
    """Dies at the given advances."""

    advances = 0
    deaths: frozenset[int] = frozenset()

    def advance(self, orders: Sequence[Advance], on_outcome: Any) -> list[Outcome]:
        Frail.advances += 1
        if Frail.advances in Frail.deaths:
            raise MachineFailure("process 1 died (SIGKILL)")
        return super().advance(orders, on_outcome)


def run_frail(run_dir: Path, deaths: Sequence[int]) -> dict[str, Any]:
    Frail.advances, Frail.deaths = 0, frozenset(deaths)
    config = resolve(compose(settings={
        "learner": "quadratic", "engine": "inline", "steps": 480, "seed": 5, "run_dir": str(run_dir),
        "population": {"sizes": [4, 4], "evaluators": 2},
    }))  # fmt: skip
    plain = loads(dumps(to_plain(config)))
    promised = {key: value for key, value in plain.items() if key not in NOT_PROMISED}
    with Store.create(run_dir, plain, promised, starting.initial_state_of(config), usual={"aside": []}) as store:
        spec = LearnerSpec(Quadratic, config.settings)
        return controller.Controller(config, Quadratic, store, Silent(), lambda alone: Frail(spec)).run()


def test_a_machine_failure_is_no_part_of_the_result(tmp_path: Path) -> None:
    whole = run_frail(tmp_path / "whole", [])
    broken = run_frail(tmp_path / "broken", [1, 9, 10, 30])
    assert broken == whole
    assert (tmp_path / "broken" / "best.pt").read_bytes() == (tmp_path / "whole" / "best.pt").read_bytes()


def test_a_machine_that_fails_again_and_again_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(FirerlError, match="in a row at step 60"):
        run_frail(tmp_path / "r", range(8, 20))


def test_a_longer_run_equals_a_shorter_one_that_was_extended(tmp_path: Path) -> None:
    long = firerl.run("quadratic", run_dir=tmp_path / "long", **SMALL)
    firerl.run("quadratic", run_dir=tmp_path / "short", **{**SMALL, "steps": 180})
    extended = firerl.resume(tmp_path / "short", steps=480)
    assert extended.figures == long.figures
    for name in ("best.pt", "best_ever.pt", "schedule.yaml", "result.json"):
        assert (tmp_path / "short" / name).read_bytes() == (tmp_path / "long" / name).read_bytes(), name


class Unlucky(Quadratic):
    """Worker 5 fails before its first ready; there it is replaced, and later it copies once more."""

    def evaluate(self, seed: int) -> float:
        return math.nan if seed % 50 == 0 else super().evaluate(seed)


def test_a_failed_member_that_was_replaced_keeps_its_stream_with_and_without_a_resume(tmp_path: Path) -> None:
    """At every generation: whoever has failed before must be no stranger to the engine that was never restarted."""
    small = {
        "settings": {"dimensions": 10}, "population": [3, 3], "evaluators": 2, "ready_interval": 20, "seed": 19,
        "engine": "inline", "progress": False,
    }  # fmt: skip
    long = firerl.run(Unlucky, run_dir=tmp_path / "long", steps=120, **small)
    assert sum(row["event"] == "report" and row["failure"] is not None for row in long.journal) >= 2
    for steps in range(20, 120, 20):
        run_dir = tmp_path / f"{steps}"
        firerl.run(Unlucky, run_dir=run_dir, steps=steps, **small)
        again = firerl.resume(run_dir, Unlucky, steps=120, progress=False)
        assert again.figures["hash"] == long.figures["hash"], steps


@pytest.mark.parametrize("rounds", [1, 6, 7, 23, 48])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(tmp_path: Path, rounds: int) -> None:
    whole = firerl.run(Sick, run_dir=tmp_path / "whole", **SMALL)
    with pytest.raises(KeyboardInterrupt):
        firerl.run(Sick, run_dir=tmp_path / "cut", observer=StopAt(rounds), **SMALL)
    assert firerl.resume(tmp_path / "cut", Sick).figures == whole.figures
    first, second = (list(journal_of(tmp_path / name).points()) for name in ("whole", "cut"))
    assert first == second


def test_a_finished_run_returns_at_once(tmp_path: Path) -> None:
    result = firerl.run("quadratic", run_dir=tmp_path / "r", **SMALL)
    stamp = (tmp_path / "r" / "result.json").stat().st_mtime_ns
    assert firerl.resume(tmp_path / "r").figures == result.figures
    assert (tmp_path / "r" / "result.json").stat().st_mtime_ns == stamp


def test_a_shorter_run_than_has_been_is_refused(tmp_path: Path) -> None:
    firerl.run("quadratic", run_dir=tmp_path / "r", **SMALL)
    with pytest.raises(SettingError, match="already at step 480"):
        firerl.resume(tmp_path / "r", steps=60)


def test_stop_objective_ends_at_the_next_ready_and_can_be_lifted(tmp_path: Path) -> None:
    firerl.run("quadratic", run_dir=tmp_path / "whole", **SMALL)
    config = resolve(compose(settings={
        "learner": "quadratic", "engine": "inline", "steps": 480, "seed": 5, "run_dir": str(tmp_path / "r"),
        "population": {"sizes": [4, 4], "evaluators": 2}, "stop": {"objective": 0.3},
    }))  # fmt: skip
    stopped = starting.start(config)
    assert stopped.figures["stopped"] == "stop.objective"
    assert stopped.figures["steps"] < 480
    assert stopped.figures["steps"] % 60 == 0
    assert (stopped.figures["objective"] or 0) >= 0.3
    objective = r"steps=960: stop\.objective=0\.3 has ended this run at step \d+.* give stop\.objective=<more>"
    with pytest.raises(SettingError, match=objective):
        firerl.resume(tmp_path / "r", steps=960)
    with pytest.raises(SettingError, match=objective):
        firerl.resume(tmp_path / "r", steps=960, stop={"hours": 2})
    assert firerl.resume(tmp_path / "r").figures == stopped.figures
    on = firerl.resume(tmp_path / "r", steps=480, stop={"objective": None})
    assert on.figures == firerl.resume(tmp_path / "whole").figures


def test_decisions_become_transfers_in_their_order() -> None:
    from firerl.evolution.population import Setup, initial_state
    from firerl.evolution.space import Space

    setup = Setup((2, 2), 2, Space.parse({"lr": {"uniform": [0, 1]}}), 0, 1, 2)
    state = initial_state(setup)
    own = state.workers[0].hyperparameters
    decisions = [
        Promote(4, 2, 0, 8, 8, 7, 1.0, 0.001),
        StopEvaluator(5, 3, 1, 8, "timeout", 8, 0.0, 1.0),
        Copy(1, 0, 8, 8, own, {"lr": 0.5}, 0.1, 0.2),
        StartEvaluator(4, 3, 0, 8, 8, own),
        StartEvaluator(5, 2, 0, 8, 8, own),
        Set(2, 8, 8, {"lr": 0.75}),
    ]
    built = {0, 1, 2, 3, 4}
    orders = controller.transfers(setup, state, decisions, built)
    assert [(o.source, o.target, o.seed is None) for o in orders] == [
        (4, 0, True), (0, 1, True), (3, 4, True), (2, 5, False), (2, 2, True)
    ]  # fmt: skip
    assert orders[0].hyperparameters == own
    assert orders[1].hyperparameters == {"lr": 0.5}
    assert orders[4].hyperparameters == {"lr": 0.75}
    assert 5 in built


class Untold(Quadratic):
    """Cannot say how good the winner is."""

    def report(self, seed: int) -> dict[str, float]:
        raise ValueError("no held-out data")


def test_a_report_that_fails_costs_its_figures_only(tmp_path: Path) -> None:
    result = firerl.run(Untold, run_dir=tmp_path / "r", **SMALL)
    assert result.figures["fresh"] == {}
    assert "no held-out data" in (tmp_path / "r" / "failures.log").read_text()


class Forgetful(Quadratic):
    """Does not take its stream back while ``broken``."""

    broken = False

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if stream is not None and Forgetful.broken:
            raise OSError("too many open files")
        super().load(weights, stream)


def test_what_fails_when_a_state_is_loaded_is_no_part_of_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = firerl.run(Forgetful, run_dir=tmp_path / "whole", **SMALL)
    with pytest.raises(KeyboardInterrupt):
        firerl.run(Forgetful, run_dir=tmp_path / "cut", observer=StopAt(20), **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(Forgetful, "broken", True)
        with pytest.raises(FirerlError, match="too many open files"):
            firerl.resume(tmp_path / "cut", Forgetful)
    assert firerl.resume(tmp_path / "cut", Forgetful).figures == whole.figures


def test_a_device_that_is_not_there_is_refused_before_anything_changes(tmp_path: Path) -> None:
    whole = firerl.run("quadratic", run_dir=tmp_path / "r", **SMALL)
    with pytest.raises(SettingError, match=r"^engine\.devices=cuda:99: there is no cuda:99 here"):
        firerl.resume(tmp_path / "r", steps=600, engine={"devices": "cuda:99"})
    assert firerl.resume(tmp_path / "r").figures == whole.figures

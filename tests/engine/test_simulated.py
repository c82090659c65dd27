"""Simulated time: the results of any engine, the times of another machine; and the learner that trains nothing."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firerl import api
from firerl.agents.quadratic.learner import Quadratic
from firerl.base.seeding import Purpose, generator
from firerl.commands.launch import main
from firerl.config.compose import compose
from firerl.config.request import changed, resolve
from firerl.config.run_config import RunConfig, modelled
from firerl.engine.interface import Advance, Costs, Create, Interval, LearnerSpec, Transfer
from firerl.engine.simulated import simulated_engine
from firerl.engine.simulated.modelled_learner import Modelled, distance, pace_of
from firerl.engine.simulated.simulated_engine import SimulatedEngine
from firerl.errors import SettingError
from firerl.evolution.population import Copy, Fail
from firerl.evolution.space import Space
from firerl.session import start as starting
from firerl.session.watching.progress import Round, Silent
from firerl.storage import checkpoint
from firerl.storage.journal.journal_db import Journal

SMALL = ["population.sizes=[4,4]", "population.evaluators=2", "steps=240", "seed=5", "logger=[]"]
REAL = ["learner=quadratic", *SMALL]
MODELLED = ["learner=modelled", "learner.of=quadratic", *SMALL]
COSTS = ["engine.seconds_per_step=0.1", "engine.seconds_per_evaluation=0.5"]
SPEC = LearnerSpec(Quadratic, Quadratic.settings)


class Told(Silent):
    """Keeps the rounds."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []

    def round_done(self, round: Round) -> None:
        self.rounds.append(round)


def made(*arguments: str) -> RunConfig:
    return resolve(compose(arguments))


def started(run_dir: Path, *arguments: str) -> list[Round]:
    told = Told()
    starting.start(made(*arguments, f"run_dir={run_dir}"), observer=told)
    return told.rounds


def rows(run_dir: Path) -> tuple[Any, ...]:
    """Everything promised, and the result files."""
    journal = Journal.open(run_dir)
    names = ("result.json", "best.pt", "best_ever.pt", "schedule.yaml")
    return list(journal.points()), journal.hashes(), [(run_dir / name).read_bytes() for name in names]


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real time stands still for the engine: its clock shows the model alone."""
    monkeypatch.setattr(simulated_engine, "perf_counter", lambda: 0.0)


@pytest.mark.parametrize("learner", [REAL, MODELLED])
def test_the_journal_is_the_inline_engines_with_any_number_of_simulated_processes(
    tmp_path: Path, learner: list[str]
) -> None:
    started(tmp_path / "inline", *learner, "engine=inline")
    for processes, spread in ((1, 0.0), (3, 1.0)):
        run_dir = tmp_path / str(processes)
        started(
            run_dir,
            *learner,
            "engine=simulated",
            *COSTS,
            f"engine.processes={processes}",
            f"engine.speed_spread={spread}",
        )
        assert rows(run_dir) == rows(tmp_path / "inline")


@pytest.mark.usefixtures("_still")
@pytest.mark.parametrize("spread", [0.0, 0.2, 1.0])
def test_an_interval_takes_what_its_busiest_process_takes(spread: float) -> None:
    costs = Costs(seed=7, speed_spread=spread, seconds_per_step=0.1, seconds_per_evaluation=0.5)
    engine = SimulatedEngine(SPEC, 3, costs)
    engine.create([Create(worker, {"lr": 0.1}, worker) for worker in range(8)])
    assert engine.now() == 0.0
    outcomes = engine.advance([Advance(worker, 10, 0) for worker in range(8)], lambda _: None)
    speeds = [generator(7, Purpose.SPEED, worker).uniform(1 - spread / 2, 1 + spread / 2) for worker in range(8)]
    taken = [(10 * 0.1 + 0.5) / speed for speed in speeds]
    assert engine.now() == pytest.approx(max(sum(taken[process::3]) for process in range(3)))
    assert [o.train_seconds + o.evaluate_seconds for o in outcomes] == pytest.approx(taken)
    assert (len(set(taken)) == 1) == (spread == 0)


@pytest.mark.usefixtures("_still")
def test_copies_and_saves_take_what_the_busiest_process_takes(tmp_path: Path) -> None:
    engine = SimulatedEngine(SPEC, 2, Costs(seconds_per_copy=3.0, seconds_per_save=10.0))
    engine.create([Create(worker, {"lr": 0.1}, worker) for worker in range(5)])
    engine.transfer([Transfer(0, 1, {"lr": 0.1}), Transfer(0, 3, {"lr": 0.1}), Transfer(0, 2, {"lr": 0.1})])
    assert engine.now() == 2 * 3.0  # targets 1 and 3 live in process 1
    assert len(engine.save(tmp_path, "g1", range(9))) == 5
    assert engine.now() == 2 * 3.0 + 3 * 10.0  # workers 0, 2, 4 live in process 0; 5 to 8 do not live


@pytest.mark.usefixtures("_still")
def test_new_hyperparameters_for_kept_weights_are_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SimulatedEngine(SPEC, 2, Costs(seconds_per_copy=3.0))
    engine.create([Create(worker, {"lr": 0.1}, worker) for worker in range(4)])
    monkeypatch.setattr(Quadratic, "state", lambda _: pytest.fail("weights are fetched"))
    engine.transfer([Transfer(worker, worker, {"lr": 0.2}) for worker in range(4)])
    assert engine.now() == 0.0


def test_costs_that_are_not_given_are_measured() -> None:
    engine = SimulatedEngine(SPEC, 2, Costs())
    engine.create([Create(worker, {"lr": 0.1}, worker) for worker in range(4)])
    begun = engine.now()
    outcomes = engine.advance([Advance(worker, 100, 0) for worker in range(4)], lambda _: None)
    taken = [outcome.train_seconds + outcome.evaluate_seconds for outcome in outcomes]
    longest = max(taken[0] + taken[2], taken[1] + taken[3])
    assert longest < engine.now() - begun < longest + 0.5 * sum(taken)
    assert min(taken) > 0


def test_a_run_is_timed_in_virtual_time(tmp_path: Path) -> None:
    """10 workers in 4 processes, one of which hosts 3: an interval of 1.5 s a worker takes 4.5 s and idles 1/6."""
    arguments = [*REAL, "engine=simulated", *COSTS, "engine.seconds_per_copy=0", "engine.seconds_per_save=2"]
    rounds = started(tmp_path / "r", *arguments, "engine.processes=4")
    full = [r for r in rounds if len(r.point.reports) == 10]
    assert len(full) > 15
    for round in full:
        saving = 3 * 2.0 if round.committed else 0.0
        assert round.seconds == pytest.approx(4.5 + saving, abs=0.4)  # decisions and the journal take their real time
        assert round.parts["train"] == pytest.approx(10 * 1.0 / (4 * round.seconds))
        assert round.parts["evaluate"] == pytest.approx(10 * 0.5 / (4 * round.seconds))
        assert round.parts["idle"] == pytest.approx(3.0 / (4 * round.seconds), abs=0.01)
    timings = Journal.open(tmp_path / "r").timings()
    assert sum(t["seconds"] for t in timings) == pytest.approx(sum(r.seconds for r in rounds), rel=0.05)


def test_processes_that_share_a_worker_take_less_virtual_time_for_the_same_reports(tmp_path: Path) -> None:
    """Three workers of 1.5 s in two processes: 3 s, and 2.5 s where each begins or finishes the third's training."""
    one = ["learner=quadratic", "population.sizes=[3]", "population.evaluators=0", "algo=pbt", "steps=480", "logger=[]"]
    one += ["eval_interval=10", "ready_interval=40", "chunk=5"]
    started(tmp_path / "inline", *one, "engine=inline")
    arguments = [*COSTS, "engine.seconds_per_copy=0", "engine.seconds_per_save=0", "engine.processes=2"]
    rounds = started(tmp_path / "r", *one, "engine=simulated", *arguments)
    assert rows(tmp_path / "r") == rows(tmp_path / "inline")
    assert rounds[1].seconds == pytest.approx(3.0, abs=0.3)
    assert sorted(r.seconds for r in rounds[8:])[20] == pytest.approx(2.5, abs=0.3)


def test_hours_are_virtual_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    arguments = [*MODELLED, "learner.failure_rate=0.002", "engine=simulated", *COSTS, "engine.processes=2"]
    started(tmp_path / "whole", *arguments)
    started(tmp_path / "r", *arguments, "stop.hours=0.02")  # 72 s, an interval takes 5 x 1.5 s
    assert Journal.open(tmp_path / "r").last().step == 120
    result = api.resume(tmp_path / "r", stop={"hours": None}, engine={"processes": 5}, progress=False)
    assert result.figures["stopped"] == "steps"
    assert rows(tmp_path / "r") == rows(tmp_path / "whole")


def test_failures_are_the_modelled_learners_and_come_at_their_rate(tmp_path: Path) -> None:
    started(tmp_path / "r", *MODELLED[:-3], "steps=1200", "learner.failure_rate=0.001", "engine=simulated", *COSTS)
    journal = Journal.open(tmp_path / "r")
    fails = [d for d in journal.decisions() if isinstance(d, Fail)]
    assert {d.failure for d in fails} == {"ModelledFailure"}
    intervals = sum(len(point.reports) for point in journal.points())
    expected = intervals * (1 - math.exp(-0.001 * 10))
    assert abs(len(fails) - expected) < 4 * math.sqrt(expected)
    members = {d.worker for d in fails if d.worker < 8}
    assert {d.worker for d in journal.decisions() if isinstance(d, Copy) and d.fresh} == members != set()


def test_the_model_is_the_stated_one() -> None:
    settings = Modelled.resolve({"of": "quadratic", "learning_steps": 100, "noise": 0.5})
    learner = Modelled(settings, {"lr": 10**-0.75}, 0, "cpu")  # half way from the middle of 1e-3 .. 1 to its upper end
    learner.train(30)
    learner.train(20)
    expected = 1 - math.exp(-50 * math.exp(-4 * 0.5**2) / 100)
    draws = [learner.evaluate(seed) for seed in range(400)]
    assert np.mean(draws) == pytest.approx(expected, abs=0.1)
    assert np.std(draws) == pytest.approx(0.5, abs=0.1)
    assert draws[3] == learner.evaluate(3)
    quiet = Modelled({**settings, "noise": 0.0}, {"lr": 10**-0.75}, 0, "cpu")
    quiet.load(**learner.state())
    assert quiet.evaluate(0) == pytest.approx(expected, rel=1e-5)
    quiet.set_hyperparameters({"lr": 10**-1.5})
    quiet.train(50)
    assert quiet.evaluate(0) == pytest.approx(1 - math.exp(-50 * (1 + math.exp(-1)) / 100), rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"log_uniform": [1e-4, 1e-2]}, {1e-4: -1, 1e-3: 0, 1e-2: 1, 1e-1: 2}),
        ({"one_minus_log_uniform": [0.9, 0.999]}, {0.9: -1, 0.99: 0, 0.999: 1}),
        ({"uniform": [0.0, 4.0]}, {0.0: -1, 1.0: -0.5, 2.0: 0}),
        ({"integer": [1, 9]}, {1: -1, 5: 0, 9: 1}),
        ({"ordered_choice": [8, 16, 32, 64, 128]}, {8: -1, 16: -0.5, 32: 0, 128: 1}),
        ({"choice": ["a", "b", "c"]}, {"a": 1, "b": 0, "c": 1}),
        ({"ordered_choice": [8]}, {8: 0}),
    ],
)
def test_distance_from_the_middle(spec: dict[str, Any], values: dict[Any, float]) -> None:
    (dimension,) = Space.parse({"x": spec}).dimensions
    for value, expected in values.items():
        assert distance(dimension, value) == pytest.approx(expected)


def test_steps_add_up_to_the_last_bit() -> None:
    settings = Modelled.resolve({"of": "quadratic", "failure_rate": 1e-9})
    one, two = (Modelled(settings, {"lr": 0.0123}, 3, "cpu") for _ in range(2))
    for steps in (7, 1_000_003, 13):
        one.train(steps)
    two.train(7)
    again = Modelled(settings, {"lr": 0.0123}, 9, "cpu")
    again.load(**checkpoint.loads(checkpoint.dumps(two.state())))
    again.train(1_000_016)
    assert again.state() == one.state()
    assert pace_of(0.0) == 1.0


def test_any_run_can_be_modelled() -> None:
    config = made(*REAL, "eval_interval=20", "ready_interval=120")
    model = modelled(config, noise=0.1)
    assert (model.learner, model.task) == ("modelled", "modelled-quadratic")
    assert model.settings["noise"] == 0.1
    assert model.settings["learning_steps"] == 20 * 20
    assert model.settings["space"] == config.space
    assert replace(model, learner=config.learner, task=config.task, settings=config.settings) == config


REFUSED = [
    ([*REAL, "engine.speed_spread=0.2"], "engine.speed_spread=0.2: engine=local runs in real time; only"),
    ([*REAL, "engine=inline", "engine.seconds_per_step=1"], "engine.seconds_per_step=1.0: engine=inline"),
    (
        [*REAL, "engine=simulated", "engine.speed_spread=2"],
        "engine.speed_spread=2: must be a finite number >= 0 and < 2",
    ),
    ([*REAL, "engine=simulated", "engine.seconds_per_copy=-1"], "must be a finite number >= 0 or null"),
    ([*REAL, "engine=simulated", "engine.seconds_per_stp=1"], "did you mean 'engine.seconds_per_step'"),
    ([*REAL, "engine=simulate"], "did you mean 'simulated'"),
    ([*MODELLED, "learner.noise=-1"], "learner.noise=-1"),
    ([*MODELLED, "learner.failure_rate=2"], "learner.failure_rate=2"),
    ([*MODELLED, "learner.learning_steps=0"], "learner.learning_steps=0: must be a finite number > 0 or null"),
    ([*MODELLED, "env=Ant"], "learner.of=quadratic takes no environment"),
    ([*MODELLED, "space.lrr={uniform: [0, 1]}"], "did you mean 'space.lr'"),
    (["learner=modelled", "learner.of=modelled"], "must be a learner that trains"),
    (["learner=modelled", "learner.of=quadratik"], "did you mean 'quadratic'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_settings_that_cannot_work_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_is_simulated_from_start_to_end_or_not_at_all() -> None:
    for name, other in (("simulated", "local"), ("inline", "simulated")):
        with pytest.raises(SettingError, match=f"engine={other}: this run began with engine={name}"):
            changed(made(*REAL, f"engine={name}"), {"engine": {"name": other}})
    assert changed(made(*REAL, "engine=simulated"), {"engine": {"speed_spread": 1}}).engine.speed_spread == 1


def test_the_documents_command_works_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "simulated.md").read_text()
    (command,) = re.findall(r"^python -m firerl.launch (.*)$", text, re.MULTILINE)
    assert main(command.split()) == 0
    timing = Journal.open(tmp_path / "runs" / "simulated").timings()[-1]
    config = made(*command.split())
    intervals = config.ready_interval // config.eval_interval
    expected = intervals * 7 * (config.eval_interval * 0.5 + 1)  # 7 workers in a process
    assert timing["seconds"] == pytest.approx(expected, rel=0.1)


def test_a_person_sees_that_it_is_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs = ["engine=simulated", *COSTS, "engine.processes=2", "engine.seconds_per_copy=0", "engine.seconds_per_save=0"]
    assert main([*MODELLED, *costs, f"run_dir={tmp_path / 'r'}"]) == 0
    out = capsys.readouterr().out
    assert "modelled-quadratic: algorithm fire, learner modelled" in out
    assert "10 workers in 2 simulated processes" in out
    assert "all times and speeds below are virtual" in out
    assert "in simulated 3:00 (simulating took 0:0" in out or "in simulated 2:5" in out
    assert '"task": "modelled-quadratic"' in (tmp_path / "r" / "result.json").read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": 0}, r"learner\.env=0: must be a name or \{name"),
        ({"env": {"nam": "Ant"}}, r"learner\.env=\{nam: Ant\}: must be"),
        ({"env": "Ant"}, r"env=Ant: learner\.of=quadratic takes no environment"),
        ({"space": 3}, r"learner\.space needs a mapping"),
        ({"space": {"lr": 1}}, r"learner\.space\.lr needs a mapping with a kind"),
        ({"of": "../x"}, r"learner=\.\./x: must be one of vmpo, ppo"),
    ],
)
def test_what_a_modelled_learner_cannot_stand_for(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Modelled.resolve({"of": "quadratic", **settings})


@pytest.mark.usefixtures("_still")
def test_where_nobody_waits_who_is_done_first_comes_first(tmp_path: Path) -> None:
    costs = Costs(seed=7, speed_spread=1.0, seconds_per_step=0.1, seconds_per_evaluation=1.0, seconds_per_save=0.0)
    engine = SimulatedEngine(SPEC, 4, costs)
    engine.create([Create(worker, {"lr": 0.1}, worker) for worker in range(4)])
    taken = {worker: 2.0 / engine.speed(worker) for worker in range(4)}
    for worker in range(4):
        engine.begin(Interval(Advance(worker, 10, 0), tmp_path))
    told = []
    for _ in range(4):
        done = engine.next()
        told.append(done.outcome.worker)
        assert done.saved is not None
        assert (tmp_path / f"next-w{done.outcome.worker}.pt").exists()
        assert engine.now() == pytest.approx(taken[done.outcome.worker])
    assert told == sorted(taken, key=lambda worker: taken[worker])
    engine.begin(Interval(Advance(told[0], 10, 0), tmp_path))  # from now on, not from its own last end
    engine.next()
    assert engine.now() == pytest.approx(taken[told[-1]] + taken[told[0]])

"""Fresh networks with a schedule that a run found, as a library and as the command ``replay``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.commands import replay
from firerl.errors import PopulationDied, RunFolderError, SettingError
from firerl.session.watching.progress import Round, Silent
from firerl.winner.retracing import Network, Retrace, table


class Reporting(Quadratic):
    """Says what its weights are on data of its own; fails on demand."""

    settings = {**Quadratic.settings, "fails": 0.0}  # noqa: RUF012

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.fails = np.random.default_rng(seed).random() < settings["fails"]
        super().__init__(settings, hyperparameters, seed, device)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**cls.settings, **settings}

    def evaluate(self, seed: int) -> float:
        return float("nan") if self.fails else super().evaluate(seed)

    def report(self, seed: int) -> dict[str, float]:
        return {"theta": float(self.theta.sum()), "seed": float(seed % 1000)}


OPTIONS: dict[str, Any] = {"evaluators": 2, "steps": 200, "ready_interval": 40, "engine": "inline", "progress": False}
QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> firerl.Result:
    settings = {"fitness_window": 1}  # an objective is the last evaluation
    run_dir = tmp_path_factory.mktemp("retrace") / "run"
    return firerl.run(Reporting, population=[4, 3], algo_settings=settings, run_dir=run_dir, **OPTIONS)


@pytest.fixture
def run_dir(found: firerl.Result, tmp_path: Path) -> Path:
    return Path(shutil.copytree(found.run_dir, tmp_path / "run"))


def followed(schedule: list[dict[str, Any]], seed: int) -> float:
    """The objective of one network trained with the schedule by hand."""
    learner = Reporting(Reporting.resolve({}), schedule[0]["hyperparameters"], seed, "cpu")
    for row in schedule:
        learner.set_hyperparameters(row["hyperparameters"])
        learner.train(row["to"] - row["from"])
    return learner.evaluate(0)


def test_every_network_follows_the_schedule_from_scratch(found: firerl.Result, run_dir: Path) -> None:
    again = firerl.retrace(run_dir, seed=3, seeds=3, **QUIET)
    assert again.run_dir == run_dir.with_name("run-replay-seed3")
    seeds = [
        int(np.random.SeedSequence(3, spawn_key=(1, worker, 0)).generate_state(1, np.uint32)[0]) for worker in range(3)
    ]
    assert again.objectives == [followed(found.schedule, seed) for seed in seeds]
    assert len(set(again.objectives)) == 3
    assert all(network.fresh.keys() == {"theta", "seed"} for network in again.networks)
    assert again.winner == Network(found.objective, found.figures["fresh"])
    assert firerl.Result(again.run_dir, {}).schedule == found.schedule
    told = json.loads((again.run_dir / "replay.json").read_text())
    assert [network["objective"] for network in told["networks"]] == again.objectives
    assert told["schedule"] == found.schedule
    # Once more: nothing is trained again; with a seed of its own: another folder, other networks.
    assert firerl.retrace(run_dir, seed=3, seeds=3, **QUIET) == again
    with pytest.raises(RunFolderError, match="holds another run already, with a different seeds: give out="):
        firerl.retrace(run_dir, seed=3, seeds=2, **QUIET)
    other = firerl.retrace(run_dir, **QUIET)
    assert (other.seed, other.run_dir.name) == (1, "run-replay-seed1")
    assert other.objectives[0] not in again.objectives


def test_an_interrupted_replay_goes_on(run_dir: Path) -> None:
    class Stop(Silent):
        def round_done(self, round: Round) -> None:
            if round.step == 120:
                raise KeyboardInterrupt

    whole = firerl.retrace(run_dir, seed=5, seeds=2, out=run_dir.with_name("whole"), **QUIET)
    with pytest.raises(KeyboardInterrupt):
        firerl.retrace(run_dir, seed=5, seeds=2, observer=Stop(), **QUIET)
    assert not (run_dir.with_name("run-replay-seed5") / "result.json").exists()
    again = firerl.retrace(run_dir, seed=5, seeds=2, engine="inline", **QUIET)
    assert again.networks == whole.networks


def test_a_schedule_edited_by_hand(run_dir: Path, tmp_path: Path) -> None:
    text = "schedule:\n- {from: 0, to: 50, hyperparameters: {lr: 1e-1}}\n- {from: 50, to: 70, hyperparameters: {}}\n"
    (tmp_path / "edited.yaml").write_text(text)  # YAML reads 1e-1 as a text
    again = firerl.retrace(run_dir, schedule=tmp_path / "edited.yaml", **QUIET)
    assert again.winner is None  # it was trained with another
    assert firerl.Result(again.run_dir, {}).schedule == [{"from": 0, "to": 70, "hyperparameters": {"lr": 0.1}}]
    rows = [{"from": 0, "to": 70, "hyperparameters": {"lr": 0.1}}]
    same = firerl.retrace(run_dir, schedule=rows, out=tmp_path / "same", **QUIET)
    assert same.networks == again.networks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("schedule:\n- {from: 0, to: 20, hyperparameters: {rl: 0.1}}", "'rl in .*edited.yaml, row 1': allowed: lr"),
        ("schedule:\n- {from: 0, to: 20, hyperparameters: {lr: fast}}", "edited.yaml, row 1: lr=fast is outside"),
        ("schedule:\n- {from: 0, to: 25, hyperparameters: {}}", "row 1: to=25: must be a multiple of eval_interval=10"),
        ("schedule:\n- {from: 0, to: 20}", "row 1: must have from, to and hyperparameters, it has"),
        ("schedule: []", "edited.yaml: must be a list of rows"),
        ("- 3", "edited.yaml: must be a list of rows"),
        ("schedule: [", "edited.yaml is not YAML"),
        (None, "edited.yaml: there is no such file"),
    ],
)
def test_schedules_that_cannot_be_followed_are_one_line(
    run_dir: Path, tmp_path: Path, content: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edited.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=words):
        firerl.retrace(run_dir, schedule=path, **QUIET)
    assert replay.main([str(run_dir), f"schedule={path}"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not run_dir.with_name("run-replay-seed1").exists()


def test_networks_that_fail_are_told(tmp_path: Path) -> None:
    settings = {"fails": 0.3}
    found = firerl.run(Reporting, settings=settings, population=[6], algo="pbt", run_dir=tmp_path / "run", **OPTIONS)
    again = firerl.retrace(found.run_dir, seed=4, seeds=8, **QUIET)
    failed = [network for network in again.networks if network.failure]
    assert 0 < len(failed) < 8
    assert all(network == Network(None, {}, "NaN") for network in failed)
    assert len(again.objectives) == 8 - len(failed)
    bad = firerl.run(Reporting, settings={"fails": 0.7}, population=[8], algo="pbt", run_dir=tmp_path / "b", **OPTIONS)
    lost = next(seed for seed in range(1, 50) if _all_fail(seed, 1))
    with pytest.raises(PopulationDied):
        firerl.retrace(bad.run_dir, seed=lost, **QUIET)


def _all_fail(seed: int, count: int) -> bool:
    draws = [
        int(np.random.SeedSequence(seed, spawn_key=(1, w, 0)).generate_state(1, np.uint64)[0] >> np.uint64(1))
        for w in range(count)
    ]
    return all(np.random.default_rng(draw).random() < 0.7 for draw in draws)


def test_the_table() -> None:
    networks = [Network(1.0, {"a": 10.0}), Network(3.0, {"a": 14.0}), Network(None, {}, "NaN")]
    lines = [line.split() for line in table(Retrace(Path("x"), 1, networks, Network(5.0, {"a": 16.0})))]
    assert lines[0] == ["objective", "a"]
    assert lines[1] == ["network", "0", "1", "10"]
    assert lines[3] == ["network", "2", "NaN", "-"]
    assert lines[4] == ["mean", "+-", "sd", "2", "+-", "1.4", "12", "+-", "2.8"]
    assert lines[5] == ["winner", "5", "16"]


def test_the_command(run_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = [str(run_dir), "seed=3", "seeds=2", f"out={tmp_path / 'here'}", "engine=inline"]
    assert replay.main(arguments) == 0
    last = capsys.readouterr().out.splitlines()[-6:]
    assert last[0].split() == ["last", "evaluation", "theta", "seed"]
    assert last[-1] == f"kept in {tmp_path / 'here'}"
    again = firerl.retrace(run_dir, seed=3, seeds=2, out=tmp_path / "here", **QUIET)
    assert [float(line.split()[2]) for line in last[1:3]] == pytest.approx(again.objectives, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seeds=0"], "seeds=0: must be an integer >= 1"),
        (["seed=x"], "seed=x: must be an integer"),
        (["sed=1"], "unknown setting 'sed': did you mean 'seed'?"),
        (["engine=locale"], "unknown engine.name 'locale'"),
        (["schedule"], "cannot read 'schedule'"),
    ],
)
def test_bad_input_is_one_line(
    run_dir: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.main([str(run_dir), *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert words in captured.err


def test_a_run_that_has_not_finished(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("result.json", "schedule.yaml"):
        (run_dir / name).unlink()
    assert replay.main([str(run_dir)]) == 2
    assert f"go on with it (resume={run_dir})" in " ".join(capsys.readouterr().err.split())
    assert replay.main([str(run_dir / "nowhere")]) == 2

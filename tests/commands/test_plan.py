"""The plan of a run: what it says, that it says so in one line where it cannot, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firerl.agents.quadratic.learner import Quadratic
from firerl.base.clock import PARTS
from firerl.base.disk import files
from firerl.commands.plan import main, parse
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.insight.plan import probe as probing
from firerl.insight.plan.forecast import Forecast, forecast, shares
from firerl.insight.plan.probe import Probe
from firerl.insight.plan.prospect import Prospect, table
from firerl.learner import Growth

QUADRATIC = ["learner=quadratic", "engine=inline"]
FORECAST = Forecast(1.0, None, 2, dict.fromkeys((*PARTS, "idle"), 0.0), 1, 1, None, {}, 1.0)
QUICK = ["--quick", "--minutes=0.01"]
MALFORMED = [
    (["learner=quadratik"], "did you mean 'quadratic'"),
    ([*QUADRATIC, "stepz=3"], "did you mean 'steps'"),
    ([*QUADRATIC, "steps=100.5"], "steps=100.5: must be an integer >= 1"),
    ([*QUADRATIC, "algo.max_eval_steps=20"], "fewer than 7"),
    ([*QUADRATIC, "--minute=3"], "did you mean '--minutes'"),
    ([*QUADRATIC, "--minutes", "soon"], "--minutes soon: must be a number > 0"),
    ([*QUADRATIC, "--minutes=-1"], "must be a number > 0"),
    ([*QUADRATIC, "--probe"], "--probe has no value"),
    ([*QUADRATIC, "--probe=no/such/folder/p.json"], "a folder that exists"),
    ([*QUADRATIC, "--probe=~nosuch/p.json"], "there is no such home folder"),
    ([*QUADRATIC, "--probe=/dev/null"], "must be a file"),
    (["resume=runs/a"], "firerl.plan plans a new run"),
    (["learner=quadratic", "engine=simulated"], "engine=simulated"),
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("arguments", "message"), MALFORMED, ids=[" ".join(line) for line, _ in MALFORMED])
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("firerl: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_cost_and_what_evaluators_can_find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUADRATIC, "preset=smoke", "seed=[3,4]", *QUICK]) == 0
    out = capsys.readouterr().out
    for text in (
        "Plan of Quadratic: algorithm fire",
        "What the run will cost",
        "for all 2 seeds",
        "waiting for other workers",
        "gets at most so many points",
        "promotes a network that is better by 1",
        "promoted so often in the simulated run",
    ):
        assert text in out
    assert max(map(len, out.splitlines())) <= 130
    assert list(tmp_path.iterdir()) == []


def test_json_and_a_kept_probe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*QUADRATIC, "preset=smoke", *QUICK, "--json", "--probe", "p.json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]
    assert first["workers"] == 10
    assert first["cost"]["seconds"] > 0
    assert sum(first["cost"]["shares"].values()) == pytest.approx(1)
    statistics = first["statistics"]
    assert statistics["as_in_the_probe"]["points"] == 7
    assert 0 <= statistics["flat"]["found_one"]["value"] <= 1
    assert set(statistics) == {"noise", "rise_between_readies", "as_in_the_probe", "flat"}

    def refuse(*_: Any, **__: Any) -> Probe:
        raise AssertionError("there is a probe already")

    monkeypatch.setattr(probing, "probe", refuse)
    assert main([*QUADRATIC, "preset=smoke", *QUICK, "--json", "--probe=p.json"]) == 0
    assert json.loads(capsys.readouterr().out)["statistics"] == statistics  # a function of the probe alone
    assert main([*QUADRATIC, *QUICK, "--json", "--probe=p.json", "learner.kappa=2"]) == 2
    assert "make another" in capsys.readouterr().err


@pytest.mark.parametrize(("cores", "words"), [(1, "Alone it may be faster"), (2, ""), (4, "4 cores. Each is as fast")])
def test_what_is_assumed_and_not_counted_is_said(cores: int, words: str) -> None:
    config = resolve(compose([*QUADRATIC, "stop.hours=0.5", "stop.objective=-1"]))
    found = Prospect(config, made(processes=2), replace(FORECAST, processes=cores), None, "none")
    lines = table(found)
    assert any(line.startswith("  assumed ") for line in lines) == bool(words)
    assert words in "\n".join(lines)
    assert (
        "  not counted   stop.hours=0.5 or stop.objective=-1 may end the run early. The plan counts all steps." in lines
    )
    assert found.to_plain()["not_counted"] == {"stop.hours": 0.5, "stop.objective": -1.0}


def test_a_folder_that_cannot_be_written_is_noticed_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for anybody but root
    assert main([*QUADRATIC, "--probe=p.json"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_probe_that_cannot_be_kept_costs_no_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, _: bytes) -> None:
        raise OSError(28, f"cannot write {path}: no space")

    monkeypatch.setattr(probing, "probe", lambda *_, **__: made())
    monkeypatch.setattr(files, "write", full)
    monkeypatch.setattr("firerl.insight.plan.prospect.forecast", lambda *_, **__: FORECAST)
    assert main([*QUADRATIC, "algo=pbt", "--probe=p.json"]) == 2
    out, err = capsys.readouterr()
    assert "What the run will cost" in out
    assert err.endswith("firerl: --probe p.json: cannot write p.json: no space\n")


@pytest.mark.parametrize("algo", ["pbt", "random"])
def test_without_evaluators_there_are_no_statistics(algo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUADRATIC, "preset=smoke", f"algo={algo}", *QUICK]) == 0
    assert f"Nothing: algo={algo} has no evaluators" in capsys.readouterr().out


def made(**fields: Any) -> Probe:
    """A probe of a learner that takes 2 s an interval."""
    usual: dict[str, Any] = {
        "learner": "quadratic", "settings": {}, "device": "cpu", "eval_interval": 10, "processes": 1, "members": 4,
        "start_seconds": 3.0, "create_seconds": 0.5, "rounds": [[2.0, 0.5]] * 8, "speed_spread": 0.0,
        "save_seconds": 0.25, "copy_seconds": 0.125, "report_seconds": 7.0, "state_bytes": 1_000_000,
        "base_bytes": 10**8, "member_bytes": 10**6, "metrics": {"loss": 1.0}, "curves": [], "same_network": [],
        "failures": 0,
    }  # fmt: skip
    return Probe(**{**usual, **fields})


@pytest.mark.parametrize("processes", [1, 3, 10])
def test_duration_is_that_of_the_busiest_process(processes: int) -> None:
    config = resolve(
        compose(["learner=quadratic", "preset=smoke", "algo=random", "logger=[]"])
    )  # 10 members, 12 points
    found = forecast(config, made(), processes)
    busiest = -(-10 // processes)
    readies = config.steps // config.ready_interval
    training, saving = 12 * busiest * 2.5, readies * busiest * 0.25
    once = 2 * 3.0 + 7.0 + busiest * 0.5
    assert found.seconds == pytest.approx(training + saving + once, abs=3)  # deciding takes as long as it does here
    assert found.processes == processes
    idle = 1 - 10 * 12 * 2.5 / (processes * training) * (training / (training + saving))
    assert found.shares["idle"] + found.shares["save"] == pytest.approx(idle, abs=0.05)
    assert found.disk_bytes > 20 * 1_000_000
    assert found.memory_bytes is None or found.memory_bytes > processes * 10**8 + 10 * 10**6


def test_what_a_learner_gathers_counts_beyond_what_the_probe_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve(compose(["learner=quadratic", "preset=smoke", "algo=random", "logger=[]"]))
    measured = made(eval_interval=config.eval_interval)
    usual = forecast(config, measured, 2)
    probed = len(measured.rounds) * measured.eval_interval
    assert probed < config.steps
    monkeypatch.setattr(Quadratic, "growth_of", lambda settings, steps: Growth(steps * 10**6, steps * 1000))
    grown = forecast(config, measured, 2)
    assert grown.state_bytes - usual.state_bytes == (config.steps - probed) * 1000
    assert grown.disk_bytes - usual.disk_bytes > 20 * (config.steps - probed) * 1000 * 0.9
    if usual.memory_bytes is not None and grown.memory_bytes is not None:
        assert grown.memory_bytes - usual.memory_bytes > 10 * (config.steps - probed) * 10**6 * 0.9


def test_longest_episodes_bound_the_time_of_evaluations() -> None:
    config = resolve(compose(["learner=quadratic", "preset=smoke", "algo=random", "logger=[]"]))
    found = forecast(config, made(), 2, longest=3.0)
    assert found.seconds_at_most is not None
    assert found.seconds_at_most - found.seconds == pytest.approx(12 * 5 * 0.5 * 2)
    assert forecast(config, made(), 2).seconds_at_most is None


def test_shares_of_a_journal() -> None:
    rows = [{"seconds": 10.0, "processes": 2.0, "train": 12.0, "save": 2.0}, {"seconds": 10.0, "processes": 2.0}]
    found = shares(rows)
    assert (found["train"], found["save"], found["decide"], found["idle"]) == pytest.approx((0.3, 0.05, 0.0, 0.65))


def test_help_is_quick() -> None:
    code = """
import sys
from firerl.plan import main
assert main(["--help"]) == 0
heavy = {"torch", "scipy", "sklearn", "mujoco", "gymnasium", "hydra"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--probe" in done.stdout


def test_options_stand_anywhere() -> None:
    options, given = parse(["--minutes", "3", "env=Ant", "--json", "--probe=a", "steps=3"])
    assert (options.minutes, options.json, str(options.probe), options.quick) == (3.0, True, "a", False)
    assert given == ["env=Ant", "steps=3"]

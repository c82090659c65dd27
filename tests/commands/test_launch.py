"""The command line: what it starts, what it refuses, and that a refusal is one line that leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import firerl.commands
from firerl import api
from firerl.commands.launch import main
from firerl.config.run_config import RunConfig, from_plain
from firerl.errors import PopulationDied
from firerl.run_result import Result
from firerl.session import start as starting

RANKED = Result(Path("r"), {"objective": 1.0, "best_ever": None})
QUADRATIC = "learner=quadratic"
MALFORMED = [  # arguments, what the line says
    (["env=Humanod"], "'Humanoid'"),
    (["env=nope:Env-v0"], "nope"),
    (["env=CartPole-v1", "learner.num_envs=-3"], "learner.num_envs=-3"),
    (["env=CartPole-v1", "env.kwargs.colour=1"], "colour"),
    (["algo=fir"], "did you mean 'fire'"),
    (["engine=locl"], "did you mean 'local'"),
    (["learner=quadratik"], "did you mean 'quadratic'"),
    (["learner=no.such.Learner"], "cannot import 'no.such'"),
    (["preset=smok"], "did you mean 'smoke'"),
    (["stepz=100"], "did you mean 'steps'"),
    ([QUADRATIC, "population.evaluator=2"], "did you mean 'population.evaluators'"),
    ([QUADRATIC, "learner.noize=1"], "did you mean 'learner.noise'"),
    ([QUADRATIC, "algo.truncashun=0.2"], "did you mean 'algo.truncation'"),
    ([QUADRATIC, "population.evaluators=-1"], "population.evaluators=-1: must be an integer >= 0"),
    ([QUADRATIC, "steps=abc"], "steps=abc: must be an integer >= 1"),
    ([QUADRATIC, "eval_interval=nan"], "eval_interval=nan: must be an integer >= 1"),
    ([QUADRATIC, "engine.processes=true"], "engine.processes=true: must be an integer >= 1"),
    ([QUADRATIC, "stop.hours=-1"], "stop.hours=-1: must be a finite number > 0"),
    ([QUADRATIC, "population.sizes=[8]", "population.evaluators=6"], "population.evaluators=6"),
    ([QUADRATIC, "population.evaluators=0"], "population.evaluators=0"),
    ([QUADRATIC, "population.sizes=[1,8]"], "population.sizes=[1, 8]: must be a list of integers >= 2"),
    ([QUADRATIC, "space.lr={log_uniform: [1, 0.1]}"], "space.lr"),
    ([QUADRATIC, "space.lr={log_uniform: [1,"], "space.lr"),
    (
        ["env=Hopper", "space.learning_rate={uniform: [0.5, 9]}"],
        "space.learning_rate=9.0: must be a finite number",
    ),
    (["learner=classifier", "space.momentum={uniform: [0, 1.5]}"], "space.momentum=1.5: must be a finite number"),
    ([QUADRATIC, "steps=100.5"], "steps=100.5: must be an integer >= 1"),
    ([QUADRATIC, "algo.max_eval_steps=20"], "fewer than 7"),
    ([QUADRATIC, "algo.smoothing=gpp"], "did you mean 'gp'? allowed: gp, mean, none"),
    ([QUADRATIC, "algo.promotion=false"], "algo.promotion=false: must be one of weights, off"),
    ([QUADRATIC, "algo.binom_test=yes"], "algo.binom_test=yes: must be true or false"),
    ([QUADRATIC, "algo=pb2", "space.lr={choice: [0.1, 0.2]}"], "space.lr has kind choice: algo=pb2 tunes numbers only"),
    ([QUADRATIC, "algo=mfpbt", "algo.frequencies=[1,4,2,8]"], "algo.frequencies=[1, 4, 2, 8]: must be rising"),
    ([QUADRATIC, "algo=constant", "algo.hyperparameters.lr=7"], "algo.hyperparameters.lr=7: must be"),
    ([QUADRATIC, "algo=cosine", "algo.anneal=lrr"], "did you mean 'lr'"),
    ([QUADRATIC, "algo=cosine", "space.lr={integer: [1, 2]}"], "no uniform or log_uniform hyperparameter to anneal"),
    ([QUADRATIC, "Humanoid"], "cannot read 'Humanoid'"),
    ([QUADRATIC, "seed=1", "seed=2"], "seed is given twice"),
    ([QUADRATIC, "seed=1,2"], "seed=[1,2]"),
    ([QUADRATIC, "seed=[1,1]"], "different integers"),
    ([QUADRATIC, "seed=[]"], "different integers"),
    ([QUADRATIC, "run_dir="], "run_dir= has no value"),
    ([QUADRATIC, "logger=wandbb"], "unknown logger 'wandbb': did you mean 'wandb'?"),
    ([QUADRATIC, "logger=[none,tensorboard]"], "logger=[none, tensorboard]: must be different loggers, or none alone"),
    ([QUADRATIC, "logger=nowhere.at.All"], "logger=nowhere.at.All: cannot import 'nowhere.at'"),
    ([QUADRATIC, "logger=firerl.learner.Learner"], "must be a subclass of firerl.logger.Logger"),
    ([QUADRATIC, "population=3"], "population=3: must be a group"),
    ([QUADRATIC, "env=Ant"], "takes no environment"),
    ([QUADRATIC, "--config"], "did you mean '--cfg'"),
    (["resume=nowhere"], "nowhere"),
    ([QUADRATIC, "resume=auto"], "resume=auto needs run_dir=<folder>"),
    (["resume=nowhere", "--cfg"], "--cfg"),
    (["resume=.", "stepz=3"], ""),
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be started or resumed, in order."""
    made: list[Any] = []
    monkeypatch.setattr(starting, "start", lambda config, *_, **__: made.append(config) or RANKED)
    monkeypatch.setattr(
        starting, "resume_run", lambda run_dir, changes, *_, **__: made.append((str(run_dir), changes)) or RANKED
    )
    return made


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


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (f"run_dir={'x' * 300}", "cannot be a folder: File name too long"),
        ("run_dir=/dev/null/x", "run_dir=/dev/null/x: must be a folder; /dev/null is a file"),
        ("init=nowhere", "init=nowhere: must be a run folder or a best.pt"),
        (f"init={'x' * 300}", "must be a run folder or a best.pt: File name too long"),
    ],
)
def test_a_folder_or_file_that_cannot_be_is_named(
    argument: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([QUADRATIC, argument]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_bad_input_as_typed_in_a_shell(tmp_path: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "firerl.launch", "env=Humanod"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert time.monotonic() - started < 15  # the promise is 5 s; a busy test machine gets more
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_and_complete() -> None:
    code = """
import sys, time
started = time.perf_counter()
from firerl.launch import main
assert main(["--help"]) == 0
assert time.perf_counter() - started < 1, time.perf_counter() - started
heavy = {"torch", "scipy", "sklearn", "mujoco", "gymnasium", "hydra", "omegaconf"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for text in ("Humanoid ", "random ", "quadratic ", "local ", "smoke ", "steps per worker", "engine.processes"):
        assert text in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_version_and_cfg(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import yaml

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("firerl ")
    assert main([QUADRATIC, "seed=4", "--cfg"]) == 0
    assert from_plain(yaml.safe_load(capsys.readouterr().out)).seed == 4
    assert list(tmp_path.iterdir()) == []


def test_starts_what_was_asked_for(calls: list[RunConfig]) -> None:
    assert main([QUADRATIC, "algo=pbt", "++space.lr={uniform:[0,1]}", "run_dir=a=b (1),c", "steps=6e2"]) == 0
    (config,) = calls
    assert (config.algo.name, config.sizes, config.run_dir, config.steps) == ("pbt", (22,), "a=b (1),c", 600)
    assert config.space == {"lr": {"uniform": [0.0, 1.0]}}


def test_steps_between_two_readies_go_on_with_a_note(
    calls: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([QUADRATIC, "steps=1e3"]) == 0
    assert calls[0].steps == 1020
    note = "steps=1000 is not at a ready: the run goes on to the next one, at steps=1020 (ready_interval=60)\n"
    assert capsys.readouterr().err == note
    assert main([QUADRATIC, "steps=1020"]) == 0
    assert capsys.readouterr().err == ""


def test_a_list_of_seeds_runs_one_after_another(calls: list[RunConfig]) -> None:
    assert main([QUADRATIC, "seed=[3.0,1]", "run_dir=many"]) == 0
    assert [(config.seed, config.run_dir) for config in calls] == [(3, "many/seed-3"), (1, "many/seed-1")]
    calls.clear()
    assert main([QUADRATIC, "seed=[3,1]"]) == 0
    first, second = (Path(config.run_dir) for config in calls)
    assert first.parent == second.parent
    assert first.parent.name.startswith("Quadratic-fire-")


def test_resume_passes_the_changes_on(calls: list[tuple[str, Mapping[str, Any]]]) -> None:
    assert main(["resume=runs/a", "steps=7200", "engine=inline", "engine.timeout=5", "stop.hours=null"]) == 0
    changes = {"steps": 7200, "engine": {"name": "inline", "timeout": 5}, "stop": {"hours": None}}
    assert calls == [("runs/a", changes)]


def test_a_died_population_exits_1_and_lets_other_seeds_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def start(config: RunConfig, *_: Any, **__: Any) -> Result:
        seen.append(config.seed)
        if config.seed == 1:
            raise PopulationDied("no healthy member is left in P1")
        return RANKED

    monkeypatch.setattr(starting, "start", start)
    assert main([QUADRATIC, "seed=[1,2]"]) == 1
    assert seen == [1, 2]
    assert capsys.readouterr().err == "firerl: no healthy member is left in P1\n"


def test_paths_are_taken_as_typed(calls: list[RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for typed, meant in [("~/r", "/home/me/r"), ("a/b/", "a/b"), ("7", "7"), ("${x}", "${x}")]:
        assert main([QUADRATIC, f"run_dir={typed}"]) == 0
        assert calls.pop().run_dir == meant
    assert main([QUADRATIC, "run_dir=null"]) == 0
    assert calls.pop().run_dir.startswith("runs/Quadratic-fire-")


@pytest.mark.unverified("an empty file")
@pytest.mark.parametrize("begun", [True, False])
def test_ctrl_c_prints_the_line_to_resume(
    begun: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(config: RunConfig, *_: Any, **__: Any) -> None:
        if begun:
            Path(config.run_dir).mkdir()
            (Path(config.run_dir) / "journal.sqlite").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(starting, "start", start)
    assert main([QUADRATIC, "run_dir=my run"]) == 130
    assert ("python -m firerl.launch resume='my run'" in capsys.readouterr().err) == begun


def test_a_real_run_and_its_resume(capsys: pytest.CaptureFixture[str]) -> None:
    start = [QUADRATIC, "preset=smoke", "engine=inline", "run_dir=r"]
    assert main(start) == 0
    assert Path("r/result.json").exists()
    assert main(start) == 2
    assert "resume=" in capsys.readouterr().err.splitlines()[-1]
    assert main(["resume=r", "seed=3"]) == 2
    assert "seed cannot change" in capsys.readouterr().err
    assert main(["resume=r"]) == 0
    capsys.readouterr()
    assert main(["resume=r", "steps=25"]) == 0  # 24 steps are done, ready_interval is 4
    assert "! steps=25 is not at a ready: the run goes on to the next one, at steps=28" in capsys.readouterr().out


def test_the_entry_point_finds_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], calls: list[RunConfig]
) -> None:
    assert firerl.commands.main(["launch", QUADRATIC]) == 0
    assert len(calls) == 1
    assert firerl.commands.main([]) == 0
    assert all(command in capsys.readouterr().out for command in ("launch",))
    assert firerl.commands.main(["lanch"]) == 2
    assert "unknown command 'lanch': did you mean 'launch'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "firerl.commands.journal", SimpleNamespace(main=len))
    assert firerl.commands.main(["journal", "r", "--reports"]) == 2


def test_one_line_starts_a_run_and_goes_on_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """resume=auto: whatever lies there, the same line; what may change on a resume is as the line says."""
    line = [QUADRATIC, "resume=auto", "run_dir=line", "engine=inline", "seed=4", "population.sizes=[2,2]"]
    assert main([*line, "steps=60"]) == 0
    assert main([*line, "steps=120"]) == 0
    assert api.resume("line").figures["steps"] == 120
    capsys.readouterr()
    assert main([*line, "steps=120"]) == 0  # finished: at once
    assert "finished already" in capsys.readouterr().out
    assert main([*line, "steps=60"]) == 2
    assert "steps=60: the run is already at step 120" in capsys.readouterr().err
    for other, said in (
        ("seed=5", "seed is 4 there and 5 here"),
        ("learner.noise=0.5", "learner.noise is 0.3 there and 0.5 here"),
        ("algo.truncation=0.3", "algo.truncation is 0.25 there and 0.3 here"),
        ("population.evaluators=4", "population.evaluators is 2 there and 4 here"),
    ):
        given = [argument for argument in line if not argument.startswith(other.partition("=")[0] + "=")]
        assert main([*given, other]) == 2
        assert f"run_dir=line holds another run: {said}; " in capsys.readouterr().err
    assert main([*line, "--cfg"]) == 0


@pytest.mark.unverified("an empty file")
def test_one_line_for_several_seeds_starts_and_goes_on_with_each(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("many/seed-2").mkdir(parents=True)
    Path("many/seed-2/journal.sqlite").touch()
    monkeypatch.setattr(starting, "go_on", lambda config, **_: calls.append(("on", config.seed)) or RANKED)
    assert main([QUADRATIC, "resume=auto", "run_dir=many", "seed=[1,2,3]"]) == 0
    assert [call if isinstance(call, tuple) else call.run_dir for call in calls] == [
        "many/seed-1", ("on", 2), "many/seed-3"
    ]  # fmt: skip

"""A run folder names no code but firerl's and that of installed packages; what else it needs is given again."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.config import named_code
from firerl.errors import SettingError
from firerl.storage.journal import seal

OWN = """
from pathlib import Path
Path({ran!r}).touch()
from firerl.agents.quadratic.learner import Quadratic

class Own(Quadratic):
    pass
"""
RUN = ["learner=own_module.Own", "population.sizes=[2,2]", "population.evaluators=2", "steps=20", "eval_interval=5",
       "ready_interval=20", "algo.max_eval_steps=40", "engine=inline", "logger=[]", "run_dir=run"]  # fmt: skip


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"firerl.{words[0]}", *words[1:]]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_a_learner_of_the_working_folder_is_given_again(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "own_module.py").write_text(OWN.format(ran=str(ran)))
    begun = command(tmp_path, "launch", *RUN)
    assert begun.returncode == 0, begun.stderr
    ran.unlink()

    refused = command(tmp_path, "launch", "resume=run", "steps=40")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    line = "python -m firerl.launch resume=run steps=40 learner=own_module.Own"
    assert refused.stderr.rstrip().endswith(f"give it again: {line}")
    assert not ran.exists()
    for words in (["play", "run"], ["replay", "run", "engine=inline"]):
        also = command(tmp_path, *words)
        assert (also.returncode, also.stderr.count("\n")) == (2, 1), also.stderr
        assert "own_module.Own" in also.stderr.partition("give it again: ")[2]
        assert not ran.exists()
    told = command(tmp_path, "journal", "run")  # what only reads needs nothing
    assert (told.returncode, ran.exists()) == (0, False)

    other = command(tmp_path, "launch", "resume=run", "learner=quadratic", "steps=40")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "learner=quadratic: this run has learner=own_module.Own, which cannot change" in other.stderr
    again = command(tmp_path, *shlex.split(line.removeprefix("python -m firerl.")))
    assert again.returncode == 0, again.stderr
    assert ran.exists()
    played = command(tmp_path, "play", "run", "--learner", "own_module.Own")
    assert played.returncode == 0, played.stderr


def test_the_run_s_own_learner_may_be_named_where_it_needs_not(tmp_path: Path) -> None:
    from firerl.commands.launch import main

    where = tmp_path / "run"
    own = ["learner=quadratic", *[word for word in RUN[1:] if not word.startswith("run_dir")], f"run_dir={where}"]
    assert main(own) == 0
    assert main([f"resume={where}", "learner=quadratic", "algo=fire", "steps=40"]) == 0
    assert main([f"resume={where}", "algo=pbt"]) == 2
    assert main([f"resume={where}", "learner.noise=3"]) == 2


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("firerl.agents.quadratic.learner", True),
        ("firerl.no.such", True),  # where it is looked for is firerl's own folder
        ("numpy.random", True),
        ("sklearn.no_such", True),
        ("antigravity", False),  # Python's own, which opens a browser
        ("idlelib.help", False),
        ("evil", False),
        ("evil.numpy", False),
        ("__main__", False),
        ("tensorboard.__main__", False),
        ("..evil", False),
        ("", False),
    ],
)
def test_what_a_file_may_name(module: str, may: bool) -> None:
    assert named_code.may_import(module) is may


def test_the_current_directory_does_not_stand_in_for_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit")
    (tmp_path / "rich.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert not named_code.may_import("evil")
    with named_code.without_here():
        assert str(tmp_path) not in sys.path
        assert "" not in sys.path
    assert sys.path[0] == str(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path[1:], str(tmp_path)])  # as PYTHONPATH has it: a person's word
    with named_code.without_here():
        assert str(tmp_path) in sys.path


def test_names_are_told_with_the_line_to_type() -> None:
    names = {"learner": "my.own.Own", "algo": "my.algo", "env": "my_env:X-v0"}
    with pytest.raises(SettingError) as told:
        named_code.check(names, named_code.settings_line("python -m firerl.launch resume=r"))
    line = "python -m firerl.launch resume=r learner=my.own.Own algo=my.algo env=my_env:X-v0"
    assert str(told.value).endswith(line)
    with pytest.raises(SettingError, match=re.escape("import my.algo; import my_env; f(learner=Own)")):
        named_code.check(names, named_code.call_line("f(learner=<class>)"))
    named_code.check({"learner": "quadratic", "algo": "fire", "env": "CartPole-v1"}, lambda names: "")


def test_an_environment_s_module_is_no_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a best.pt: its settings name a module that the current directory holds."""
    from firerl.storage import checkpoint

    (tmp_path / "sly.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    best = {"task": "t", "learner": "vmpo", "settings": {"env": {"name": "sly:X-v0", "kwargs": {}}}, "weights": {}}
    best |= {"network_step": 0, "objective": 0.0, "facts": {}}
    (tmp_path / "best.pt").write_bytes(checkpoint.dumps(best))
    with pytest.raises(SettingError, match="env=sly:X-v0: the run names code"):
        firerl.load_policy(tmp_path / "best.pt")
    assert not os.path.exists("ran")


# What a stranger's folder may say of each door, and how a person types it again: a test of each member.
DOORS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "learner": (lambda config: config.update(learner="sly.Own"), "learner=sly.Own"),
    "algo": (lambda config: config["algo"].update(name="sly.algo"), "algo=sly.algo"),
    "env": (lambda config: config["settings"].update(env={"name": "sly:X-v0", "kwargs": {}}), "env=sly:X-v0"),
    "data": (lambda config: config["settings"].update(data={"name": "sly.make"}), "data=sly.make"),
    "learner.model": (lambda config: config["settings"].update(model="sly.make"), "learner.model=sly.make"),
    "learner.module": (lambda config: config["settings"].update(module="sly.Own"), "learner.module=sly.Own"),
    "logger": (lambda config: config.update(logger=["tensorboard", "wandb"]), "'logger=[tensorboard,wandb]'"),
    "engine.address": (
        lambda config: config["engine"].update(name="ray", address="ray://192.0.2.1:10001"),
        "engine.address=ray://192.0.2.1:10001",
    ),
}


@pytest.fixture(scope="module")
def gift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("gift") / "run"
    firerl.run("quadratic", population=[2], evaluators=0, algo="pbt", steps=20, eval_interval=10, ready_interval=10,
               engine="inline", logger="none", progress=False, run_dir=run_dir)  # fmt: skip
    return run_dir


def says(run_dir: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write other settings into a journal and its copy."""
    for name in ("journal.sqlite", "journal.bak"):
        with closing(sqlite3.connect(run_dir / name, isolation_level=None)) as db:
            config = json.loads(db.execute("SELECT value FROM meta WHERE key = 'config'").fetchone()[0])
            change(config)
            db.execute("UPDATE meta SET value = ? WHERE key = 'config'", (json.dumps(config, sort_keys=True),))
            seal.recount_rows(db)
            seal.close(db)


@pytest.fixture
def stranger(gift: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the run, in a folder with a module that must not be run; nobody may connect to anything."""
    shutil.copytree(gift, tmp_path / "run")
    (tmp_path / "sly.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def connect(*_: object) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr("firerl.engine.ray.ray_cluster.connect", connect)
    monkeypatch.setattr("firerl.session.watching.guarded_logger.GuardedLogger.__init__", connect)
    monkeypatch.setattr("socket.socket.connect", connect)
    yield tmp_path / "run"
    assert not (tmp_path / "ran").exists()
    assert "sly" not in sys.modules


@pytest.mark.unverified("a stranger has changed them")
@pytest.mark.parametrize("name", DOORS)
def test_a_stranger_s_folder_opens_no_door(
    stranger: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from firerl.commands import launch, replay

    change, typed = DOORS[name]
    says(stranger, change)
    before = {path: path.read_bytes() for path in stranger.rglob("*") if path.is_file()}
    assert launch.main([f"resume={stranger}", "steps=40"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"give it again: python -m firerl.launch resume={stranger} steps=40 {typed}" in err
    with pytest.raises(SettingError, match="give it again: "):
        firerl.resume(stranger, steps=40, progress=False)
    # The same line again, as a queue starts it: what it says itself is typed, what the folder says is not.
    line = ["learner=quadratic", "population.sizes=[2]", "population.evaluators=0", "algo=pbt", "eval_interval=10"]
    line += ["ready_interval=10", "logger=none", f"run_dir={stranger}", "resume=auto", "steps=20", "engine=inline"]
    assert launch.main(line) == (0 if name in ("logger", "engine.address") else 2)
    if name in ("logger", "engine.address"):
        return
    assert replay.main([str(stranger), "engine=inline", f"out={stranger.parent / 'out'}"]) == (
        0 if name == "algo" else 2
    )
    assert {path: path.read_bytes() for path in before if path.name != "lock"} == {
        path: data for path, data in before.items() if path.name != "lock"
    }


@pytest.mark.unverified("a stranger has changed them")
@pytest.mark.parametrize(
    ("change", "typed"),
    [
        (DOORS["engine.address"][0], "engine.address=ray://192.0.2.1:10001"),
        (lambda config: config.update(init="s3://stranger/run", init_sha256="0" * 64), "init=s3://stranger/run"),
    ],
)
def test_a_replay_goes_through_no_door_either(
    stranger: Path, change: Callable[[dict[str, Any]], None], typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from firerl.commands import replay

    says(stranger, change)
    assert replay.main([str(stranger)]) == 2
    assert f"python -m firerl.replay {stranger} {typed}" in capsys.readouterr().err


@pytest.mark.unverified("a stranger has changed them")
def test_a_door_that_is_typed_again_is_open(stranger: Path) -> None:
    says(stranger, DOORS["engine.address"][0])
    with pytest.raises(AssertionError, match="it connects"):
        firerl.resume(stranger, steps=40, progress=False, engine={"address": "ray://192.0.2.1:10001"})
    assert firerl.resume(stranger, steps=40, progress=False, engine="inline").figures["steps"] == 40


def test_every_setting_of_a_run_has_its_place() -> None:
    """A new setting is either a door or is said here to be none: it imports nothing and connects to nothing."""
    from dataclasses import fields

    from firerl.config.run_config import EngineConfig, RunConfig

    doors = {door.typed for door in named_code.DOORS}
    assert doors == {*DOORS, "init"}
    none = {"task", "space", "sizes", "evaluators", "steps", "eval_interval", "ready_interval", "seed", "stop"}
    none |= {"checkpoints", "sync", "chunk", "init_sha256"}
    none |= {"run_dir", "local_dir"}  # of a file nobody goes there: only where the person said
    inside = {"settings", "engine"}  # of a learner: its environment, data and model, doors; of an engine: below
    assert {field.name for field in fields(RunConfig)} == none | inside | (
        doors - {"env", "data", "learner.model", "learner.module", "engine.address"}
    )
    engine = {"name", "processes", "timeout", "devices", "workers_per_device", "deterministic", "speed_spread"}
    engine |= {"seconds_per_step", "seconds_per_evaluation", "seconds_per_copy", "seconds_per_save"}
    engine |= {"workers_per_actor", "cpus_per_actor", "gpus_per_actor", "wait_for_resources"}
    assert {field.name for field in fields(EngineConfig)} == engine | {"address"}


def test_a_schedule_that_one_is_handed_brings_numbers_alone(gift: Path, tmp_path: Path) -> None:
    rows = "schedule:\n- {from: 0, to: 20, hyperparameters: {lr: 0.1}}\n"
    evil = (
        "learner: sly.Own\nengine: {name: ray, address: 'ray://192.0.2.1:1'}\nlogger: [wandb]\nalgo: {name: sly.algo}\n"
    )
    (tmp_path / "schedule.yaml").write_text(evil + rows)
    found = firerl.retrace(
        gift, schedule=tmp_path / "schedule.yaml", out=tmp_path / "out", progress=False, engine="inline"
    )
    assert found.networks
    assert "sly" not in sys.modules


def test_no_setting_of_a_run_is_a_target_of_hydra() -> None:
    """Nothing of firerl instantiates: a _target_ in a file is an unknown setting."""
    from firerl.config.run_config import from_plain

    for path in Path(firerl.__file__).parent.rglob("*.py"):
        assert "instantiate" not in path.read_text(), path
    with pytest.raises(SettingError, match="unknown setting"):
        from_plain({"_target_": "os.system"})


def test_a_suggested_line_keeps_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is suggested at a run's end works as it stands there."""
    from firerl.commands import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine_again.py").write_text(
        "from firerl.agents.quadratic.learner import Quadratic\nclass Mine(Quadratic):\n    pass\n"
    )
    small = ["population.sizes=[2]", "population.evaluators=0", "algo=pbt", "steps=60", "eval_interval=10"]
    small += ["ready_interval=30", "logger=none", "engine=inline"]
    assert main(["launch", "learner=mine_again.Mine", *small, "run_dir=my run"]) == 0
    suggested = [line for line in capsys.readouterr().out.splitlines() if "resume=" in line]
    start, end = (line.partition("python -m ")[2] for line in suggested)
    assert start == "firerl.launch resume='my run' learner=mine_again.Mine"
    assert end == "firerl.launch resume='my run' steps=120 learner=mine_again.Mine"
    del sys.modules["mine_again"]
    for typed in (
        ["launch", "resume=my run", "steps=120", "engine=inline"], ["replay", "my run", "seeds=3", "out=a b"],
        ["play", "my run", "--episodes", "3"], ["export", "my run", "--onnx", "x.onnx"],
    ):  # fmt: skip
        assert main(typed) == 2
        told = capsys.readouterr().err
        given = "--learner mine_again.Mine" if typed[0] in ("play", "export") else "learner=mine_again.Mine"
        assert told.rstrip().endswith(f"python -m firerl.{shlex.join(typed)} {given}")


ALGO = "from firerl.evolution.algorithms.pbt import *\n"
LOGGER = "from firerl.logger import Logger\n\nclass Mine(Logger):\n    pass\n"
ENV = """
import gymnasium

gymnasium.register("Mine-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
"""


def test_a_colon_or_a_dot_wherever_code_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from firerl.commands import main
    from firerl.config.compose import compose
    from firerl.config.request import resolve

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    learner = "from firerl.agents.quadratic.learner import Quadratic\n\nclass Mine(Quadratic):\n    pass\n"
    for name, code in (("learner", learner), ("algo", ALGO), ("logger", LOGGER), ("env", ENV)):
        (tmp_path / f"colon_{name}.py").write_text(code)
    (tmp_path / "colons").mkdir()
    (tmp_path / "colons" / "rival.py").write_text(ALGO)
    own = {"learner": "colon_learner:Mine", "algo": "colons:rival", "logger": "colon_logger:Mine"}
    kept = {"learner": "colon_learner.Mine", "algo": "colons.rival", "logger": ("colon_logger.Mine",)}
    small = ["population.sizes=[2]", "steps=20", "eval_interval=10", "ready_interval=10", "engine=inline"]
    typed = resolve(compose([*(f"{role}={name}" for role, name in own.items()), *small]))
    (tmp_path / "mine.yaml").write_text("\n".join(f"{role}: {name}" for role, name in own.items()))
    filed = resolve(compose(["config=mine.yaml", *small]))  # its code is in memory by now
    for config in (typed, filed):
        assert {"learner": config.learner, "algo": config.algo.name, "logger": config.logger} == kept
    for env in ("colon_env.Mine-v0", "colon_env:Mine-v0"):
        assert resolve(compose(["learner=ppo", f"env={env}"])).settings["env"]["name"] == "colon_env:Mine-v0"

    line = [f"{role}={name}" for role, name in own.items()]
    assert main(["launch", *line, *small, "run_dir=r"]) == 0
    for module in ("colon_learner", "colons.rival", "colons", "colon_logger"):
        del sys.modules[module]
    assert main(["launch", "resume=r", *line, "steps=40"]) == 0
    del sys.modules["colon_learner"]
    assert main(["play", "r", "--learner", "colon_learner:Mine"]) == 0
    del sys.modules["colons.rival"]
    assert main(["explain", "r", "--verify", "--algo", "colons:rival"]) == 0
    assert main(["check", "colon_learner:Mine", "eval_interval=2"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", ["sly:Own", "sly.Own"])
def test_no_spelling_goes_around_a_door(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from firerl.config.compose import compose

    (tmp_path / "sly.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    for role in ("learner", "algo", "env", "logger", "data", "learner.model"):
        text = f"learner: {{name: classifier, model: '{name}'}}" if role == "learner.model" else f"{role}: {name}"
        (tmp_path / "theirs.yaml").write_text(text)
        with pytest.raises(SettingError, match=f"theirs.yaml: {role}=sly[.:]Own: the run names"):
            compose(["config=theirs.yaml"])
    assert named_code.foreign({"learner": name, "algo": name}) == {"learner": name, "algo": name}
    assert not (tmp_path / "ran").exists()

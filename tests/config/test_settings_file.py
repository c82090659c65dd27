"""Settings that come from a file: a run's own, a person's, a stranger's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from firerl.commands.launch import main
from firerl.config.compose import compose
from firerl.config.named_code import DOORS
from firerl.config.request import resolve
from firerl.config.run_config import RunConfig, to_plain
from firerl.errors import SettingError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def made(*arguments: str) -> RunConfig:
    return resolve(compose(arguments))


def refusal(*arguments: str) -> str:
    with pytest.raises(SettingError) as caught:
        made(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def keep(config: RunConfig) -> None:
    """As a run folder has it."""
    Path("run").mkdir(exist_ok=True)
    Path("run/config.yaml").write_text(yaml.safe_dump(to_plain(config), sort_keys=False))


def same(one: RunConfig, other: RunConfig) -> bool:
    return to_plain(replace(one, run_dir="")) == to_plain(replace(other, run_dir=""))


@pytest.mark.parametrize(
    "line",
    [
        "learner=quadratic",
        "learner=quadratic algo=pbt learner.lr=0.1 sync=false",
        "learner=quadratic algo=constant algo.schedule=cosine population.sizes=[2] stop.hours=2",
        "learner=quadratic explore.factors=[0.5,2] seed=4 engine.processes=2 logger=none chunk=5",
        "learner=quadratic space.lr={ordered_choice:[0.001,0.01,0.1]} steps=1e3 learner.noise=0",
        "learner=modelled engine=simulated algo=pb2",
        "learner=vmpo env=Hopper",
        "env=Humanoid preset=smoke learner.num_envs=2 space.learning_rate=null",
        "learner=ppo env=Ant learner.schedule=kl env.kwargs.max_episode_steps=100",
        "learner=vmpo env=Hopper learner.learning_rate=1e-4 algo=mfpbt",
        "learner=classifier data=shapes data.shift=1 algo=random algo.schedule=goyal",
    ],
)
def test_a_run_is_made_again_from_its_config(line: str) -> None:
    config = made(*line.split(" "), "run_dir=run")
    keep(config)
    again = made("config=run/config.yaml")
    assert same(again, config)
    assert again.run_dir != "run"  # which holds that run
    assert same(made("config=run"), config)


def test_what_is_printed_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learner=quadratic", "seed=4", "steps=1e3", "--cfg"]) == 0
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert main(["config=printed.yaml", "run_dir=there", "--cfg"]) == 0
    again = yaml.safe_load(capsys.readouterr().out)
    assert again == {**yaml.safe_load(Path("printed.yaml").read_text()), "run_dir": "there"}


def test_what_is_typed_beside_a_run_wins_and_the_rest_follows() -> None:
    config = made("env=Hopper", "learner.num_envs=4", "explore.factors=[0.5,2]", "algo=pbt", "seed=3")
    keep(config)
    sizes = made("config=run", "population.sizes=[5]", "steps=1e6", "explore.factors=[0.9,1.1]")
    assert (sizes.sizes, sizes.seed, sizes.settings) == ((5,), 3, config.settings)
    assert sizes.steps == -(-1_000_000 // sizes.ready_interval) * sizes.ready_interval
    assert sizes.algo.settings["explore_factors"] == [0.9, 1.1]
    other = made("config=run", "env=Ant")
    assert other.settings == made("env=Ant", "learner.num_envs=4").settings
    assert other.space == made("env=Ant", "learner.num_envs=4").space
    rival = made("config=run", "algo=mfpbt")
    assert rival.algo.settings["explore_factors"] == made("env=Hopper", "algo=mfpbt").algo.settings["explore_factors"]
    small = made("config=run", "preset=smoke")
    assert same(small, made("env=Hopper", "learner.num_envs=4", "explore.factors=[0.5,2]", "algo=pbt", "seed=3",
                            "preset=smoke"))  # fmt: skip
    assert made("config=run", "learner=ppo").settings == made("learner=ppo", "env=Hopper").settings
    with pytest.raises(SettingError, match="learner=quadratic takes no environment"):
        made("config=run", "learner=quadratic")


def test_the_size_of_a_run_is_counted_in_evaluations() -> None:
    """So it follows the environment, and whatever else decides how long an evaluation is."""
    line = ("learner=ppo", "preset=smoke")
    keep(made(*line, "env=Hopper"))
    for typed in ("env=Ant", "env=Hopper", "learner.num_envs=32"):
        env = typed if typed.startswith("env") else "env=Hopper"
        again = made("config=run", typed)
        assert same(again, made(*line, *{env, typed})), typed
    keep(made("learner=ppo", "env=Hopper", "eval_interval=16384", "ready_interval=49152", "steps=98304"))
    hopper, ant = made("config=run"), made("config=run", "env=Ant")
    usual = {env: made("learner=ppo", f"env={env}").eval_interval for env in ("Hopper", "Ant")}
    assert usual["Hopper"] != usual["Ant"]
    assert (hopper.steps, ant.steps // ant.eval_interval) == (98304, 6)
    assert ant.eval_interval / usual["Ant"] == pytest.approx(hopper.eval_interval / usual["Hopper"], rel=0.1)
    longest = [config.algo.settings["max_eval_steps"] / config.eval_interval for config in (hopper, ant)]
    assert longest[0] == longest[1]
    assert made("config=run", "steps=2e5").ready_interval == 49152


def test_of_a_hyperparameter_the_typed_one_holds() -> None:
    keep(made("learner=quadratic", "space.lr={log_uniform: [0.01, 0.1]}"))
    assert made("config=run", "learner.lr=0.5").space == {"lr": {"choice": [0.5]}}
    assert made("config=run", "space.lr={uniform: [0, 1]}").space == {"lr": {"uniform": [0.0, 1.0]}}
    keep(made("env=Hopper", "learner.learning_rate=1e-4"))
    assert "learning_rate" in made("config=run", "space.learning_rate={log_uniform: [1e-5, 1e-4]}").space


def test_a_schedule_has_the_length_of_the_run() -> None:
    keep(made("learner=quadratic", "algo=cosine", "steps=600"))
    assert made("config=run", "steps=1200").algo.settings["anneal_steps"] == 1200


MINE = """
learner: {name: quadratic, noise: 1e-1}
algo: pbt
population:
  sizes: [4, 4.0]
steps: 1e3
seed: [1, 2]
space: {lr: {log_uniform: [1e-2, 1]}}
engine: inline
run_dir: ~/there
"""


def test_a_person_s_own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    Path("mine.yaml").write_text(MINE)
    config = made("config=mine.yaml", "seed=2", "population.sizes=[6]")
    assert (config.algo.name, config.sizes, config.steps, config.seed) == ("pbt", (6,), 1020, 2)
    assert (config.settings["noise"], config.space["lr"], config.run_dir) == (
        0.1,
        {"log_uniform": [0.01, 1.0]},
        "/home/me/there",
    )
    assert compose(["config=mine.yaml"])["seed"] == [1, 2]
    assert made("config=mine.yaml", "seed=2", "algo=fire", "learner=modelled").settings["of"] == "vmpo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3", "mine.yaml: unknown setting 'stepz': did you mean 'steps'?"),
        ("population: {size: [4]}", "mine.yaml: unknown setting 'population.size': did you mean 'population.sizes'?"),
        ("env: {name: Ant, kwarg: {}}", "mine.yaml: unknown setting 'env.kwarg': did you mean 'env.kwargs'?"),
        ("engine: {process: 2}", "mine.yaml: unknown setting 'engine.process': did you mean 'engine.processes'?"),
        ("preset: {name: smoke, size: 2}", "mine.yaml: unknown setting 'preset.size': did you mean 'preset.sizes'?"),
        (
            "algo: {name: pbt, truncate: 1}",
            "mine.yaml: unknown setting 'algo.truncate': did you mean 'algo.truncation'",
        ),
        (
            "learner: {name: quadratic, noize: 1}",
            "mine.yaml: unknown setting of learner Quadratic 'learner.noize': did you mean 'learner.noise'?",
        ),
        ("task: Hopper\nsettings: {}\nstep: 3", "mine.yaml: unknown setting 'step': did you mean 'steps'?"),
        ("task: Hopper\nsettings: {}", "mine.yaml: learner is missing: must be a text"),
        ("[1, 2]", "mine.yaml: must hold settings"),
        ("", "mine.yaml: must hold settings"),
        ("a: [1", "mine.yaml: is not a file of settings: while parsing"),
        ("a: 1\n---\na: 2", "mine.yaml: is not a file of settings: expected a single document"),
        ("a: !!python/name:os.system", "mine.yaml: is not a file of settings: could not determine a constructor"),
        ("learner: [vmpo]", "mine.yaml: learner=[vmpo]: must be a name"),
        ("steps: some", "steps=some: must be an integer >= 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(text: str, message: str) -> None:
    Path("mine.yaml").write_text(text)
    assert refusal("config=mine.yaml").startswith(message)
    assert "config=mine.yaml" not in refusal("config=mine.yaml")


def test_a_file_that_is_not_there() -> None:
    assert refusal("config=mine.yaml") == "mine.yaml: cannot be read: No such file or directory"
    Path("pipe").mkdir()
    assert refusal("config=pipe") == "pipe: cannot be read: No such file or directory"
    with pytest.raises(SettingError, match="there is no such home folder"):
        compose(["config=~nosuch/mine.yaml"])


OWN = """
from pathlib import Path
Path("ran").touch()
from firerl.evolution.algorithms.pbt import *
from firerl.agents.quadratic.learner import Quadratic

class Own(Quadratic):
    pass
"""


def forget() -> None:
    """What is in memory already may be named."""
    for module in [module for module in sys.modules if module.startswith("a_stranger_s")]:
        del sys.modules[module]


@pytest.mark.parametrize("of_a_run", [False, True])
def test_a_file_goes_through_no_door_that_nobody_has_typed(of_a_run: bool) -> None:
    Path("a_stranger_s").mkdir()
    Path("a_stranger_s/module.py").write_text(OWN)
    if of_a_run:
        keep(made("learner=quadratic"))
        plain = yaml.safe_load(Path("run/config.yaml").read_text())
        put = {"learner": {"learner": "a_stranger_s.module.Own"}, "algo": {"algo": {"name": "a_stranger_s.module"}}}
        inside = {"env": {"env": {"name": "a_stranger_s.module:Own-v0", "kwargs": {}}}}
        inside |= {"data": {"data": {"name": "a_stranger_s.module.Own"}}}
        inside |= {f"learner.{one}": {one: "a_stranger_s.module.Own"} for one in ("model", "module")}
        put |= {door: {"settings": {**plain["settings"], **change}} for door, change in inside.items()}
    else:
        plain = {"learner": "quadratic"}
        put = {"learner": {"learner": "a_stranger_s.module.Own"}, "algo": {"algo": "a_stranger_s.module"}}
        put |= {"env": {"env": "a_stranger_s.module:Own-v0"}, "data": {"data": "a_stranger_s.module.Own"}}
        put["learner.model"] = {"learner": {"name": "classifier", "model": "a_stranger_s.module.Own"}}
        put["learner.module"] = {"learner": {"name": "lightning", "module": "a_stranger_s.module.Own"}}
    put["logger"] = {"logger": ["wandb"]}
    put["engine.address"] = {"engine": {"name": "ray", "address": "ray://elsewhere:10001"}}
    put["init"] = {"init": "s3://elsewhere/run"}
    assert put.keys() == {door.typed for door in DOORS}
    names = {
        "learner": "a_stranger_s.module.Own",
        "algo": "a_stranger_s.module",
        "env": "a_stranger_s.module:Own-v0",
        "data": "a_stranger_s.module.Own",
        "learner.model": "a_stranger_s.module.Own",
        "learner.module": "a_stranger_s.module.Own",
        "logger": "wandb",
        "engine.address": "ray://elsewhere:10001",
        "init": "s3://elsewhere/run",
    }
    for door, changes in put.items():
        Path("theirs.yaml").write_text(yaml.safe_dump({**plain, **changes}))
        again = f"{door}={names[door]}"
        assert refusal("config=theirs.yaml").startswith(f"theirs.yaml: {again}: the run names ")
        assert f"if you trust it, give it again: {again}" in refusal("config=theirs.yaml")
        assert not Path("ran").exists()
        if not (of_a_run and door in inside):  # which this learner has not
            assert names[door] in str(compose(["config=theirs.yaml", again]))
        forget()
        Path("ran").unlink(missing_ok=True)
    Path("theirs.yaml").write_text(yaml.safe_dump({**plain, **put["learner"]}))
    config = made("config=theirs.yaml", "learner=a_stranger_s.module.Own")
    assert (config.learner, Path("ran").exists()) == ("a_stranger_s.module.Own", True)
    forget()


def test_where_a_run_is_kept_is_typed() -> None:
    Path("theirs.yaml").write_text("learner: quadratic\nrun_dir: s3://elsewhere/run")
    assert "give it again: run_dir=s3://elsewhere/run" in refusal("config=theirs.yaml")
    assert made("config=theirs.yaml", "run_dir=s3://here/run").run_dir == "s3://here/run"


def test_no_file_opens_a_window() -> None:
    keep(replace(config := made("env=Hopper"), settings={**config.settings, "env": {
        "name": "Hopper", "kwargs": {"render_mode": "human"}}}))  # fmt: skip
    assert made("config=run").settings == config.settings


PRESET = {"evaluations": 20, "evaluations_per_ready": 2, "max_eval_evaluations": 8, "sizes": [3, 3], "evaluators": 2}


def test_a_preset_of_one_s_own() -> None:
    Path("my_preset.yaml").write_text(yaml.safe_dump(PRESET))
    config = made("learner=quadratic", "preset=my_preset.yaml", "population.evaluators=3")
    assert (config.steps, config.ready_interval, config.sizes, config.evaluators) == (200, 20, (3, 3), 3)
    Path("mine.yaml").write_text("learner: quadratic\npreset: my_preset.yaml")
    assert made("config=mine.yaml").steps == 200
    assert refusal("preset=other.yaml") == "other.yaml: cannot be read: No such file or directory"
    assert refusal("preset=other").startswith("unknown preset 'other'")
    for name, value, message in (
        ("evaluation", 3, "unknown setting 'preset.evaluation': did you mean 'preset.evaluations'?"),
        ("sizes", [0], "preset.sizes=[0]: must be a list of integers >= 1"),
        ("evaluators", None, "preset.evaluators=null: must be an integer >= 0"),
    ):
        Path("my_preset.yaml").write_text(yaml.safe_dump({**PRESET, name: value}))
        assert refusal("preset=my_preset.yaml").startswith(f"my_preset.yaml: {message}")
    Path("my_preset.yaml").write_text("evaluations: 20")
    assert "my_preset.yaml: preset.evaluations_per_ready is missing" in refusal("preset=my_preset.yaml")


def test_the_command_takes_a_file_for_a_new_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("learner: quadratic\npreset: smoke\nengine: inline\nlogger: none")
    line = ["config=mine.yaml", "resume=auto", "run_dir=r"]
    assert main(line) == 0
    assert main([*line, "steps=1e2"]) == 0
    capsys.readouterr()
    assert main(["config=mine.yaml", "resume=r"]) == 2
    assert "config= describes a new run" in capsys.readouterr().err

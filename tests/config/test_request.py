"""From a tree of settings to a complete run, or to one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from firerl.config.compose import choices, compose, config_folder
from firerl.config.learners import find_learner
from firerl.config.request import changed, resolve, rounded_line
from firerl.config.run_config import RunConfig, from_plain, to_plain
from firerl.errors import SettingError
from firerl.evolution import find
from firerl.learner import Learner

TOTAL = 8 + 8 + 6


class Blocky(Learner):
    """A learner with a coarse granularity, an environment and a fixed value for what is optional to tune."""

    space: ClassVar = {"lr": {"log_uniform": [1e-4, 1e-2]}, "decay": {"uniform": [0.0, 1.0]}}
    settings: ClassVar = {"env": {"name": "Nowhere", "kwargs": {}}, "decay": 0.5, "width": 64, "deep": False}
    granularity = 64
    eval_interval = 1000

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str) -> None: ...
    def set_hyperparameters(self, values: Any) -> None: ...
    def train(self, steps: int) -> dict[str, float]:
        return {}

    def evaluate(self, seed: int) -> float:
        return 0.0

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, weights: Any = None, stream: Any = None) -> None: ...


class NoLoad(Blocky):
    load = Learner.load


class Rude(Blocky):
    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("oops")


class Picky(Blocky):
    @classmethod
    def check_hyperparameter(cls, name: str, value: Any) -> None:
        if name == "lr" and 1 / value < 0.4:
            raise SettingError(f"hyperparameters.{name}={value} is odd")


PICKY = f"learner={__name__}.Picky"
BLOCKY = f"learner={__name__}.Blocky"


def made(*arguments: str) -> RunConfig:
    return resolve(compose(arguments))


def refusal(*arguments: str) -> str:
    with pytest.raises(SettingError) as caught:
        made(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_quadratic_defaults() -> None:
    config = made("learner=quadratic")
    assert (config.steps, config.eval_interval, config.ready_interval) == (3600, 10, 60)
    assert (config.sizes, config.evaluators, config.algo.settings["max_eval_steps"]) == ((8, 8), 6, 180)
    assert config.run_dir.startswith("runs/Quadratic-fire-")
    assert config.space == {"lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-5, 1.0]}}


def test_a_named_preset_beats_the_learners_own() -> None:
    assert made("learner=quadratic", "preset=laptop").ready_interval == 120


def test_goes_to_json_and_back() -> None:
    config = made("learner=quadratic", "stop.hours=2", "engine.processes=2", "seed=5")
    assert from_plain(json.loads(json.dumps(to_plain(config)))) == config
    with pytest.raises(SettingError, match=r"unknown setting 'engine.proceses': did you mean 'engine.processes'"):
        from_plain({**to_plain(config), "engine": {"proceses": 1}})
    with pytest.raises(SettingError, match=r"population.evaluators=-1: must be an integer >= 0"):
        from_plain({**to_plain(config), "evaluators": -1})


@pytest.mark.parametrize("preset", choices("preset"))
@pytest.mark.parametrize("learner", ["learner=quadratic", BLOCKY])
def test_every_preset_fits_every_learner_and_algorithm(preset: str, learner: str) -> None:
    tree = compose([learner, f"preset={preset}"])
    fire = resolve(tree)
    for algo in ("pbt", "random", "constant", "cosine", "mfpbt", "pb2"):
        config = resolve({**tree, "algo": algo})
        assert (config.steps, config.evaluators) == (fire.steps, 0)
        assert sum(config.sizes) == sum(fire.sizes) + fire.evaluators
    assert fire.algo.settings["max_eval_steps"] >= 7 * fire.eval_interval
    if preset != "smoke":
        assert fire.algo.settings["max_eval_steps"] >= 12 * fire.eval_interval
        assert fire.ready_interval >= 4 * fire.eval_interval
        assert fire.steps >= 8 * fire.ready_interval


@pytest.mark.parametrize(("preset", "workers"), [("paper22", 22), ("paper36", 36), ("paper50", 50), ("laptop", 22)])
def test_presets_have_the_papers_sizes(preset: str, workers: int) -> None:
    config = made(BLOCKY, f"preset={preset}")
    assert sum(config.sizes) + config.evaluators == workers
    assert config.evaluators == 6 * (len(config.sizes) - 1)


def test_intervals_are_rounded_to_the_granularity_and_follow_each_other() -> None:
    assert made(BLOCKY).eval_interval == 1024
    assert made(BLOCKY, "preset=smoke").eval_interval == 192
    config = made(BLOCKY, "ready_interval=3072", "preset.evaluations=10")
    assert (config.ready_interval, config.steps) == (3072, 12288)  # the next multiple
    assert refusal(BLOCKY, "eval_interval=1000").startswith("eval_interval=1000 is no multiple of")
    assert refusal(BLOCKY, "chunk=1000").startswith("chunk=1000 is no multiple of the learner's granularity=64")
    assert refusal(BLOCKY, "chunk=192").startswith("eval_interval=1024 is no multiple of chunk=192")
    assert refusal(BLOCKY, "chunk=1024").startswith("chunk=1024: must be a part of eval_interval=1024")
    assert refusal(BLOCKY, "chunk=256", "sync=false").startswith("chunk=256: must be null with sync=false")
    assert "the nearest are 1024 and 1088" in refusal(BLOCKY, "ready_interval=1025")
    assert "the nearest are 1024 and 2048" in refusal(BLOCKY, "ready_interval=1088", "eval_interval=1024")


def test_a_run_goes_on_to_the_next_ready() -> None:
    for typed, steps in (("5000", 8192), ("4096", 4096), ("1", 4096), ("1e6", 1_003_520)):
        config = made(BLOCKY, f"steps={typed}", "ready_interval=4096")
        assert config.steps == steps
        line = rounded_line(float(typed), config)
        assert line == (None if typed == "4096" else line)
        assert line is None or f"steps={int(float(typed))} is not at a ready" in line
    assert rounded_line(None, config) is None
    assert refusal("learner=quadratic", f"steps={2**63 - 1}").endswith("as every integer of a run")


@pytest.mark.parametrize(
    ("ready_interval", "eval_interval"),
    [
        (4096, 1024),  # the learner's own fits
        (3072, 1024),
        (512, 128),  # four, as the preset has them: too short for the learner's own
        (1088, 1088),  # 17 units of the granularity: one evaluation
        (1600, 320),  # 25 units: five evaluations
    ],
)
def test_evaluations_follow_the_ready_interval_that_is_typed(ready_interval: int, eval_interval: int) -> None:
    config = made(BLOCKY, f"ready_interval={ready_interval}", "preset.evaluations_per_ready=4")
    assert (config.ready_interval, config.eval_interval) == (ready_interval, eval_interval)
    assert config.algo.settings["max_eval_steps"] % eval_interval == 0


def test_a_whole_number_may_be_typed_as_a_power_of_ten() -> None:
    given = ["eval_interval=1e1", "ready_interval=6e1", "steps=1.2e2", "seed=1e3", "population.sizes=[4e0,4.0]"]
    given += [
        "population.evaluators=2e0",
        "engine.processes=2e0",
        "checkpoints.keep_history=1e0",
        "learner.dimensions=1e1",
    ]
    config = made("learner=quadratic", *given, "algo.max_eval_steps=1e2", "space.lr={integer: [1e0, 1e1]}")
    plain = made(
        *(["learner=quadratic", "eval_interval=10", "ready_interval=60", "steps=120", "seed=1000"]),
        *(["population.sizes=[4,4]", "population.evaluators=2", "engine.processes=2", "checkpoints.keep_history=1"]),
        *(
            [
                "learner.dimensions=10",
                "algo.max_eval_steps=100",
                "space.lr={integer: [1, 10]}",
                f"run_dir={config.run_dir}",
            ]
        ),
    )
    assert json.dumps(to_plain(config)) == json.dumps(to_plain(plain))


def test_a_run_in_chunks_is_another_run_and_one_without_is_as_it_was() -> None:
    whole, in_chunks = made(BLOCKY), made(BLOCKY, "chunk=256")
    assert "chunk" not in to_plain(whole)
    assert to_plain(in_chunks) == {**to_plain(whole), "chunk": 256, "run_dir": in_chunks.run_dir}
    assert from_plain(to_plain(in_chunks)) == in_chunks
    with pytest.raises(SettingError, match="chunk cannot change when a run is resumed"):
        changed(in_chunks, {"chunk": None})


def test_own_sizes_bring_their_share_of_evaluators() -> None:
    assert made("learner=quadratic", "population.sizes=[8,8,4]").evaluators == 6 + 6
    assert made("learner=quadratic", "population.sizes=[8,16,2]").evaluators == 12 + 12
    assert made("learner=quadratic", "population.sizes=8").evaluators == 0
    assert made("learner=quadratic", "population.sizes=[2,2]").evaluators == 2
    assert made("learner=quadratic", "population.sizes=[4,4]", "population.evaluators=4").evaluators == 4


def test_parents_that_cannot_be_ranked_are_refused() -> None:
    few = ["learner=quadratic", "population.sizes=[4,4]", "population.evaluators=1"]
    assert "P2 gets 1 of them. It ranks" in refusal(*few)
    assert made(*few, "algo.parent_fitness=objective").evaluators == 1
    assert "P3 gets 1 of them" in refusal("learner=quadratic", "population.sizes=[4,4,4]", "population.evaluators=3")
    assert "needs 4" in refusal("learner=quadratic", "population.sizes=[4,4]", "algo.truncation=.5")


def test_rules_that_no_evaluation_can_meet_are_refused() -> None:
    assert "algo.min_points=19: algo.max_eval_steps=180" in refusal("learner=quadratic", "algo.min_points=19")
    useless = ["learner=quadratic", "algo.parent_fitness=objective", "algo.promotion=off"]
    assert "must be 0" in refusal(*useless)
    assert made(*useless, "population.evaluators=0").evaluators == 0
    migration = ["learner=quadratic", "algo=mfpbt", "algo.truncation=.5", "population.sizes=[4,4]"]
    assert "nobody is left to migrate" in refusal(*migration, "population.evaluators=0")
    assert made(*migration, "population.evaluators=0", "algo.migration=false").sizes == (4, 4)
    assert "algo.hyperparameters.lr=null" in refusal(
        "learner=quadratic", "algo=constant", "algo.hyperparameters.lr=null"
    )


def test_the_environment_goes_to_learners_that_have_one() -> None:
    assert made(BLOCKY, "env=Ant", "env.kwargs.x=1").settings["env"] == {"name": "Ant", "kwargs": {"x": 1}}
    assert made(BLOCKY, "env=my_pkg:MyEnv-v0").settings["env"]["name"] == "my_pkg:MyEnv-v0"
    assert made(BLOCKY, "env.kwargs.x=1").settings["env"]["name"] == "Nowhere"
    assert made(BLOCKY).settings["env"] == {"name": "Nowhere", "kwargs": {}}
    assert "env.kwarg" in refusal(BLOCKY, "env.kwarg.x=1")
    assert "takes no environment" in refusal("learner=quadratic", "env=Ant")


def test_space_changes_by_hyperparameter() -> None:
    assert made(BLOCKY, "space.lr={uniform:[1,2]}").space["lr"] == {"uniform": [1.0, 2.0]}
    assert list(made(BLOCKY, "space.decay=null").space) == ["lr"]  # settings.decay is its fixed value
    assert "width" in made(BLOCKY, "space.width={integer:[8,64]}").space
    assert "did you mean 'space.lr'" in refusal(BLOCKY, "space.lrr={uniform:[1,2]}")
    assert "space.lr=null" in refusal(BLOCKY, "space.lr=null")  # it has none
    assert "space.lr" in refusal(BLOCKY, "space.lr={uniform:[2,1]}")


def test_what_is_a_number_is_tuned_as_one() -> None:
    assert "choice must list numbers, as the learner's own are, got 'x'" in refusal(BLOCKY, "space.lr={choice: [1, x]}")
    assert "space.width: ordered_choice must list numbers" in refusal(BLOCKY, "space.width={ordered_choice: [true]}")
    assert made(BLOCKY, "space.lr={choice: [1, 2]}").space["lr"] == {"choice": [1, 2]}
    assert "hyperparameters.lr=3.0 is odd" in refusal(PICKY, "space.lr={uniform: [2, 3]}")
    assert "space.lr=0.0: check_hyperparameter() raised ZeroDivisionError" in refusal(
        PICKY, "space.lr={uniform: [0, 2]}"
    )
    assert "got ['bounds']" in refusal(BLOCKY, "space.lr={bounds: [1, 2]}")


def test_explore_is_short_for_two_settings_where_the_algorithm_has_them() -> None:
    arguments = ["learner=quadratic", "explore.resample_probability=0.1", "explore.factors=[0.9,1.1]"]
    for algo in ("fire", "pbt"):
        settings = made(*arguments, f"algo={algo}").algo.settings
        assert (settings["resample_probability"], settings["explore_factors"]) == (0.1, [0.9, 1.1])
    assert "resample_probability" not in made(*arguments, "algo=random").algo.settings
    assert made(*arguments, "algo.resample_probability=0.3").algo.settings["resample_probability"] == 0.3


def test_algorithms_need_no_config_file() -> None:
    assert not (config_folder() / "algo").exists()
    assert choices("algo") == find.names()
    for arguments in (["algo=pbt"], ["algo=firerl.evolution.algorithms.pbt"], ["algo.name=pbt"]):
        config = made("learner=quadratic", *arguments, "algo.truncation=.2")
        assert (config.algo.name.rpartition(".")[2], config.algo.settings["truncation"]) == ("pbt", 0.2)
    assert made("learner=quadratic", "algo.truncation=.2").algo.name == "fire"


def test_the_usual_values_are_offered_to_algorithms_that_ask() -> None:
    """initial, else what the learner fixes, else the middle; what is given goes over them, name by name."""
    values = made(BLOCKY, "algo=constant").algo.settings["hyperparameters"]
    assert values == {"lr": pytest.approx(1e-3), "decay": 0.5}
    values = made(BLOCKY, "algo=constant", "space.decay={uniform: [0, 0.4]}").algo.settings["hyperparameters"]
    assert values["decay"] == pytest.approx(0.2)  # the middle: the space does not hold 0.5
    space = "space.decay={uniform: [0, 1], initial: [0.25, 0.75]}"
    values = made(BLOCKY, "algo=constant", space, "algo.hyperparameters.lr=2e-3").algo.settings["hyperparameters"]
    assert values == {"lr": 2e-3, "decay": 0.25}


def test_the_length_of_the_run_is_offered_to_algorithms_that_ask() -> None:
    assert made("learner=quadratic", "algo=cosine", "steps=600").algo.settings["anneal_steps"] == 600
    assert made("learner=quadratic", "algo=cosine", "algo.anneal_steps=90").algo.settings["anneal_steps"] == 90
    assert made("learner=quadratic", "algo=random", "steps=600").algo.settings["anneal_steps"] is None
    assert (
        made("learner=quadratic", "algo=random", "algo.schedule=goyal", "steps=600").algo.settings["anneal_steps"]
        == 600
    )


def test_settings_of_other_algorithms_are_refused() -> None:
    assert "unknown setting 'algo.max_eval_steps'" in refusal("learner=quadratic", "algo=pbt", "algo.max_eval_steps=90")


def test_the_sign_test_needs_its_evaluations() -> None:
    assert "6 evaluations" in refusal("learner=quadratic", "algo.max_eval_steps=60")
    assert made("learner=quadratic", "algo.max_eval_steps=70").algo.settings["max_eval_steps"] == 70
    assert "max_eval_steps" in refusal("learner=quadratic", "algo.max_eval_steps=70", "algo.significance=0.001")


def test_learner_settings_have_their_defaults_type() -> None:
    assert made(BLOCKY, "learner.width=8").settings["width"] == 8
    assert refusal(BLOCKY, "learner.width=wide") == "learner.width=wide: must be an integer"
    assert refusal(BLOCKY, "learner.deep=1") == "learner.deep=1: must be true or false"
    assert "did you mean 'width'" in refusal(BLOCKY, "learner.widht=1")


def test_a_mapping_may_stand_for_arguments() -> None:
    tree = compose(settings={"learner": Blocky, "env": "Ant", "population": {"sizes": [4, 4]}, "engine": "inline"})
    config = resolve(tree)
    assert config == replace(made(BLOCKY, "env=Ant", "population.sizes=[4,4]", "engine=inline"), run_dir=config.run_dir)
    assert resolve(compose(settings={"learner": {"name": Blocky, "width": 3}})).settings["width"] == 3


def test_composes_inside_another_hydra_application() -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        assert made("learner=quadratic").steps == 3600
        assert GlobalHydra.instance().hydra is outer


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quadratik", "did you mean 'quadratic'"),
        (f"{__name__}.NoLoad", "the class lacks load()"),
        (f"{__name__}.TOTAL", "must be a subclass of firerl.Learner"),
        (f"{__name__}.Blockie", "did you mean 'Blocky'"),
        ("no_such_package.Own", "cannot import 'no_such_package'"),
    ],
)
def test_no_such_learner(name: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        find_learner(name)
    assert message in str(caught.value)


def test_a_learner_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents_of_mine.py").write_text("raise RuntimeError('at import')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    with pytest.raises(SettingError, match=r"learner=agents_of_mine.A: cannot import .* RuntimeError: at import"):
        find_learner("agents_of_mine.A")


def test_a_class_that_has_no_importable_name() -> None:
    class Local(Blocky):
        tunable = ("decay",)

    tree = compose(settings={"learner": Local, "space": {"decay": {"uniform": [0, 0.5]}}})
    assert resolve(tree, Local).task == "Local"
    with pytest.raises(SettingError, match=r"unknown hyperparameter 'space.width'"):
        resolve({**tree, "space": {"width": {"integer": [1, 2]}}}, Local)
    with pytest.raises(SettingError, match=r"lacks load\(\)"):
        resolve(tree, NoLoad)


def test_errors_of_a_learner_are_one_line() -> None:
    assert "resolve() raised ZeroDivisionError: oops" in refusal(f"learner={__name__}.Rude")


def test_what_a_resumed_run_may_change() -> None:
    old = made("learner=quadratic", "engine.processes=2", "stop.hours=1")
    new = changed(old, {"steps": 7200, "stop": {"objective": 3}, "engine": {"name": "inline"}, "logger": []})
    assert (new.steps, new.stop.hours, new.stop.objective, new.logger) == (7200, 1.0, 3.0, ())
    assert (new.engine.name, new.engine.processes) == ("inline", None)
    assert replace(new, steps=old.steps, stop=old.stop, engine=old.engine, logger=old.logger) == old
    assert changed(old, {}) == old
    assert changed(old, {"steps": 3601}).steps == 3660
    refused: list[tuple[dict[str, Any], str]] = [
        ({"seed": 1}, "seed cannot change when a run is resumed"),
        ({"population": {"sizes": [4]}}, "population cannot change"),
        ({"step": 1}, "did you mean 'steps'"),
        ({"steps": 61.5}, "steps=61.5: must be an integer >= 1"),
        ({"stop": {"hour": 1}}, "did you mean 'stop.hours'"),
        ({"stop": 3}, "stop=3"),
        ({"engine": {"processes": 0}}, "engine.processes=0: must be an integer >= 1"),
    ]
    for changes, message in refused:
        with pytest.raises(SettingError) as caught:
            changed(old, changes)
        assert message in str(caught.value)

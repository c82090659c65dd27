"""Which runs belong together, and which may be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for

from firerl.config.run_config import AlgoConfig, RunConfig
from firerl.errors import SettingError
from firerl.insight.compare.grouping import also_different, check_comparable, group, settings_of


def config(algo: str = "fire", seed: int = 0, given: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    return replace(config_for(Path("r"), algo, seed=seed, **changes), algo=AlgoConfig(algo, given or {}))


def config_in(env: str, **kwargs: Any) -> RunConfig:
    return replace(config(), task=env, settings={"env": {"name": env, "kwargs": kwargs}, "epochs": 4})


def names(configs: list[RunConfig]) -> list[str]:
    return [f"r{i}" for i in range(len(configs))]


def check(*configs: RunConfig, allow: tuple[str, ...] = ()) -> list[str]:
    return check_comparable(names(list(configs)), configs, allow)


def test_runs_that_differ_in_their_seed_are_one_group_by_seed() -> None:
    configs = [config("pbt", 2), config("fire", 5), config("pbt", 0), config("fire", 1)]
    found = group(names(configs), configs)
    assert [(g.name, g.members, g.differs) for g in found] == [("pbt", (2, 0), {}), ("fire", (3, 1), {})]


def test_groups_of_one_algorithm_are_named_by_what_differs() -> None:
    configs = [
        config(given={"max_eval_steps": 90, "truncation": 0.25}),
        config(given={"max_eval_steps": 180, "truncation": 0.25}),
        config(given={"max_eval_steps": 90, "truncation": 0.25}, sizes=(4, 4), evaluators=3),
        config("pbt"),
    ]
    found = group(names(configs), configs)
    assert [g.name for g in found] == [
        "fire 2+2+1 max_eval_steps=90",
        "fire 2+2+1 max_eval_steps=180",
        "fire 4+4+3 max_eval_steps=90",
        "pbt",
    ]
    assert found[0].differs == {"population.sizes": [2, 2], "population.evaluators": 1, "algo.max_eval_steps": 90}


def test_a_hyperparameter_that_is_not_tuned_is_null() -> None:
    more = {**config().space, "noise": {"uniform": [0.0, 1.0]}}
    configs = [config(), config(space=more)]
    assert [g.name for g in group(names(configs), configs)] == [
        "fire space.noise.uniform=null",
        "fire space.noise.uniform=[0.0,1.0]",
    ]


def test_where_a_run_is_and_who_is_told_makes_no_group() -> None:
    configs = [config(), replace(config(seed=1), run_dir="elsewhere", logger=())]
    assert len(group(names(configs), configs)) == 1


def test_the_same_run_twice_is_refused() -> None:
    configs = [config(), config("pbt"), replace(config(), run_dir="a copy")]
    with pytest.raises(SettingError, match="r0 and r2 are the same run, all settings and seed 0"):
        group(names(configs), configs)


def test_different_tasks_are_never_comparable() -> None:
    with pytest.raises(SettingError) as refused:
        check(config_in("Ant"), config_in("Ant"), config_in("Hopper"))
    assert str(refused.value) == "runs are not comparable: r0 has task=Ant, r2 has Hopper"
    with pytest.raises(SettingError, match="unknown setting to allow 'task'"):
        check(config_in("Ant"), config_in("Hopper"), allow=("task",))


@pytest.mark.parametrize(
    ("other", "name", "shown"),
    [
        (config(steps=80), "steps", "steps=40, r1 has 80"),
        (config(eval_interval=20), "eval_interval", "eval_interval=10, r1 has 20"),
        (replace(config(), learner="my.Own"), "learner", "learner=quadratic, r1 has my.Own"),
        (
            replace(config(), settings={"dimensions": 4, "kappa": 2.0, "noise": 0.3}),
            "learner.kappa",
            "learner.kappa=1.5, r1 has 2.0",
        ),
    ],
)
def test_what_must_be_the_same_is_named_and_may_be_allowed(other: RunConfig, name: str, shown: str) -> None:
    with pytest.raises(SettingError) as refused:
        check(config(), other)
    assert shown in str(refused.value)
    assert f"--allow {name} compares" in str(refused.value)
    assert check(config(), other, allow=(name,)) == [name]
    assert check(config(), config("pbt", 3), allow=(name,)) == []


def test_a_whole_group_of_settings_may_be_allowed() -> None:
    a, b = config_in("Ant", healthy_reward=1.0), config_in("Ant", healthy_reward=0.5)
    with pytest.raises(SettingError, match=r"env\.kwargs\.healthy_reward=1\.0, r1 has 0\.5"):
        check(a, b)
    assert check(a, b, allow=("env",)) == ["env.kwargs.healthy_reward"]
    with pytest.raises(SettingError, match="not comparable"):
        check(a, b, allow=("learner",))


def test_an_unknown_name_to_allow_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"did you mean 'learner\.kappa'"):
        check(config(), config(seed=1), allow=("learner.kapa",))


def test_many_differences_are_one_short_line() -> None:
    other = replace(config(steps=80, eval_interval=20), settings={"dimensions": 5, "kappa": 2.0, "noise": 0.4})
    with pytest.raises(SettingError) as refused:
        check(config(), other)
    assert "2 more settings differ" in str(refused.value)
    assert str(refused.value).count("--allow ") == 5


def test_settings_that_algorithms_share_and_set_differently_are_told() -> None:
    configs = [
        config("fire", given={"truncation": 0.25, "min_points": 4}),
        config("pbt", given={"truncation": 0.5}),
        config("random", ready_interval=40),
    ]
    assert also_different(group(names(configs), configs)) == ["algo.truncation", "ready_interval"]


def test_settings_carry_the_names_that_are_typed() -> None:
    found = settings_of(config_in("Ant", healthy_reward=1.0))
    assert found["env.kwargs.healthy_reward"] == 1.0
    assert found["learner.epochs"] == 4
    assert found["population.sizes"] == [2, 2]
    assert found["space.lr.log_uniform"] == [1e-3, 1.0]
    assert "seed" not in found

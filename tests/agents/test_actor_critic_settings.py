"""The settings of on-policy agents: complete, checked, refused with words that help; the search and the rate."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from agents_for_tests import AGENTS
from hypothesis import strategies as st

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.settings import around, next_factor
from firerl.agents.ppo import PPO
from firerl.agents.vmpo import VMPO
from firerl.envs import base_name
from firerl.errors import SettingError
from firerl.evolution.space import Space


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unrol": 5}, "did you mean 'learner.unroll'"),
        ({"num_envs": 0}, "learner.num_envs=0: must be an integer >= 1"),
        ({"num_envs": 2.5}, "learner.num_envs=2.5: must be an integer"),
        ({"discount": 1.5}, "learner.discount=1.5: must be a finite number >= 0 and <= 1"),
        ({"epochs": 10**12}, "learner.epochs=1000000000000: must be an integer >= 1 and <= 1000000"),
        (
            {"hidden": [10**12]},
            "learner.hidden=[1000000000000]: must be a list of integers >= 1 and <= 65536",
        ),
        ({"learning_rate": "fast"}, "learner.learning_rate=fast: must be a finite number"),
        ({"hidden": []}, "learner.hidden"),
        ({"objective": "trainig"}, "did you mean 'training'"),
        ({"objective_policy": "mode"}, "learner.objective_policy"),
        ({"activation": "tahn"}, "did you mean 'tanh'"),
        ({"schedule": "cosine"}, "learner.schedule"),
        ({"schedule": ["kl"]}, "learner.schedule"),
        ({"schedule": "linear"}, "learner.schedule=linear needs learner.schedule_steps"),
        ({"schedule": "linear", "schedule_steps": 0}, "learner.schedule_steps=0: must be an integer >= 1 or null"),
        ({"target_kl": 0}, "learner.target_kl=0: must be a finite number > 0"),
        ({"minibatches": 3}, "learner.minibatches=3 does not divide"),
        ({"eval_interval": 300}, "learner.eval_interval=300 is no multiple"),
        ({"min_scale": 0.5}, "learner.min_scale"),
        ({"env": {"name": "Humanoyd"}}, "did you mean 'Humanoid'"),
        ({"env": {"nam": "Humanoid"}}, "did you mean 'env.name'"),
        ({"env": {"name": "Humanoid", "kwargs": {"nothing": 1}}}, "env.kwargs="),
    ],
)
@pytest.mark.parametrize("kind", AGENTS.values())
def test_settings_that_cannot_work_are_refused(kind: type[ActorCritic], given: dict, words: str):
    with pytest.raises(SettingError) as caught:
        kind.resolve(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (VMPO, {"eps_eta": 0}, "learner.eps_eta=0: must be a finite number > 0"),
        (VMPO, {"control_variate": 1}, "learner.control_variate=1: must be true or false"),
        (VMPO, {"clip_range": 0.2}, "setting of learner VMPO 'learner.clip_range'"),
        (PPO, {"clip_range": 0}, "learner.clip_range=0: must be a finite number > 0"),
        (PPO, {"eps_eta": 0.1}, "setting of learner PPO 'learner.eps_eta'"),
    ],
)
def test_settings_of_one_algorithm(kind: type[ActorCritic], given: dict, words: str):
    with pytest.raises(SettingError) as caught:
        kind.resolve(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "granularities", "intervals"), [(VMPO, (4096, 200), (8192, 400)), (PPO, (4096, 400), (8192, 800))]
)
def test_settings_are_complete_and_stay_as_they_are(
    kind: type[ActorCritic], granularities: tuple[int, int], intervals: tuple[int, int]
):
    for env in ("Humanoid", {"name": "Humanoid-v5", "kwargs": {}}):
        complete = kind.resolve({"env": env})
        assert set(complete) == set(kind.settings)
        assert kind.resolve(complete) == complete
        assert kind.granularity_of(complete) == granularities[0]
        assert kind.eval_interval_of(complete) == intervals[0]
        assert base_name(kind.task_of(complete)) == "Humanoid"
    small = kind.resolve({"env": "InvertedPendulum"})
    assert (kind.granularity_of(small), kind.eval_interval_of(small)) == (granularities[1], intervals[1])


@pytest.mark.parametrize("kind", AGENTS.values())
def test_what_is_searched_by_default_may_change_while_it_trains(kind: type[ActorCritic]):
    assert set(kind.space) <= set(kind.tunable) <= set(kind.settings)
    for task in kind.tasks:
        kind.resolve({"env": task})


@pytest.mark.parametrize("kind", AGENTS.values())
@pytest.mark.parametrize("batch", [{"num_envs": 64}, {"num_envs": 64, "unroll": 64}, {"unroll": 7}, {"num_envs": 1}])
def test_what_nobody_gave_follows_from_what_is_given(kind: type[ActorCritic], batch: dict):
    for task in [*kind.tasks, "CartPole-v1"]:
        usual, complete = kind.resolve({"env": task}), kind.resolve({"env": task, **batch})
        assert kind.resolve(complete) == complete
        unit = kind.granularity_of(complete)
        assert unit % complete["minibatches"] == 0
        assert usual["minibatches"] / 2 <= complete["minibatches"] <= 2 * usual["minibatches"]
        assert kind.eval_interval_of(complete) % unit == 0
        if usual["eval_interval"] is not None and unit < usual["eval_interval"]:
            assert abs(complete["eval_interval"] - usual["eval_interval"]) <= unit / 2


def test_what_is_given_never_changes():
    assert VMPO.resolve({"env": "HalfCheetah", "num_envs": 64, "eval_interval": 32_000})["eval_interval"] == 32_000
    for given, words in (
        ({"eval_interval": 4000}, "learner.eval_interval=4000 is no multiple of num_envs x unroll=16000"),
        ({"minibatches": 7}, "minibatches=7 does not divide learner.num_envs x learner.unroll = 16000 into"),
    ):
        with pytest.raises(SettingError) as caught:
            VMPO.resolve({"env": "HalfCheetah", "num_envs": 64, **given})
        assert words in str(caught.value)
    with pytest.raises(SettingError, match="two samples or more"):  # there is nothing to follow
        VMPO.resolve({"env": "HalfCheetah", "num_envs": 1, "unroll": 1})


# ---- where a search begins


def test_first_values_lie_within_a_factor_of_three() -> None:
    assert around({"log_uniform": [1e-5, 1e-2]}, 3e-4) == {"log_uniform": [1e-4, 9e-4], "bounds": [1e-5, 1e-2]}
    assert around({"log_uniform": [1e-5, 1e-2]}, 1e-5) == {"log_uniform": [1e-5, 3e-5], "bounds": [1e-5, 1e-2]}
    near = around({"one_minus_log_uniform": [0.5, 0.99]}, 0.9)
    assert near == {"one_minus_log_uniform": [0.7, 0.967], "bounds": [0.5, 0.99]}


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"log_uniform": [1e-5, 1e-2]}, 0.0),
        ({"integer": [1, 10]}, 4),
        ({"choice": ["a", "b"]}, "a"),
        ({"log_uniform": [1e-4, 1e-3], "bounds": [1e-5, 1e-2]}, 3e-4),
    ],
)
def test_a_range_that_says_more_itself_stays_as_it_is(spec: dict[str, Any], value: Any) -> None:
    assert around(spec, value) == spec


@hypothesis.given(st.floats(1e-5, 1e-2), st.sampled_from(["log_uniform", "one_minus_log_uniform"]))
def test_it_is_always_a_space_that_holds_the_value(value: float, kind: str) -> None:
    (dimension,) = Space.parse({"x": around({kind: [1e-5, 1e-2]}, value)}).dimensions
    assert dimension.contains(value)
    assert (dimension.lower, dimension.upper) == (1e-5, 1e-2)


@pytest.mark.parametrize("kind", AGENTS.values())
def test_every_task_has_a_space_around_its_settings(kind: type[ActorCritic]) -> None:
    for task in (*kind.tasks, "CartPole-v1"):
        settings = kind.resolve({"env": task})
        for dimension in Space.parse(kind.space_of(settings)).dimensions:
            assert dimension.name == "entropy_cost" or dimension.contains(settings[dimension.name])


@pytest.mark.parametrize("kind", AGENTS.values())
def test_a_rate_that_follows_the_kl_is_tuned_by_that_kl(kind: type[ActorCritic]) -> None:
    fixed, kl = (kind.space_of(kind.resolve({"env": "Hopper", "schedule": name})) for name in ("fixed", "kl"))
    assert {*fixed} - {*kl} == {"learning_rate"}
    assert {*kl} - {*fixed} == {"target_kl"}


# ---- how the rate goes on


KL = {"schedule": "kl", "target_kl": 0.01}


def test_a_rate_that_follows_the_kl_goes_down_after_a_long_way_and_up_after_a_short_one():
    def after(*kls: float, factor: float = 1.0) -> float:
        for kl in kls:
            factor = next_factor(KL, factor, 10, kl)
        return factor

    assert after(0.021) == pytest.approx(1 / 1.5)
    assert after(0.021, 0.019, 0.006) == pytest.approx(1 / 1.5)  # near enough
    assert after(0.021, 0.004) == pytest.approx(1.0)
    assert after(*[0.0] * 50) == 30.0
    assert after(*[1.0] * 50) == 0.01
    assert after(float("nan"), factor=0.01) == 0.01  # says nothing


def test_a_linear_rate_falls_to_a_hundredth_over_its_steps():
    linear = {"schedule": "linear", "schedule_steps": 100}
    factors = [next_factor(linear, 1.0, steps, kl=1.0) for steps in (40, 80, 120, 160)]
    assert factors == pytest.approx([0.6, 0.2, 0.01, 0.01])

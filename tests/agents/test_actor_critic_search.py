"""A search begins near the settings and may go as far as its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from agents_for_tests import AGENTS
from hypothesis import given
from hypothesis import strategies as st

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.search import around
from firerl.evolution.space import Space


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


@given(st.floats(1e-5, 1e-2), st.sampled_from(["log_uniform", "one_minus_log_uniform"]))
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

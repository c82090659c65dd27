"""What a person fixes of what a learner would search."""

from __future__ import annotations

import numpy as np
from test_request import BLOCKY, Blocky, made, refusal

from firerl.config.compose import compose
from firerl.config.configured_learner import fixed_line
from firerl.config.learners import find_learner
from firerl.config.request import resolve


def test_a_typed_value_fixes_what_would_be_searched() -> None:
    """The space's bounds no longer hold then, those of the setting do."""
    config = made(BLOCKY, "learner.decay=7.5", "learner.width=8")
    assert config.settings["decay"] == 7.5
    assert set(config.space) == {"lr"}
    tree = compose(settings={"learner": {"name": f"{Blocky.__module__}.Blocky", "decay": np.float32(0.25)}})
    assert resolve(tree).settings["decay"] == 0.25
    assert set(resolve(tree).space) == {"lr"}
    assert set(made(BLOCKY, "learner.width=8").space) == {"lr", "decay"}
    assert set(made("learner=ppo", "learner.learning_rate=0").space) == set(made("learner=ppo").space) - {
        "learning_rate"
    }
    assert "learner.learning_rate=-1.0: must be a finite number >= 0" in refusal(
        "learner=ppo", "learner.learning_rate=-1"
    )


def test_a_typed_value_and_a_range_contradict_each_other() -> None:
    told = refusal(BLOCKY, "learner.decay=0.1", "space.decay={uniform: [0, 1]}")
    assert told == "learner.decay=0.1 fixes what space.decay={uniform: [0, 1]} tunes: give one of them"
    assert "learner.width=8 fixes what space.width=" in refusal(
        BLOCKY, "learner.width=8", "space.width={integer: [4, 9]}"
    )
    assert set(made(BLOCKY, "learner.decay=0.1", "space.decay=null").space) == {"lr"}


def test_a_hyperparameter_without_a_setting_is_fixed_as_well() -> None:
    config = made(BLOCKY, "learner.lr=2", "learner.decay=0.5")
    assert config.space == {"lr": {"choice": [2]}}
    assert "lr" not in config.settings
    line = fixed_line(Blocky, config.settings, config.space)
    assert line == "fixed, not searched: decay=0.5, lr=2; in the search space: nothing, so nothing is tuned"
    assert fixed_line(Blocky, config.settings, made(BLOCKY).space) is None
    assert fixed_line(Blocky, config.settings, made(BLOCKY, "learner.decay=0.5").space) == (
        "fixed, not searched: decay=0.5; in the search space: lr"
    )


def test_a_schedule_does_not_pass_over_a_fixed_value() -> None:
    told = refusal("learner=ppo", "algo=cosine", "learner.learning_rate=0.01")
    assert told.endswith("give it the first value by algo.hyperparameters.learning_rate=0.01")
    assert "algo.hyperparameters.lr=0.1" in refusal("learner=quadratic", "algo=cosine", "learner.lr=0.1")
    made("learner=ppo", "algo=cosine", "learner.entropy_cost=0.01")
    made("learner=quadratic", "algo=constant", "learner.lr=0.1")


def test_no_group_of_ours_fixes_what_a_learner_searches() -> None:
    """A value in a group's file would count as typed."""
    for name in ("vmpo", "ppo", "classifier", "quadratic"):
        assert set(made(f"learner={name}").space) == set(find_learner(name).space_of(made(f"learner={name}").settings))

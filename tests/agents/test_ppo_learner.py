"""PPO as a learner of a population; test_actor_critic_learner.py holds what all on-policy agents promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents_for_tests import UNIT, bits, learner

import firerl
from firerl.agents.ppo import PPO
from firerl.errors import SettingError


def test_the_clip_range_and_the_entropy_cost_act_without_a_rebuild():
    """Two learners in the same state part when one hyperparameter of the losses changes between two calls."""
    one, other = learner(PPO), learner(PPO, seed=1)
    one.train(UNIT)
    before = one.state()
    one.train(UNIT)
    for changed in ({"clip_range": 0.001}, {"entropy_cost": 0.1}, {"gae_lambda": 0.5}, {"discount": 0.9}):
        other.load(**before)
        other.set_hyperparameters(changed)
        other.train(UNIT)
        assert bits(one.state()["weights"]) != bits(other.state()["weights"]), changed
    other.load(**before)
    other.set_hyperparameters({})
    other.train(UNIT)
    assert bits(one.state()) == bits(other.state())
    with pytest.raises(SettingError, match=r"hyperparameters\.clip_range=0: must be a finite number > 0"):
        other.set_hyperparameters({"clip_range": 0})


def test_a_tight_clip_range_holds_the_policy_back():
    moved = {}
    for clip_range in (0.02, 0.5):
        one = learner(PPO, "CartPole-v1", epochs=10, values={"clip_range": clip_range, "learning_rate": 3e-3})
        moved[clip_range] = one.train(2 * UNIT)["approx_kl"]
    assert moved[0.02] < 0.5 * moved[0.5]


def test_a_population_learns(tmp_path: Path):
    result = firerl.run(
        "ppo", env="InvertedPendulum", algo="pbt", population=[2], steps=8000, eval_interval=2000, ready_interval=4000,
        engine="inline", progress=False, run_dir=tmp_path / "run", settings={"epochs": 5},
        space={"learning_rate": {"log_uniform": [1e-3, 3e-3]}},
    )  # fmt: skip
    assert set(result.hyperparameters) == set(PPO.space)
    assert result.objective > 60.0  # of steps upright: a random policy falls after 6

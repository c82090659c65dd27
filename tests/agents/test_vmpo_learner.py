"""What V-MPO as a learner has beside the others: see test_actor_critic_learner.py for what all promise."""

from __future__ import annotations

import pytest
import torch
from agents_for_tests import UNIT, bits, collect, learner

from firerl.agents.vmpo import VMPO
from firerl.errors import SettingError


def test_copied_weights_hold_the_target_policy_and_the_multipliers():
    donor = learner(VMPO)
    donor.train(UNIT)
    weights = donor.state()["weights"]
    names = " ".join(weights["networks"])
    for part in ("target", "raw_multipliers"):
        assert part in names
    assert weights["multiplier_optimiser"][0]["step"] > 0


def test_hyperparameters_of_the_losses_are_checked():
    with pytest.raises(SettingError, match=r"hyperparameters\.eps_eta=-1"):
        learner(VMPO).set_hyperparameters({"eps_eta": -1})


def test_discrete_actions_have_no_scale_to_bound():
    spaces = {env: VMPO.space_of(VMPO.resolve({"env": env})) for env in ("InvertedPendulum", "CartPole-v1")}
    assert set(spaces["InvertedPendulum"]) - set(spaces["CartPole-v1"]) == {"eps_alpha_sigma"}
    assert spaces["CartPole-v1"]["eps_alpha_mu"]["bounds"] == VMPO.space["eps_alpha_mu"]["log_uniform"]


def test_advantages_and_old_policy_carry_no_gradient():
    one = learner(VMPO)
    unroll = collect(one)
    advantages, targets = one.update.targets(unroll)
    assert not any(part.requires_grad for part in (advantages, targets, *unroll.old))
    assert advantages.mean().abs() < 1e-5
    assert advantages.std().item() == pytest.approx(1.0, rel=1e-4)
    assert not any(p.requires_grad for p in one.update.nets.target.parameters())


def test_target_policy_is_replaced_after_its_period():
    one = learner(VMPO, target_period=2)
    start = bits(dict(one.update.nets.target.state_dict()))
    one.train(UNIT)
    assert bits(dict(one.update.nets.target.state_dict())) == start
    assert bits(dict(one.update.nets.policy.state_dict())) != start
    copy = learner(VMPO, target_period=2, seed=1)
    copy.load(**one.state())
    one.train(UNIT)
    copy.train(UNIT)
    assert bits(dict(one.update.nets.target.state_dict())) == bits(dict(one.update.nets.policy.state_dict()))
    assert bits(one.state()) == bits(copy.state())


def test_multipliers_start_where_they_should_and_stay_positive():
    one = learner(VMPO, init_eta=2.0, init_alpha_sigma=900.0)
    assert one.update.nets.multipliers().tolist() == pytest.approx([2.0, 1.0, 900.0])
    one.update.nets.raw_multipliers.data.fill_(-1e4)
    assert (one.update.nets.multipliers() > 0).all()
    assert len(learner(VMPO, "CartPole-v1").update.nets.multipliers()) == 2


def test_first_gradient_step_starts_at_the_old_policy():
    one = learner(VMPO)
    unroll = collect(one)
    for new, old in zip(one.update.nets.policy(unroll.observations), unroll.old, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-6, atol=1e-6)

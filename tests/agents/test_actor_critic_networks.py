"""The fast forms of the networks against the modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agents_for_tests import AGENTS, UNIT, learner

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.networks import Actor


@pytest.mark.parametrize(("env", "activation"), [("Hopper", "tanh"), ("Hopper", "elu"), ("CartPole-v1", "tanh")])
@pytest.mark.parametrize("kind", AGENTS.values())
def test_layers_and_actor_compute_what_the_modules_say(kind: type[ActorCritic], env: str, activation: str):
    one = learner(kind, env, activation=activation)
    one.train(2 * UNIT)
    update, raw = one.update, np.random.default_rng(0).normal(size=(9, one.spec.observation_size))
    for network in (update.policy, update.value):  # the same memory
        network.flat.data.mul_(1.1)
    observations = update.nets.normaliser(torch.from_numpy(raw))
    (values,), _ = update.value.forward(observations)
    torch.testing.assert_close(values.squeeze(-1), update.nets.value(observations))
    update.nets.acting.load_state_dict(update.nets.policy.state_dict())
    normal, _, old = Actor(update.nets.acting, update.nets.normaliser)(raw, None)
    torch.testing.assert_close(torch.from_numpy(normal), observations)
    for ours, expected in zip(old, update.nets.policy(observations), strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), expected)


@pytest.mark.parametrize("kind", AGENTS.values())
def test_one_scale_is_learned_and_the_same_in_every_state(kind: type[ActorCritic]):
    one = learner(kind, "Hopper", one_scale=True)
    before = one.update.nets.policy.head.raw_scale.bias.clone()
    one.train(2 * UNIT)
    assert not torch.equal(one.update.nets.policy.head.raw_scale.bias, before)
    raw = np.random.default_rng(0).normal(size=(9, one.spec.observation_size))
    _, _, (mean, scale) = Actor(one.update.nets.policy, one.update.nets.normaliser)(raw, None)
    assert (scale == scale[0]).all()
    assert not (mean[1:] == mean[0]).any()

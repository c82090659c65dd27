"""PPO's losses and gradients: against autograd through the modules, by hand, and as Stable-Baselines3 writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from agents_for_tests import collect, learner
from hypothesis import given
from hypothesis import strategies as st

from firerl.agents.ppo.learner import PPO, clipped_loss, clipped_weights, standardise

ONE_STEP = {"unroll": 20, "hidden": [16, 12], "epochs": 1, "minibatches": 1}


def minibatch(one: PPO, moved: float = 0.2) -> list[torch.Tensor]:
    """Samples of the acting policy on which the policy has moved away from it, some ratios beyond their bounds."""
    one.train(2 * 80)
    unroll = collect(one)
    samples = one.update.samples(unroll)
    noise = torch.Generator().manual_seed(1)
    for parameter in one.update.nets.policy.parameters():
        parameter.data.add_(moved * torch.randn(parameter.shape, generator=noise))
    return samples


def stable_baselines_loss(one: PPO, *samples: torch.Tensor) -> dict[str, torch.Tensor]:
    """One minibatch of PPO.train() of Stable-Baselines3, its lines in its order, through modules and autograd."""
    observations, actions, old_log_prob, advantages, returns = samples
    nets, settings = one.update.nets, one.update.settings
    new = nets.policy(observations)
    if len(new) == 2:
        distribution: Any = torch.distributions.Independent(torch.distributions.Normal(*new), 1)
    else:
        distribution = torch.distributions.Categorical(logits=new[0])
    values, log_prob, entropy = nets.value(observations), distribution.log_prob(actions), distribution.entropy()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = torch.exp(log_prob - old_log_prob)
    clip_range = settings["clip_range"]
    policy_loss_1 = advantages * ratio
    policy_loss_2 = advantages * torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
    policy_loss = -torch.min(policy_loss_1, policy_loss_2).mean()
    value_loss = torch.nn.functional.mse_loss(returns, values)
    loss = policy_loss + settings["entropy_cost"] * -torch.mean(entropy) + 0.5 * value_loss
    kl = torch.mean((torch.exp(log_prob - old_log_prob) - 1) - (log_prob - old_log_prob))
    outside = (torch.abs(ratio - 1) > clip_range).float().mean()
    return {"loss": loss, "value_loss": 0.5 * value_loss, "policy_loss": policy_loss, "entropy": entropy.mean(),
            "approx_kl": kl, "clip_fraction": outside}  # fmt: skip


@pytest.mark.parametrize("env", ["InvertedPendulum", "Hopper", "CartPole-v1"])
@pytest.mark.parametrize("entropy_cost", [0.0, 0.3])
def test_a_gradient_step_is_stable_baselines(env: str, entropy_cost: float):
    one = learner(PPO, env, **ONE_STEP, one_scale=False, entropy_cost=entropy_cost)
    samples, update = minibatch(one), one.update
    assert len(samples[0]) == 80
    numbers = dict(zip(update.names(), update.gradients(*samples).tolist(), strict=True))
    ours = [network.flat.grad.clone() for network in (update.policy, update.value)]
    modules = (update.nets.policy, update.nets.value)
    for module in modules:
        module.requires_grad_(True)
    expected = stable_baselines_loss(one, *samples)
    expected["loss"].backward()
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
    assert 0.0 < numbers["clip_fraction"] < 1.0
    for module, own in zip(modules, ours, strict=True):
        gradient = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
        torch.testing.assert_close(own, gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item())


def test_the_clipped_loss_by_hand():
    """Four quadrants: ratio above and below its bounds, advantage up and down."""
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantages = torch.tensor([2.0, -2.0, 2.0, -2.0, 1.0])
    loss = clipped_loss(ratio, advantages, 0.2)
    torch.testing.assert_close(loss, torch.tensor([-2.4, 3.0, -1.0, 1.6, -1.1]))
    weights = clipped_weights(ratio, advantages, 0.2)
    torch.testing.assert_close(weights, torch.tensor([0.0, -3.0, 1.0, 0.0, 1.1]) / 5)


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-5, 5)), min_size=1, max_size=20), st.sampled_from([0.05, 0.2, 0.7])
)
def test_the_weights_are_the_losses_derivative(pairs: list[tuple[float, float]], clip_range: float):
    log_ratio, advantages = torch.tensor(pairs, dtype=torch.float64).T
    log_ratio = log_ratio.clone().requires_grad_(True)
    clipped_loss(log_ratio.exp(), advantages, clip_range).mean().backward()
    weights = clipped_weights(log_ratio.detach().exp(), advantages, clip_range)
    torch.testing.assert_close(-weights, log_ratio.grad)


def test_advantages_are_standardised_in_each_minibatch():
    standard = standardise(torch.tensor(np.random.default_rng(0).normal(5, 3, size=50)))
    assert standard.mean().item() == pytest.approx(0.0, abs=1e-10)
    assert standard.std().item() == pytest.approx(1.0)
    assert standardise(torch.ones(4)).tolist() == [0.0] * 4


def test_the_first_minibatch_starts_at_the_acting_policy():
    one = learner(PPO, "Hopper")
    numbers = dict(
        zip(one.update.names(), one.update.gradients(*one.update.samples(collect(one))).tolist(), strict=True)
    )
    assert numbers["approx_kl"] == pytest.approx(0.0, abs=1e-6)
    assert numbers["clip_fraction"] == 0.0
    assert numbers["policy_loss"] == pytest.approx(0.0, abs=1e-5)  # - mean of the standardised advantages

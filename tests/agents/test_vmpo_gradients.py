"""The gradients that V-MPO writes out in closed form, against autograd on the losses of the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence

from firerl.agents.vmpo import VMPO
from firerl.agents.vmpo.gradients import kl_names


def learner(env: str, **settings: Any) -> VMPO:
    small = {"num_envs": 4, "unroll": 20, "hidden": [16, 12], "epochs": 1, "minibatches": 1, "one_scale": False}
    return VMPO(VMPO.resolve({"env": env, **small, **settings}), {}, 0, "cpu")


def minibatch(one: VMPO, moved: float = 0.1) -> list[torch.Tensor]:
    """Samples of pi_old on which pi has moved away from it."""
    one.train(2 * 80)
    unroll = one.rollout.collect(lambda raw: one.update.act(raw, one.generator))
    noise = torch.Generator().manual_seed(1)
    for parameter in one.update.nets.policy.parameters():
        parameter.data.add_(moved * torch.randn(parameter.shape, generator=noise))
    samples = [part.flatten(0, 1) for part in (unroll.observations, unroll.actions, *unroll.old)]
    return [*samples, *one.update.targets(unroll)]


def loss_of(one: VMPO, observations: torch.Tensor, actions: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    """The paper's losses (equations 3 to 5), through modules, torch.distributions and autograd."""
    *old, advantages, targets = rest
    nets, settings = one.update.nets, one.update.settings
    eta, *alphas = nets.multipliers().unbind()
    new = nets.policy(observations)
    log_prob = distribution(*new).log_prob(actions)
    best = advantages.argsort(descending=True)[: len(advantages) // 2]
    psi = torch.softmax(advantages[best] / eta.detach(), 0)
    loss = -(psi * log_prob[best]).sum()
    loss = loss + eta * (settings["eps_eta"] + (advantages[best] / eta).exp().mean().log())
    for name, alpha, kl in zip(kl_names(one.update.head), alphas, kls(tuple(old), new), strict=True):
        loss = loss + alpha * (settings[f"eps_alpha_{name}"] - kl.mean().detach()) + alpha.detach() * kl.mean()
    loss = loss + 0.5 * (targets - nets.value(observations)).square().mean()
    if settings["control_variate"]:
        loss = loss + (log_prob + kl_divergence(distribution(*old), distribution(*new))).mean()
    return loss - settings["entropy_cost"] * distribution(*new).entropy().mean()


def distribution(*parameters: torch.Tensor) -> torch.distributions.Distribution:
    if len(parameters) == 2:
        return torch.distributions.Independent(torch.distributions.Normal(*parameters), 1)
    return torch.distributions.Categorical(logits=parameters[0])


def kls(old: tuple[torch.Tensor, ...], new: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Of Gaussians C_mu, with the old scale in both, and C_sigma, with the old mean in both; else the one KL. [B]."""
    others = [(new[0], old[1]), (old[0], new[1])] if len(old) == 2 else [new]
    return [kl_divergence(distribution(*old), distribution(*other)) for other in others]


@pytest.mark.parametrize("env", ["InvertedPendulum", "Hopper", "CartPole-v1"])
@pytest.mark.parametrize(
    ("entropy_cost", "control_variate", "activation"),
    [(0.0, False, "tanh"), (0.3, False, "tanh"), (0.0, True, "tanh"), (0.0, False, "elu")],
)
def test_gradients_in_closed_form_are_those_of_autograd(
    env: str, entropy_cost: float, control_variate: bool, activation: str
):
    one = learner(env, entropy_cost=entropy_cost, control_variate=control_variate, activation=activation)
    samples, update = minibatch(one), one.update
    assert len(samples[0]) == 80
    numbers = update.gradients(*samples)
    modules = (update.nets.policy, update.nets.value)
    ours = [network.flat.grad.clone() for network in (update.policy, update.value)]
    multipliers = update.nets.raw_multipliers.grad.clone()
    update.nets.raw_multipliers.grad = None
    for module in modules:
        module.requires_grad_(True)
    loss = loss_of(one, *samples)
    loss.backward()
    if not control_variate:  # which is in the gradients alone
        torch.testing.assert_close(numbers[0], loss.detach(), rtol=1e-5, atol=1e-6)
    for module, own in zip(modules, ours, strict=True):
        expected = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    torch.testing.assert_close(multipliers, update.nets.raw_multipliers.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("env", ["Hopper", "CartPole-v1"])
def test_the_control_variate_changes_no_expectation_and_takes_noise_away(env: str):
    one = learner(env)
    observations, _, *rest = minibatch(one, moved=0.02)  # as far as an update goes
    *old, advantages, targets = rest
    update, gradients = one.update, {False: [], True: []}
    generator = torch.Generator().manual_seed(0)
    parameters = [part.numpy() for part in old]
    raw = (
        [old[0].numpy(), np.log(np.expm1(old[1].numpy() - 0.01)) - update.head.offset] if len(old) == 2 else parameters
    )
    for _ in range(300):
        noise = update.head.noise((len(observations),), generator)
        actions = torch.from_numpy(update.head.act(raw, noise)[0])
        score = actions.sum(-1) if len(old) == 2 else actions.float()
        total = advantages + score
        total = (total - total.mean()) / total.std()
        for on, kept in gradients.items():
            update.settings["control_variate"] = on
            update.gradients(observations, actions, *old, total, targets)
            kept.append(update.policy.flat.grad.clone())
    without, with_it = (torch.stack(kept) for kept in (gradients[False], gradients[True]))
    assert with_it.var(0).sum() < 0.9 * without.var(0).sum()
    difference = (with_it - without).mean(0)
    error = (with_it - without).std(0).norm() / np.sqrt(300)
    assert difference.norm() < 2 * error < 0.2 * without.mean(0).norm()

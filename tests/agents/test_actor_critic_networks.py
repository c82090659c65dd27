"""The fast forms of activations, distributions and networks against torch; the running statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agents_for_tests import AGENTS, UNIT, learner

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.networks import (
    ACTIVATIONS,
    Categorical,
    Gaussian,
    Head,
    ObservationNormaliser,
    PopArt,
    Value,
)
from firerl.agents.actor_critic.rollout import Actor


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_forms_of_an_activation_say_the_same(name: str):
    activation = ACTIVATIONS[name]
    module = activation.module()
    values = torch.cat([torch.linspace(-30, 30, 101), torch.tensor([-1e-4, 0.0, 1e-4])]).requires_grad_()
    expected = module(values)
    expected.sum().backward()
    raw = values.detach()
    torch.testing.assert_close(activation(raw.clone()), expected.detach())
    torch.testing.assert_close(activation.tensor_(raw.clone()), expected.detach())
    array = raw.numpy().copy()
    assert activation.array_(array) is array  # in place
    assert array.dtype == np.float32
    torch.testing.assert_close(activation.backward(torch.ones_like(raw), expected.detach()), values.grad)


def head_and_outputs(kind: str) -> tuple[Head, list[torch.Tensor], torch.Tensor]:
    """A head of three numbers or choices, what its layers put out for seven observations, and actions."""
    generator, g = torch.Generator().manual_seed(0), np.random.default_rng(0)
    if kind == "gaussian":
        outputs = [torch.tensor(g.normal(size=(7, 3)), requires_grad=True) for _ in range(2)]
        return Gaussian(4, 3, 0.5, 0.01, generator), outputs, torch.tensor(g.normal(size=(7, 3)))
    outputs = [torch.tensor(g.normal(size=(7, 3)), requires_grad=True)]
    return Categorical(4, 3, generator), outputs, torch.tensor(g.integers(0, 3, size=7))


def reference(head: Head, outputs: list[torch.Tensor]) -> torch.distributions.Distribution:
    if len(outputs) == 1:
        return torch.distributions.Categorical(logits=outputs[0])
    scale = torch.log(1 + torch.exp(outputs[1] + head.offset)) + 0.01
    return torch.distributions.Independent(torch.distributions.Normal(outputs[0], scale), 1)


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
def test_log_probabilities_and_entropies_are_those_of_torch(kind: str):
    head, outputs, actions = head_and_outputs(kind)
    ours, theirs = head.parameters_of(outputs), reference(head, outputs)
    torch.testing.assert_close(head.log_prob(ours, actions), theirs.log_prob(actions))
    torch.testing.assert_close(head.entropy(ours), theirs.entropy())
    assert head.width(ours).shape == (7,)


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
def test_gradients_in_closed_form_are_those_of_autograd(kind: str):
    head, outputs, actions = head_and_outputs(kind)
    weights, theirs = torch.tensor(np.random.default_rng(1).normal(size=7)), reference(head, outputs)
    (-(weights * theirs.log_prob(actions)).sum() - 0.3 * theirs.entropy().mean()).backward()
    with torch.no_grad():
        ours = head.backward(outputs, head.parameters_of(outputs), actions, weights, 0.3)
    for gradient, output in zip(ours, outputs, strict=True):
        torch.testing.assert_close(gradient, output.grad)


def test_samples_follow_the_distribution():
    generator = torch.Generator().manual_seed(0)
    gaussian, categorical = head_and_outputs("gaussian")[0], head_and_outputs("categorical")[0]
    outputs = [np.array([row], dtype=np.float32) for row in ([0.5, -1.0, 0.0], [0.3, 1.0, -9.0])]
    actions, (mean, scale) = gaussian.act(outputs, gaussian.noise((20_000,), generator))
    np.testing.assert_allclose(actions.mean(0), mean[0], atol=0.03)
    np.testing.assert_allclose(actions.std(0), scale[0], rtol=0.02)
    logits = np.array([[0.0, 1.0, -1.0]], dtype=np.float32)
    choices, (log_probs,) = categorical.act([logits], categorical.noise((20_000,), generator))
    for choice in range(3):
        assert (choices == choice).mean() == pytest.approx(np.exp(log_probs[0, choice]), abs=0.02)
    far = [np.full((1, 3), 200.0, dtype=np.float32) for _ in range(2)]
    np.testing.assert_allclose(gaussian.act(far, None)[1][1], 200.0, atol=2)


def test_popart_keeps_the_values_and_normalises_the_targets():
    value, popart = Value(3, [8], "tanh", torch.Generator().manual_seed(0)), PopArt(0.1)
    states, returns = torch.randn(20, 3), 100 + 30 * torch.randn(500)
    for _ in range(3):
        before = popart.denormalise(value(states))
        popart.update(returns, value.last)
        torch.testing.assert_close(popart.denormalise(value(states)), before, rtol=1e-3, atol=1e-3)
    assert popart.normalise(returns).mean().abs() < 1e-3
    assert popart.normalise(returns).std().item() == pytest.approx(1.0, rel=1e-2)


def test_observation_statistics_match_all_samples():
    samples = np.random.default_rng(0).normal(5, [1, 100], size=(300, 2))
    normaliser = ObservationNormaliser(2, clip=10.0)
    for part in np.split(samples, [10, 150]):
        normaliser.update(torch.from_numpy(part))
    np.testing.assert_allclose(normaliser.mean, samples.mean(0), rtol=1e-10)
    np.testing.assert_allclose(normaliser.variance, samples.var(0), rtol=1e-10)
    assert normaliser(torch.tensor([[1e9, 5.0]]))[0, 0] == 10.0


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

"""The action distributions against torch.distributions and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from firerl.agents.actor_critic.distributions import Categorical, Gaussian, Head


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

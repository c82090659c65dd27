"""V-MPO's losses against independent float64 numbers, torch.distributions and gradcheck."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from firerl.agents.vmpo import losses


def tensor(values: np.ndarray, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_top_half_is_the_half_with_the_largest_advantages(values: list[float]):
    chosen = losses.top_half(tensor(np.array(values)))
    size = max(1, int(0.5 * len(values)))
    assert len(chosen) == size == len(set(chosen.tolist()))
    assert sorted(np.array(values)[chosen.numpy()]) == sorted(values)[-size:]  # ties do not matter


@pytest.mark.parametrize("eta", [1e-8, 0.3, 50.0])
def test_policy_weights_and_temperature_loss(eta: float):
    a = rng(1).normal(size=9)
    psi = losses.policy_weights(tensor(a), torch.tensor(eta, dtype=torch.float64))
    np.testing.assert_allclose(psi.numpy(), np.exp(a / eta - logsumexp(a / eta)), rtol=1e-10, atol=1e-300)
    assert psi.sum().item() == pytest.approx(1.0)
    loss = losses.temperature_loss(torch.tensor(eta, dtype=torch.float64), 0.1, tensor(a))
    assert loss.item() == pytest.approx(eta * 0.1 + eta * (logsumexp(a / eta) - np.log(9)), rel=1e-12)


def test_no_overflow_with_huge_advantages():
    a = torch.tensor([1e30, 0.0, -1e30])
    psi = losses.policy_weights(a, torch.tensor(1e-8))
    assert psi.tolist() == [1.0, 0.0, 0.0]
    assert torch.isfinite(losses.temperature_loss(torch.tensor(1.0), 0.1, torch.tensor([1e5, 0.0])))


def test_temperature_settles_where_the_weights_have_the_bounds_divergence():
    """At the minimum of L_eta the KL of psi from the uniform distribution over D~ is eps_eta."""
    a, eps = tensor(rng(2).normal(size=200)), 0.1
    raw = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([raw], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = losses.temperature_loss(raw.exp(), eps, a)
        loss.backward()
        return loss

    optimiser.step(closure)
    psi = losses.policy_weights(a, raw.exp())
    assert (psi * (psi * len(a)).log()).sum().item() == pytest.approx(eps, rel=1e-4)


def test_policy_loss_never_moves_eta_or_the_advantages():
    a, logp = tensor(rng(3).normal(size=6), grad=True), tensor(rng(4).normal(size=6), grad=True)
    eta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    psi = losses.policy_weights(a, eta)
    loss = losses.policy_loss(logp, psi)
    assert loss.item() == pytest.approx(-(psi.numpy() * logp.detach().numpy()).sum())
    loss.backward()
    assert eta.grad is None
    assert a.grad is None
    np.testing.assert_allclose(logp.grad.numpy(), -psi.numpy())


def test_temperature_loss_moves_eta_only():
    a = tensor(rng(3).normal(size=6), grad=True)
    eta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    losses.temperature_loss(eta, 0.1, a).backward()
    assert a.grad is None
    assert torch.autograd.gradcheck(lambda e: losses.temperature_loss(e, 0.1, a.detach()), (eta,))


def test_alpha_loss_moves_alpha_by_the_constraint_and_the_policy_by_alpha():
    kl = tensor(rng(5).random(8), grad=True)
    alpha = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    loss = losses.alpha_loss(alpha, 0.2, kl)
    assert loss.item() == pytest.approx(3.0 * 0.2)
    loss.backward()
    assert alpha.grad.item() == pytest.approx(0.2 - kl.detach().mean().item())  # KL above its bound: alpha rises
    np.testing.assert_allclose(kl.grad.numpy(), 3.0 / 8)


def test_gaussian_kls_match_torch_distributions():
    g = rng(6)
    old_mean, mean = map(tensor, g.normal(size=(2, 5, 3)))
    old_scale, scale = map(tensor, g.random((2, 5, 3)) + 0.1)

    def normal(m: torch.Tensor, s: torch.Tensor) -> Independent:
        return Independent(Normal(m, s), 1)

    old = normal(old_mean, old_scale)
    np.testing.assert_allclose(
        losses.kl_mean(old_mean, old_scale, mean), kl_divergence(old, normal(mean, old_scale)), rtol=1e-10
    )
    np.testing.assert_allclose(
        losses.kl_covariance(old_scale, scale), kl_divergence(old, normal(old_mean, scale)), rtol=1e-10
    )
    assert losses.kl_mean(mean, scale, mean).abs().max() == 0
    assert losses.kl_covariance(scale, scale).abs().max() == 0


def test_categorical_kl_matches_torch_distributions():
    old, new = (torch.log_softmax(tensor(x), -1) for x in rng(7).normal(size=(2, 5, 4)))
    expected = kl_divergence(Categorical(logits=old), Categorical(logits=new))
    np.testing.assert_allclose(losses.kl_categorical(old, new), expected, rtol=1e-10)


def test_value_loss_has_no_gradient_to_its_target():
    values, targets = tensor(rng(8).normal(size=4), grad=True), tensor(rng(9).normal(size=4), grad=True)
    loss = losses.value_loss(values, targets)
    assert loss.item() == pytest.approx(0.5 * np.mean((targets - values).detach().numpy() ** 2))
    loss.backward()
    assert targets.grad is None
    np.testing.assert_allclose(values.grad, (values - targets).detach() / 4)


def test_gradients_of_what_the_policy_sees():
    g = rng(10)
    old_mean, mean = (tensor(x) for x in g.normal(size=(2, 4, 2)))
    old_scale, scale = (tensor(x) for x in g.random((2, 4, 2)) + 0.2)
    mean.requires_grad_()
    scale.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: losses.kl_mean(old_mean, old_scale, m), (mean,))
    assert torch.autograd.gradcheck(lambda s: losses.kl_covariance(old_scale, s), (scale,))
    logits = tensor(g.normal(size=(4, 3)), grad=True)
    old = torch.log_softmax(tensor(g.normal(size=(4, 3))), -1)
    assert torch.autograd.gradcheck(lambda x: losses.kl_categorical(old, torch.log_softmax(x, -1)), (logits,))

"""V-MPO's temperature: weights of samples, their loss and its derivative, against independent float64 numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import logsumexp

from firerl.agents.vmpo.learner import temperature

LISTS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


def tensor(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(max_examples=50, deadline=None)
@given(LISTS, st.floats(1e-6, 1e3))
def test_weights_go_to_the_half_with_the_largest_advantages(values: list[float], eta: float) -> None:
    psi = temperature(tensor(values), tensor(eta), 0.1)[0].numpy()
    assert psi.sum() == pytest.approx(1.0)
    threshold = sorted(values)[-max(1, len(values) // 2)]
    assert not psi[np.array(values) < threshold].any()
    assert (psi >= 0).all()


@pytest.mark.parametrize("eta", [1e-8, 0.3, 50.0])
def test_weights_loss_and_derivative_are_those_of_the_paper(eta: float) -> None:
    a = np.random.default_rng(1).normal(size=18)
    best = np.sort(a)[9:]
    psi, loss, derivative = temperature(tensor(a), tensor(eta), 0.1)
    expected = np.exp(best / eta - logsumexp(best / eta))
    np.testing.assert_allclose(np.sort(psi.numpy())[9:], np.sort(expected), rtol=1e-10, atol=1e-300)

    def loss_of(eta: float) -> float:
        return eta * 0.1 + eta * (logsumexp(best / eta) - np.log(9))

    assert loss.item() == pytest.approx(loss_of(eta), rel=1e-12)
    step = 1e-4 * eta
    slope = (loss_of(eta + step) - loss_of(eta - step)) / (2 * step)
    assert derivative.item() == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_the_loss_is_smallest_where_the_weights_diverge_from_equal_ones_by_the_bound() -> None:
    a, bound = tensor(np.random.default_rng(2).normal(size=200)), 0.1
    eta = brentq(lambda eta: temperature(a, tensor(eta), bound)[2].item(), 1e-2, 1e2)
    psi = temperature(a, tensor(eta), bound)[0]
    psi = psi[psi > 0]
    assert (psi * (psi * len(psi)).log()).sum().item() == pytest.approx(bound, rel=1e-6)


def test_huge_advantages_overflow_nothing() -> None:
    psi, loss, derivative = temperature(torch.tensor([1e30, 0.0, -1e30, 5.0]), torch.tensor(1e-8), 0.1)
    assert psi.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert not torch.isnan(torch.stack([loss, derivative])).any()

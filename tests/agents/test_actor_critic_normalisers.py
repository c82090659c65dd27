"""Running statistics of observations and of value targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from firerl.agents.actor_critic.networks import Value
from firerl.agents.actor_critic.normalisers import ObservationNormaliser, PopArt


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

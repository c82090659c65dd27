"""Every activation in all its forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from firerl.agents.actor_critic.activations import ACTIVATIONS, activation_of


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_forms_of_an_activation_say_the_same(name: str):
    activation = ACTIVATIONS[name]
    module = activation.module()
    assert activation_of(module) is activation
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

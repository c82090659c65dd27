"""What comes after each hidden layer: as a module, in place for tensors and arrays, and its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from firerl.agents.actor_critic.distributions import Array


class Activation(NamedTuple):
    """One function in all the forms that networks need; a test compares them."""

    module: type[nn.Module]
    array_: Callable[[Array], Array]  # in place; numpy's are several times as fast as torch's on a CPU
    tensor_: Callable[[Tensor], Tensor]  # in place
    backward: Callable[[Tensor, Tensor], Tensor]  # gradients of its outputs, its outputs -> those of its inputs

    def __call__(self, values: Tensor) -> Tensor:
        """In place, on any device."""
        if values.is_cpu:
            self.array_(values.numpy())
            return values
        return self.tensor_(values)


def _tanh_(values: Array) -> Array:
    return np.tanh(values, out=values)


def _elu_(values: Array) -> Array:
    """values above 0, exp(values) - 1 below."""
    below = np.minimum(values, np.float32(0))
    np.expm1(below, out=below)
    np.maximum(values, np.float32(0), out=values)
    values += below
    return values


def _elu_backward(gradients: Tensor, outputs: Tensor) -> Tensor:
    return torch.ops.aten.elu_backward(gradients, 1.0, 1.0, 1.0, True, outputs)


ACTIVATIONS = {
    "tanh": Activation(nn.Tanh, _tanh_, torch.tanh_, torch.ops.aten.tanh_backward),
    "elu": Activation(nn.ELU, _elu_, nn.functional.elu_, _elu_backward),
}


def activation_of(module: nn.Module) -> Activation:
    """The one whose module this is."""
    return next(activation for activation in ACTIVATIONS.values() if isinstance(module, activation.module))

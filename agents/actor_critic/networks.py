"""Policy and value networks, and their fast forms.

The modules say what the networks are. For speed, learning goes through ``Layers`` and acting through ``Actor``, on the
same weights: at these sizes modules, autograd and torch's calls cost as much as the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from firerl.agents.actor_critic.activations import ACTIVATIONS, activation_of
from firerl.agents.actor_critic.distributions import Array, Categorical, Gaussian, Head, Parameters, linear
from firerl.agents.actor_critic.normalisers import ObservationNormaliser, PopArt
from firerl.envs import EnvSpec


def trunk(inputs: int, hidden: Sequence[int], activation: str, generator: torch.Generator) -> nn.Sequential:
    """Linear layers, each with its activation."""
    layers: list[nn.Module] = []
    for outputs in hidden:
        layers += [linear(inputs, outputs, math.sqrt(2.0), generator), ACTIVATIONS[activation].module()]
        inputs = outputs
    return nn.Sequential(*layers)


def linears(trunk: nn.Sequential) -> list[nn.Linear]:
    """The layers of a ``trunk`` that hold weights."""
    return [layer for layer in trunk if isinstance(layer, nn.Linear)]


class Layer(NamedTuple):
    """One linear layer's weights and their gradients, views of flat tensors."""

    weight: Tensor  # [O, I]
    bias: Tensor  # [O]
    d_weight: Tensor
    d_bias: Tensor
    bias_alone: bool  # learns: its weight is zero and stays so

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.addmm(self.bias, inputs, self.weight.t())

    def backward(self, gradients: Tensor, inputs: Tensor) -> None:
        if not self.bias_alone:
            torch.mm(gradients.t(), inputs, out=self.d_weight)
        torch.sum(gradients, 0, out=self.d_bias)


class Layers:
    """The hidden layers and linear outputs of a network, forward and backward without autograd.

    The network's parameters become views of ``flat``, their gradients lie in ``flat.grad``: one tensor each to clip
    and to give to Adam.
    """

    def __init__(self, trunk: nn.Sequential, outputs: Sequence[nn.Linear], bias_alone: Sequence[bool]):
        """``bias_alone`` says it of each output."""
        hidden, self.activation = linears(trunk), activation_of(trunk[-1])
        parameters = [p for layer in (*hidden, *outputs) for p in (layer.weight, layer.bias)]
        sizes = [p.numel() for p in parameters]
        self.flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]), requires_grad=False)
        self.flat.grad = torch.zeros_like(self.flat)
        weights = [v.view_as(p) for v, p in zip(self.flat.data.split(sizes), parameters, strict=True)]
        gradients = [v.view_as(p) for v, p in zip(self.flat.grad.split(sizes), parameters, strict=True)]
        for parameter, view in zip(parameters, weights, strict=True):
            parameter.data = view
        alone = [*[False] * len(hidden), *bias_alone]
        columns = weights[::2], weights[1::2], gradients[::2], gradients[1::2], alone
        layers = [Layer(*row) for row in zip(*columns, strict=True)]
        self.hidden, self.outputs = layers[: len(hidden)], layers[len(hidden) :]

    def forward(self, observations: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """[B, I] -> the outputs [B, O], and what ``backward`` needs: each layer's inputs."""
        inputs = [observations]
        for layer in self.hidden:
            inputs.append(self.activation(layer.forward(inputs[-1])))
        return [layer.forward(inputs[-1]) for layer in self.outputs], inputs

    def backward(self, gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """Gradients of the outputs [B, O] -> those of the weights, in ``flat.grad``."""
        below = torch.mm(gradients[0], self.outputs[0].weight)
        for layer, gradient in zip(self.outputs[1:], gradients[1:], strict=True):
            below.addmm_(gradient, layer.weight)
        for layer, gradient in zip(self.outputs, gradients, strict=True):
            layer.backward(gradient, inputs[-1])
        for number in reversed(range(len(self.hidden))):
            layer, gradient = self.hidden[number], self.activation.backward(below, inputs[number + 1])
            layer.backward(gradient, inputs[number])
            if number:
                below = torch.mm(gradient, layer.weight)


class Policy(nn.Module):
    """Normalised observations [B, O] -> the parameters of the action distribution."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, head: Head, generator: torch.Generator):
        super().__init__()
        self.trunk = trunk(inputs, hidden, activation, generator)
        self.head = head

    def forward(self, observations: Tensor) -> Parameters:
        return self.head(self.trunk(observations))


class Value(nn.Module):
    """Normalised observations [B, O] -> normalised values [B]."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, generator: torch.Generator):
        super().__init__()
        self.trunk = trunk(inputs, hidden, activation, generator)
        self.last = linear(hidden[-1], 1, 1.0, generator)

    def forward(self, observations: Tensor) -> Tensor:
        return self.last(self.trunk(observations)).squeeze(-1)


class Networks(nn.Module):
    """Policy, value and the statistics of observations and value targets: what is copied, but for the optimiser.

    With ``target``, a second policy acts, and is copied too.
    """

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int, target: bool = False):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.policy = _policy(settings, spec, generator)
        if target:
            self.target = _policy(settings, spec, generator)
            self.target.load_state_dict(self.policy.state_dict())
            self.target.requires_grad_(False)
        self.value = Value(spec.observation_size, settings["hidden"], settings["activation"], generator)
        self.normaliser = ObservationNormaliser(spec.observation_size, settings["observation_clip"])
        self.popart = PopArt(settings["value_rate"])

    @property
    def acting(self) -> Policy:
        """The policy that acts."""
        return getattr(self, "target", self.policy)


def _policy(settings: Mapping[str, Any], spec: EnvSpec, generator: torch.Generator) -> Policy:
    width = settings["hidden"][-1]
    head: Head
    if spec.discrete:
        head = Categorical(width, spec.action_size, generator)
    else:
        scales = settings["init_scale"], settings["min_scale"]
        head = Gaussian(width, spec.action_size, *scales, generator, settings["one_scale"])
    return Policy(spec.observation_size, settings["hidden"], settings["activation"], head, generator)


class Actor:
    """A policy behind its normaliser, for few observations at a time: there a call of torch costs twice one of numpy.

    Build a new one after the normaliser has changed; the policy's weights are followed.
    """

    def __init__(self, policy: Policy, normaliser: ObservationNormaliser):
        self.head, self.clip = policy.head, normaliser.clip
        self.activation_ = activation_of(policy.trunk[-1]).array_
        self.mean, self.factor = normaliser.mean.cpu().numpy().copy(), normaliser.factor().cpu().numpy()
        self.hidden, self.outputs = (
            [(layer.weight.detach().t(), layer.bias.detach().cpu().numpy()) for layer in layers]
            for layers in (linears(policy.trunk), policy.head.layers())
        )

    def __call__(self, raw: Array, noise: Array | None) -> tuple[Array, Array, tuple[Array, ...]]:
        """Raw observations [N, O] -> normalised ones, actions, the distribution's parameters; see ``head.act``."""
        normal = raw - self.mean
        normal *= self.factor
        np.minimum(normal, self.clip, out=normal)
        np.maximum(normal, -self.clip, out=normal)
        observations = features = normal.astype(np.float32)
        for weight, bias in self.hidden:
            features = _product(features, weight)
            features += bias
            self.activation_(features)
        outputs = [_product(features, weight) + bias for weight, bias in self.outputs]
        return observations, *self.head.act(outputs, noise)


def _product(left: Array, right: Tensor) -> Array:
    """[N, I] x [I, O]. By numpy where it is small: from 2**18 on numpy takes as many threads as there are cores."""
    if right.is_cpu and left.size * right.shape[1] < 2**17:
        return left @ right.numpy()
    return torch.mm(torch.from_numpy(left).to(right.device), right).cpu().numpy()

"""What is learned: activations, action distributions, running statistics, policy and value, and their fast form.

The modules say what the networks are. For speed, learning goes through ``Layers`` and acting through
``rollout.Actor``, on the same weights: at these sizes modules, autograd and torch's calls cost as much as the
arithmetic. A policy's output is a tuple of tensors, its distribution's parameters: (mean, scale) or
(log-probabilities,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from firerl.envs import EnvSpec

Parameters = tuple[Tensor, ...]
Array = np.ndarray


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


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """A layer with orthogonal weights times ``gain`` and zero bias, drawn from ``generator`` alone."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


class Trunk(nn.Sequential):
    """Linear layers, each with its activation."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, generator: torch.Generator):
        linears = [linear(*widths, math.sqrt(2.0), generator) for widths in pairwise([inputs, *hidden])]
        super().__init__(*(part for layer in linears for part in (layer, ACTIVATIONS[activation].module())))
        self.linears, self.activation = linears, ACTIVATIONS[activation]


class Gaussian(nn.Module):
    """Head of a diagonal Gaussian over [-1, 1] actions; the scale is a softplus with a floor.

    With ``one_scale`` it is the same in every state: its layer learns the bias alone.
    """

    width_name = "scale"

    def __init__(
        self,
        inputs: int,
        size: int,
        init_scale: float,
        min_scale: float,
        generator: torch.Generator,
        one_scale: bool = False,
    ):
        super().__init__()
        self.mean = linear(inputs, size, 0.01, generator)
        self.raw_scale = linear(inputs, size, 0.01, generator)
        if one_scale:
            nn.init.zeros_(self.raw_scale.weight)
        self.bias_alone = (False, one_scale)
        self.min_scale = min_scale
        self.offset = math.log(math.expm1(init_scale - min_scale))  # softplus(offset) + floor = init_scale

    def layers(self) -> list[nn.Linear]:
        return [self.mean, self.raw_scale]

    def forward(self, features: Tensor) -> Parameters:
        return self.parameters_of([layer(features) for layer in self.layers()])

    def parameters_of(self, outputs: Sequence[Tensor]) -> Parameters:
        """Outputs of ``layers`` -> (mean, scale)."""
        return outputs[0], nn.functional.softplus(outputs[1] + self.offset) + self.min_scale

    def noise(self, shape: Sequence[int], generator: torch.Generator) -> Array:
        """What ``act`` needs to draw so many samples, [*shape, A]."""
        size = (*shape, self.mean.out_features)
        return torch.randn(size, generator=generator, device=generator.device).cpu().numpy()

    def act(self, outputs: Sequence[Array], noise: Array | None) -> tuple[Array, tuple[Array, ...]]:
        """Outputs of ``layers`` -> actions and (mean, scale); without noise the mean."""
        mean, raw = outputs
        raw = raw + np.float32(self.offset)
        scale = np.log1p(np.exp(-np.abs(raw)))  # softplus that never overflows
        scale += np.maximum(raw, np.float32(0))
        scale += np.float32(self.min_scale)
        return mean if noise is None else mean + scale * noise, (mean, scale)

    def backward(
        self, outputs: Sequence[Tensor], parameters: Parameters, actions: Tensor, weights: Tensor, cost: float
    ) -> list[Tensor]:
        """Gradients for the outputs of ``layers`` of - sum of weights x log pi(a|s) - cost x mean entropy.

        ``weights`` [B] carry no gradient: of any loss in log pi, minus its derivative. A test compares with autograd.
        """
        mean, scale = parameters
        z, weights = (actions - mean) / scale, weights.unsqueeze(-1)
        weighted = weights * z
        d_raw = (weights - weighted * z - cost / len(actions)) / scale * torch.sigmoid(outputs[1] + self.offset)
        return [weighted.div_(scale).neg_(), d_raw]

    @staticmethod
    def log_prob(parameters: Parameters, actions: Tensor) -> Tensor:
        """log pi(a|s), [B]."""
        mean, scale = parameters
        z = (actions - mean) / scale
        return -(0.5 * z.square() + scale.log()).sum(-1) - 0.5 * math.log(2 * math.pi) * actions.shape[-1]

    @staticmethod
    def entropy(parameters: Parameters) -> Tensor:
        """In nats, [B]."""
        scale = parameters[1]
        return scale.log().sum(-1) + 0.5 * (1.0 + math.log(2 * math.pi)) * scale.shape[-1]

    @staticmethod
    def width(parameters: Parameters) -> Tensor:
        """A number to watch exploration by, [B]: ``width_name``."""
        return parameters[1].mean(-1)


class Categorical(nn.Module):
    """Head of a distribution over 0 .. size-1."""

    width_name = "top_probability"

    def __init__(self, inputs: int, size: int, generator: torch.Generator):
        super().__init__()
        self.logits = linear(inputs, size, 0.01, generator)
        self.bias_alone = (False,)

    def layers(self) -> list[nn.Linear]:
        return [self.logits]

    def forward(self, features: Tensor) -> Parameters:
        return self.parameters_of([self.logits(features)])

    @staticmethod
    def parameters_of(outputs: Sequence[Tensor]) -> Parameters:
        """Outputs of ``layers`` -> (log-probabilities,)."""
        return (torch.log_softmax(outputs[0], dim=-1),)

    def noise(self, shape: Sequence[int], generator: torch.Generator) -> Array:
        """What ``act`` needs to draw so many samples, [*shape, A]: Gumbel's, whose largest sum is a sample."""
        size = (*shape, self.logits.out_features)
        return -torch.empty(size, device=generator.device).exponential_(generator=generator).log_().cpu().numpy()

    @staticmethod
    def act(outputs: Sequence[Array], noise: Array | None) -> tuple[Array, tuple[Array, ...]]:
        """Outputs of ``layers`` -> actions and (log-probabilities,); without noise the most probable."""
        log_probs = outputs[0] - outputs[0].max(-1, keepdims=True)
        log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
        return np.argmax(log_probs if noise is None else log_probs + noise, axis=-1), (log_probs,)

    @staticmethod
    def backward(
        outputs: Sequence[Tensor], parameters: Parameters, actions: Tensor, weights: Tensor, cost: float
    ) -> list[Tensor]:
        """As a Gaussian's."""
        probs = parameters[0].exp()
        d_log_probs = (cost / len(actions)) * probs * (parameters[0] + 1.0)
        d_log_probs.scatter_add_(-1, actions.unsqueeze(-1), -weights.unsqueeze(-1))
        return [d_log_probs - probs * d_log_probs.sum(-1, keepdim=True)]

    @staticmethod
    def log_prob(parameters: Parameters, actions: Tensor) -> Tensor:
        """log pi(a|s), [B]."""
        return parameters[0].gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def entropy(parameters: Parameters) -> Tensor:
        """In nats, [B]."""
        return -(parameters[0].exp() * parameters[0]).sum(-1)

    @staticmethod
    def width(parameters: Parameters) -> Tensor:
        """A number to watch exploration by, [B]: ``width_name``."""
        return parameters[0].exp().amax(-1)


Head = Gaussian | Categorical


class ObservationNormaliser(nn.Module):
    """Running mean and variance of every number of an observation, over all samples seen (Chan et al.'s update)."""

    def __init__(self, size: int, clip: float):
        super().__init__()
        self.clip = clip  # largest normalised magnitude
        self.count = nn.Buffer(torch.tensor(0.0, dtype=torch.float64))
        self.mean = nn.Buffer(torch.zeros(size, dtype=torch.float64))
        self.variance = nn.Buffer(torch.ones(size, dtype=torch.float64))

    def factor(self) -> Tensor:
        """1 / standard deviation."""
        return (self.variance + 1e-8).rsqrt()

    def forward(self, observations: Tensor) -> Tensor:
        """Raw [..., O], any precision -> float32 [..., O] within +-clip."""
        return ((observations - self.mean) * self.factor()).clamp_(-self.clip, self.clip).float()

    @torch.no_grad()
    def update(self, observations: Tensor) -> None:
        """Add raw samples [B, O]."""
        batch = observations.double()
        added, mean = len(batch), batch.mean(0)
        variance = (batch - mean).square_().mean(0)  # ten times as fast as var(0)
        total = self.count + added
        shift = mean - self.mean
        old_share = self.count / total
        self.variance.mul_(old_share).add_(variance * (added / total)).add_(shift.square() * old_share * added / total)
        self.mean.add_(shift * (added / total))
        self.count.copy_(total)


class PopArt(nn.Module):
    """Running mean and scale of value targets; the value's last layer is rescaled so that its output stays the same."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate  # share of the newest unroll, once 1 / rate unrolls are seen; before that a plain mean
        self.mean = nn.Buffer(torch.tensor(0.0, dtype=torch.float64))
        self.square = nn.Buffer(torch.tensor(1.0, dtype=torch.float64))
        self.updates = nn.Buffer(torch.tensor(0.0, dtype=torch.float64))

    @property
    def scale(self) -> Tensor:
        return (self.square - self.mean.square()).clamp_min(1e-6).sqrt()

    def denormalise(self, values: Tensor) -> Tensor:
        return values * self.scale.float() + self.mean.float()

    def normalise(self, returns: Tensor) -> Tensor:
        return (returns - self.mean.float()) / self.scale.float()

    @torch.no_grad()
    def update(self, returns: Tensor, last: nn.Linear) -> None:
        """Add the returns of one unroll, of any shape, and rescale ``last``."""
        old_mean, old_scale = self.mean.clone(), self.scale
        self.updates.add_(1.0)
        rate = torch.clamp(1.0 / self.updates, min=self.rate)
        batch = returns.double()
        self.mean.lerp_(batch.mean(), rate)
        self.square.lerp_(batch.square().mean(), rate)
        scale = self.scale
        last.weight.mul_((old_scale / scale).float())
        last.bias.copy_((old_scale * last.bias + old_mean - self.mean) / scale)


class Policy(nn.Module):
    """Normalised observations [B, O] -> the parameters of the action distribution."""

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, generator: torch.Generator):
        super().__init__()
        width = settings["hidden"][-1]
        head: Head
        if spec.discrete:
            head = Categorical(width, spec.action_size, generator)
        else:
            scales = settings["init_scale"], settings["min_scale"]
            head = Gaussian(width, spec.action_size, *scales, generator, settings["one_scale"])
        self.trunk = Trunk(spec.observation_size, settings["hidden"], settings["activation"], generator)
        self.head = head

    def forward(self, observations: Tensor) -> Parameters:
        return self.head(self.trunk(observations))


class Value(nn.Module):
    """Normalised observations [B, O] -> normalised values [B]."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, generator: torch.Generator):
        super().__init__()
        self.trunk = Trunk(inputs, hidden, activation, generator)
        self.last = linear(hidden[-1], 1, 1.0, generator)

    def forward(self, observations: Tensor) -> Tensor:
        return self.last(self.trunk(observations)).squeeze(-1)


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

    def __init__(self, trunk: Trunk, outputs: Sequence[nn.Linear], bias_alone: Sequence[bool]):
        """``bias_alone`` says it of each output."""
        hidden, self.activation = trunk.linears, trunk.activation
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

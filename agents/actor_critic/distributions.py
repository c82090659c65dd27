"""The two kinds of action distribution: what a policy's last layers mean.

A policy's output is a tuple of tensors, its distribution's parameters: (mean, scale) or (log-probabilities,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

Parameters = tuple[Tensor, ...]
Array = np.ndarray


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """A layer with orthogonal weights times ``gain`` and zero bias, drawn from ``generator`` alone."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


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

"""Policy and value networks, their normalisers, and the two kinds of action distribution.

A policy's output is a tuple of tensors, its distribution's parameters: (mean, scale) or (log-probabilities,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from firerl.agents.vmpo import losses

Parameters = tuple[Tensor, ...]


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """A layer with orthogonal weights times ``gain`` and zero bias, drawn from ``generator`` alone."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def trunk(inputs: int, hidden: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Tanh layers."""
    layers: list[nn.Module] = []
    for outputs in hidden:
        layers += [linear(inputs, outputs, math.sqrt(2.0), generator), nn.Tanh()]
        inputs = outputs
    return nn.Sequential(*layers)


class Gaussian(nn.Module):
    """Head of a diagonal Gaussian over [-1, 1] actions; the scale is a softplus with a floor."""

    kl_names = ("mu", "sigma")

    def __init__(self, inputs: int, size: int, init_scale: float, min_scale: float, generator: torch.Generator):
        super().__init__()
        self.mean = linear(inputs, size, 0.01, generator)
        self.raw_scale = linear(inputs, size, 0.01, generator)
        self.min_scale = min_scale
        self.offset = math.log(math.expm1(init_scale - min_scale))  # softplus(offset) + floor = init_scale

    def forward(self, features: Tensor) -> Parameters:
        scale = nn.functional.softplus(self.raw_scale(features) + self.offset) + self.min_scale
        return self.mean(features), scale

    @staticmethod
    def sample(parameters: Parameters, generator: torch.Generator) -> Tensor:
        mean, scale = parameters
        return mean + scale * torch.randn(mean.shape, generator=generator, device=mean.device)

    @staticmethod
    def mode(parameters: Parameters) -> Tensor:
        return parameters[0]

    @staticmethod
    def log_prob(parameters: Parameters, actions: Tensor) -> Tensor:
        mean, scale = parameters
        return losses.gaussian_log_prob(mean, scale, actions)

    @staticmethod
    def kl(old: Parameters, new: Parameters) -> Parameters:
        """(C_mu, C_sigma), [B] each."""
        (old_mean, old_scale), (mean, scale) = old, new
        return losses.kl_mean(old_mean, old_scale, mean), losses.kl_covariance(old_scale, scale)

    @staticmethod
    def entropy(parameters: Parameters) -> Tensor:
        scale = parameters[1]
        return scale.log().sum(-1).mean() + 0.5 * (1.0 + math.log(2 * math.pi)) * scale.shape[-1]


class Categorical(nn.Module):
    """Head of a distribution over 0 .. size-1."""

    kl_names = ("mu",)  # the one KL takes the place of the mean's: eps_alpha_mu bounds it

    def __init__(self, inputs: int, size: int, generator: torch.Generator):
        super().__init__()
        self.logits = linear(inputs, size, 0.01, generator)

    def forward(self, features: Tensor) -> Parameters:
        return (torch.log_softmax(self.logits(features), dim=-1),)

    @staticmethod
    def sample(parameters: Parameters, generator: torch.Generator) -> Tensor:
        return torch.multinomial(parameters[0].exp(), 1, generator=generator).squeeze(-1)

    @staticmethod
    def mode(parameters: Parameters) -> Tensor:
        return parameters[0].argmax(-1)

    @staticmethod
    def log_prob(parameters: Parameters, actions: Tensor) -> Tensor:
        return parameters[0].gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def kl(old: Parameters, new: Parameters) -> Parameters:
        return (losses.kl_categorical(old[0], new[0]),)

    @staticmethod
    def entropy(parameters: Parameters) -> Tensor:
        return -(parameters[0].exp() * parameters[0]).sum(-1).mean()


class Policy(nn.Module):
    """Normalised observations [B, O] -> the parameters of the action distribution."""

    def __init__(self, inputs: int, hidden: Sequence[int], head: Gaussian | Categorical, generator: torch.Generator):
        super().__init__()
        self.trunk = trunk(inputs, hidden, generator)
        self.head = head

    def forward(self, observations: Tensor) -> Parameters:
        return self.head(self.trunk(observations))


class Value(nn.Module):
    """Normalised observations [B, O] -> normalised values [B]."""

    def __init__(self, inputs: int, hidden: Sequence[int], generator: torch.Generator):
        super().__init__()
        self.trunk = trunk(inputs, hidden, generator)
        self.last = linear(hidden[-1], 1, 1.0, generator)

    def forward(self, observations: Tensor) -> Tensor:
        return self.last(self.trunk(observations)).squeeze(-1)


class ObservationNormaliser(nn.Module):
    """Running mean and variance of every number of an observation, over all samples seen (Chan et al.'s update)."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, size: int, clip: float):
        super().__init__()
        self.clip = clip  # largest normalised magnitude
        self.register_buffer("count", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(size, dtype=torch.float64))

    def forward(self, observations: Tensor) -> Tensor:
        """Raw [..., O], any precision -> float32 [..., O] within +-clip."""
        normal = (observations - self.mean) / (self.variance + 1e-8).sqrt()
        return normal.clamp_(-self.clip, self.clip).float()

    @torch.no_grad()
    def update(self, observations: Tensor) -> None:
        """Add raw samples [B, O]."""
        batch = observations.double()
        added, mean, variance = len(batch), batch.mean(0), batch.var(0, correction=0)
        total = self.count + added
        shift = mean - self.mean
        old_share = self.count / total
        self.variance.mul_(old_share).add_(variance * (added / total)).add_(shift.square() * old_share * added / total)
        self.mean.add_(shift * (added / total))
        self.count.copy_(total)


class PopArt(nn.Module):
    """Running mean and scale of value targets; the value's last layer is rescaled so that its output stays the same."""

    mean: Tensor
    square: Tensor
    updates: Tensor

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate  # share of the newest unroll, once 1 / rate unrolls are seen; before that a plain mean
        self.register_buffer("mean", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("square", torch.tensor(1.0, dtype=torch.float64))
        self.register_buffer("updates", torch.tensor(0.0, dtype=torch.float64))

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

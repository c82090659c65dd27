"""Running statistics: of observations, and of value targets (PopArt)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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

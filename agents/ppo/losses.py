"""PPO's losses as pure functions (Schulman et al. 2017, arXiv 1707.06347). B samples of a minibatch."""

from __future__ import annotations

import torch
from torch import Tensor


def standardise(advantages: Tensor) -> Tensor:
    """To mean 0 and standard deviation 1. [B] -> [B]."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def clipped_loss(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """- min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A), ratio = pi / pi_old (equation 7). All [B]."""
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages)


def clipped_weights(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """Minus the derivative of the mean of ``clipped_loss`` for log pi(a|s). All [B].

    A ratio beyond its bound, on the side that the advantage points to, pushes no further.
    """
    clipped = torch.where(advantages > 0, ratio > 1 + clip_range, ratio < 1 - clip_range)
    return (ratio * advantages / len(ratio)).masked_fill_(clipped, 0.0)


def value_loss(values: Tensor, targets: Tensor) -> Tensor:
    """1/2 (G - V)^2, both in normalised units, V not clipped (as in Stable-Baselines3). All [B]."""
    return 0.5 * (targets - values).square()

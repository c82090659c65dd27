"""V-MPO's losses as pure functions, in the symbols of Song et al. 2019 (arXiv 1909.12238).

B samples of a batch, K of them in its top half, A numbers in an action.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def top_half(advantages: Tensor) -> Tensor:
    """Indices of the int(B / 2) largest advantages, at least one: the set D~ of section 4.1. [B] -> [K]."""
    return torch.topk(advantages, max(1, len(advantages) // 2), sorted=False).indices


def policy_weights(advantages: Tensor, eta: Tensor) -> Tensor:
    """psi = exp(A / eta) / sum over D~ of exp(A / eta), without gradient (equation 4). [K] -> [K], sums to 1."""
    return torch.softmax(advantages.detach() / eta.detach(), dim=0)


def policy_loss(log_prob: Tensor, psi: Tensor) -> Tensor:
    """L_pi = - sum over D~ of psi log pi(a|s) (equation 3). Both [K]."""
    return -(psi.detach() * log_prob).sum()


def temperature_loss(eta: Tensor, eps_eta: float, advantages: Tensor) -> Tensor:
    """L_eta = eta eps_eta + eta log mean over D~ of exp(A / eta) (equation 4). ``advantages`` [K]."""
    scaled = torch.logsumexp(advantages.detach() / eta, dim=0)
    return eta * (eps_eta + scaled - math.log(len(advantages)))


def alpha_loss(alpha: Tensor, eps_alpha: float, kl: Tensor) -> Tensor:
    """L_alpha = mean of alpha (eps_alpha - sg[KL]) + sg[alpha] KL (equation 5). ``kl`` [B], over all samples."""
    mean_kl = kl.mean()
    return alpha * (eps_alpha - mean_kl.detach()) + alpha.detach() * mean_kl


def kl_mean(old_mean: Tensor, old_scale: Tensor, mean: Tensor) -> Tensor:
    """C_mu: KL(pi_old || pi) of diagonal Gaussians with the old covariance in both (section 4.2). [B, A] -> [B]."""
    return 0.5 * ((mean - old_mean) / old_scale).square().sum(-1)


def kl_covariance(old_scale: Tensor, scale: Tensor) -> Tensor:
    """C_sigma: KL(pi_old || pi) of diagonal Gaussians with the old mean in both (section 4.2). [B, A] -> [B]."""
    ratio = old_scale / scale
    return (0.5 * (ratio.square() - 1.0) - ratio.log()).sum(-1)


def kl_categorical(old_log_probs: Tensor, log_probs: Tensor) -> Tensor:
    """KL(pi_old || pi) of categorical policies. [B, A] -> [B]."""
    return (old_log_probs.exp() * (old_log_probs - log_probs)).sum(-1)


def value_loss(values: Tensor, targets: Tensor) -> Tensor:
    """L_V = 1/2 mean (G - V)^2, both in normalised units. Both [B]."""
    return 0.5 * (targets.detach() - values).square().mean()

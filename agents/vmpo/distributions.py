"""The two kinds of action distribution: what a policy's last layers mean.

A policy's output is a tuple of tensors, its distribution's parameters: (mean, scale) or (log-probabilities,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from firerl.agents.vmpo import losses

Parameters = tuple[Tensor, ...]
Array = np.ndarray


class Weights(NamedTuple):
    """Of the terms of the policy's loss on a minibatch."""

    psi: Tensor  # [B] of log pi(a|s), zero outside D~
    alphas: Tensor  # of the KLs
    entropy: float
    control: float  # of the control variate, 0 or 1


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """A layer with orthogonal weights times ``gain`` and zero bias, drawn from ``generator`` alone."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


class Gaussian(nn.Module):
    """Head of a diagonal Gaussian over [-1, 1] actions; the scale is a softplus with a floor."""

    kl_names = ("mu", "sigma")

    def __init__(self, inputs: int, size: int, init_scale: float, min_scale: float, generator: torch.Generator):
        super().__init__()
        self.mean = linear(inputs, size, 0.01, generator)
        self.raw_scale = linear(inputs, size, 0.01, generator)
        self.min_scale = min_scale
        self.offset = math.log(math.expm1(init_scale - min_scale))  # softplus(offset) + floor = init_scale

    def layers(self) -> list[nn.Linear]:
        return [self.mean, self.raw_scale]

    def forward(self, features: Tensor) -> Parameters:
        scale = nn.functional.softplus(self.raw_scale(features) + self.offset) + self.min_scale
        return self.mean(features), scale

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

    def losses_and_gradients(
        self, outputs: Sequence[Tensor], old: Parameters, actions: Tensor, weights: Weights
    ) -> tuple[Tensor, list[Tensor]]:
        """In one pass over a minibatch: the policy's losses, and their gradients for the outputs of ``layers``.

        Returns (L_pi, entropy, mean scale, KLs) and the gradients of L_pi + sum of alpha KL - entropy's weight x
        entropy + control x mean of (log pi(a|s) + KL(pi_old || pi)). ``losses`` and autograd say the same, a test
        compares. The last term's gradient is zero in expectation in the first pass over an unroll, as the actions are
        pi_old's: it takes noise away. In later passes, when pi has seen these actions, it also holds pi back from
        fitting them, above all from a scale that collapses onto few samples.
        """
        (mean, raw), (old_mean, old_scale), (count, size) = outputs, old, actions.shape
        raw = raw + self.offset
        scale = nn.functional.softplus(raw) + self.min_scale
        log_scale = scale.log()
        z, shift, ratio = (actions - mean) / scale, (mean - old_mean) / old_scale, old_scale / scale
        z_square, ratio_square = z.square(), ratio.square()

        half_log = 0.5 * math.log(2 * math.pi) * size
        psi, alphas, cost, control = weights
        loss_pi = torch.dot(psi, torch.add(log_scale, z_square, alpha=0.5).sum(-1)) + half_log
        entropy = log_scale.sum() / count + (0.5 * size + half_log)
        kl_mu = shift.square().sum() * (0.5 / count)
        kl_sigma = (0.5 * (ratio_square - 1.0) - ratio.log()).sum() / count

        psi, shares = psi.unsqueeze(-1), alphas / count
        d_mean = shares[0] * shift / old_scale - psi * z / scale
        d_scale = psi * (1.0 - z_square) + shares[1] * (1.0 - ratio_square) - cost / count
        if control:
            share = control / count / scale.square()
            noise, moved = actions - old_mean, mean - old_mean
            d_mean += share * noise
            d_scale += share * (noise.square() - 2.0 * noise * moved - old_scale.square())
        d_raw = d_scale / scale * torch.sigmoid(raw)
        return torch.stack([loss_pi, entropy, scale.mean(), kl_mu, kl_sigma]), [d_mean, d_raw]

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

    def layers(self) -> list[nn.Linear]:
        return [self.logits]

    def forward(self, features: Tensor) -> Parameters:
        return (torch.log_softmax(self.logits(features), dim=-1),)

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

    def losses_and_gradients(
        self, outputs: Sequence[Tensor], old: Parameters, actions: Tensor, weights: Weights
    ) -> tuple[Tensor, list[Tensor]]:
        """As a Gaussian's; the third number is the mean of the largest probability."""
        psi, alphas, cost, control = weights
        new, count = (torch.log_softmax(outputs[0], dim=-1),), len(actions)
        probs, old_probs = new[0].exp(), old[0].exp()
        loss_pi, entropy = losses.policy_loss(self.log_prob(new, actions), psi), self.entropy(new)
        kl = losses.kl_categorical(old[0], new[0]).mean()
        d_log_probs = (cost / count) * probs * (new[0] + 1.0) - (alphas[0] / count) * old_probs
        d_log_probs -= (control / count) * old_probs
        d_log_probs.scatter_add_(-1, actions.unsqueeze(-1), (control / count - psi).unsqueeze(-1))
        d_logits = d_log_probs - probs * d_log_probs.sum(-1, keepdim=True)
        return torch.stack([loss_pi, entropy, probs.amax(-1).mean(), kl]), [d_logits]

    @staticmethod
    def log_prob(parameters: Parameters, actions: Tensor) -> Tensor:
        return parameters[0].gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def kl(old: Parameters, new: Parameters) -> Parameters:
        return (losses.kl_categorical(old[0], new[0]),)

    @staticmethod
    def entropy(parameters: Parameters) -> Tensor:
        return -(parameters[0].exp() * parameters[0]).sum(-1).mean()

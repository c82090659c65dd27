"""V-MPO's loss of the policy on a minibatch, and its gradient in closed form, one function a kind of distribution.

Written out because autograd through modules takes 4.5 % more of a training on Humanoid and 23 % on HalfCheetah
(docs/lab/horizon.md). ``tests/agents/test_vmpo_gradients.py`` holds it equal to autograd on the paper's losses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from firerl.agents.actor_critic.networks import Categorical, Gaussian, Head, Parameters


class Weights(NamedTuple):
    """Of the terms of the policy's loss on a minibatch."""

    psi: Tensor  # [B] of log pi(a|s), zero outside D~
    alphas: Tensor  # of the KLs
    entropy: float
    control: float  # of the control variate, 0 or 1


def kl_names(head: Head) -> tuple[str, ...]:
    """The KLs of a distribution. A discrete one's takes the place of the mean's: eps_alpha_mu bounds it."""
    return ("mu", "sigma") if isinstance(head, Gaussian) else ("mu",)


def losses_and_gradients(
    head: Head, outputs: Sequence[Tensor], old: Parameters, actions: Tensor, weights: Weights
) -> tuple[Tensor, list[Tensor]]:
    """In one pass over a minibatch: the policy's losses, and their gradients for the outputs of the head's layers.

    Returns (L_pi, entropy, mean scale or mean of the largest probability, KLs) and the gradients of L_pi + sum of
    alpha KL - entropy's weight x entropy + control x mean of (log pi(a|s) + KL(pi_old || pi)), where L_pi = - sum of
    psi log pi(a|s) (equation 3) and the KLs of Gaussians are C_mu and C_sigma (section 4.2), means over the minibatch.
    The last term's gradient is zero in expectation in the first pass over an unroll, as
    the actions are pi_old's: it takes noise away. In later passes, when pi has seen these actions, it also holds pi
    back from fitting them, above all from a scale that collapses onto few samples.
    """
    if isinstance(head, Gaussian):
        return _gaussian(head, outputs, old, actions, weights)
    return _categorical(head, outputs, old, actions, weights)


def _gaussian(
    head: Gaussian, outputs: Sequence[Tensor], old: Parameters, actions: Tensor, weights: Weights
) -> tuple[Tensor, list[Tensor]]:
    (mean, raw), (old_mean, old_scale), (count, size) = outputs, old, actions.shape
    raw = raw + head.offset
    scale = nn.functional.softplus(raw) + head.min_scale
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


def _categorical(
    head: Categorical, outputs: Sequence[Tensor], old: Parameters, actions: Tensor, weights: Weights
) -> tuple[Tensor, list[Tensor]]:
    psi, alphas, cost, control = weights
    new, count = (torch.log_softmax(outputs[0], dim=-1),), len(actions)
    probs, old_probs = new[0].exp(), old[0].exp()
    loss_pi, entropy = -(psi * head.log_prob(new, actions)).sum(), head.entropy(new).mean()
    kl = (old_probs * (old[0] - new[0])).sum(-1).mean()
    d_log_probs = (cost / count) * probs * (new[0] + 1.0) - (alphas[0] / count) * old_probs
    d_log_probs -= (control / count) * old_probs
    d_log_probs.scatter_add_(-1, actions.unsqueeze(-1), (control / count - psi).unsqueeze(-1))
    d_logits = d_log_probs - probs * d_log_probs.sum(-1, keepdim=True)
    return torch.stack([loss_pi, entropy, probs.amax(-1).mean(), kl]), [d_logits]

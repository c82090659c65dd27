"""Returns of an unroll: T steps of N environments."""

from __future__ import annotations

import torch
from torch import Tensor


def lambda_returns(
    rewards: Tensor,  # [T, N]
    values: Tensor,  # [T, N]: V(s_t)
    next_values: Tensor,  # [T, N]: V of the state that step t led to; at the end of an episode, of its last state
    terminated: Tensor,  # [T, N], bool: the task ended, nothing follows
    truncated: Tensor,  # [T, N], bool: the episode was cut, the value of its last state stands for the rest
    discount: float,
    lambda_: float,
) -> Tensor:
    """G = r + discount ((1 - lambda) V(s') + lambda G'), cut at termination, bootstrapped through truncation. [T, N].

    G - V is the generalised advantage estimate (GAE). With lambda = 1 G is the n-step return, n reaching to the end of
    the unroll.
    """
    alive = (~terminated).to(rewards.dtype)
    deltas = rewards + discount * next_values * alive - values
    carry = discount * lambda_ * (~(terminated | truncated)).to(rewards.dtype)
    returns = torch.empty_like(values)
    advantage = torch.zeros_like(values[0])
    for t in range(len(rewards) - 1, -1, -1):
        advantage = deltas[t] + carry[t] * advantage
        returns[t] = advantage + values[t]
    return returns

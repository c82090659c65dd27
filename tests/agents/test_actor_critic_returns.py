"""Returns of an unroll against their definition and by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from firerl.agents.actor_critic.returns import lambda_returns


def slow_lambda_returns(
    r: np.ndarray, nxt: np.ndarray, term: np.ndarray, trunc: np.ndarray, discount: float, lambda_: float
) -> np.ndarray:
    """The definition: (1 - lambda) sum of lambda^(n-1) times the n-step returns, by two loops."""
    steps, envs = r.shape
    out = np.zeros_like(r)
    for i in range(envs):
        for t in range(steps):
            end = t
            while end < steps - 1 and not (term[end, i] or trunc[end, i]):
                end += 1
            total, rewards, weight = 0.0, 0.0, 1.0
            for k in range(t, end + 1):
                rewards += discount ** (k - t) * r[k, i]
                alive = 0.0 if term[k, i] else 1.0
                n_step = rewards + discount ** (k - t + 1) * nxt[k, i] * alive
                share = weight if k == end else weight * (1 - lambda_)
                total += share * n_step
                weight *= lambda_
            out[t, i] = total
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), steps=st.integers(1, 12), lambda_=st.floats(0, 1), discount=st.floats(0, 1),
    ends=st.floats(0, 0.5),
)  # fmt: skip
def test_lambda_returns_match_their_definition(seed: int, steps: int, lambda_: float, discount: float, ends: float):
    g = np.random.default_rng(seed)
    r, v = g.normal(size=(2, steps, 3))
    term, trunc = g.random((2, steps, 3)) < ends
    trunc &= ~term
    final = g.normal(size=(steps, 3))  # the value of an ended episode's own last state
    follow = np.concatenate([v[1:], g.normal(size=(1, 3))])
    nxt = np.where(term | trunc, final, follow)
    got = lambda_returns(
        *map(torch.tensor, (r, v, nxt)), torch.tensor(term), torch.tensor(trunc), discount=discount, lambda_=lambda_
    )
    np.testing.assert_allclose(got.numpy(), slow_lambda_returns(r, nxt, term, trunc, discount, lambda_), atol=1e-10)


def test_termination_cuts_and_truncation_bootstraps():
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    yes, no = torch.tensor([[True]]), torch.tensor([[False]])
    assert lambda_returns(one, zero, 10 * one, yes, no, 0.5, 0.9).item() == 1.0
    assert lambda_returns(one, zero, 10 * one, no, yes, 0.5, 0.9).item() == 6.0
    assert lambda_returns(one, zero, 10 * one, no, no, 0.5, 0.9).item() == 6.0


def test_gae_by_hand():
    """Three steps, the last of which ends the unroll: A_t = delta_t + discount lambda A_(t+1)."""
    rewards, values, next_values = (
        torch.tensor([row]).T for row in ([1.0, 2.0, 3.0], [0.5, 1.0, -1.0], [1.0, -1.0, 4.0])
    )
    never = torch.zeros(3, 1, dtype=torch.bool)
    returns = lambda_returns(rewards, values, next_values, never, never, discount=0.5, lambda_=0.8)
    deltas = [1 + 0.5 * 1 - 0.5, 2 - 0.5 * 1 - 1, 3 + 0.5 * 4 + 1]  # 1, 0.5, 6
    last, middle = deltas[2], deltas[1] + 0.4 * deltas[2]
    expected = torch.tensor([[deltas[0] + 0.4 * middle, middle, last]]).T
    torch.testing.assert_close(returns - values, expected)  # 2.16, 2.9, 6

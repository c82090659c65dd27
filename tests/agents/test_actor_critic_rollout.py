"""Acting: the objective, episodes, actions, what is refused; returns against their definition and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agents_for_tests import AGENTS, UNIT, collect, learner
from hypothesis import given, settings
from hypothesis import strategies as st

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.rollout import ActionMap, lambda_returns
from firerl.envs import check
from firerl.errors import SettingError


@pytest.fixture(params=AGENTS.values(), ids=list(AGENTS))
def kind(request: pytest.FixtureRequest) -> type[ActorCritic]:
    return request.param


# ---- the objective


def test_objective_counts_only_own_episodes(kind: type[ActorCritic]):
    one = learner(kind, "FirerlKnown", unroll=10)  # 10 steps of 4 environments: 3 episodes each, and one under way
    assert one.evaluate(0) is None
    one.train(UNIT)
    assert one.rollout.episodes.new.tolist() == [3] * 4
    assert one.evaluate(0) == 3.0
    assert one.rollout.episodes.new.tolist() == [0] * 4
    assert one.evaluate(0) == 3.0  # the window reaches back
    one.load(weights=one.state()["weights"])
    assert one.evaluate(0) is None
    one.rollout.unroll = short = one.rollout.unroll
    short.rewards = short.rewards[:1]
    for _ in range(2):  # two steps of a new episode: had the old ones gone on, they would have ended
        collect(one)
    assert one.evaluate(0) is None
    collect(one)
    assert one.evaluate(0) == 3.0


def test_every_environment_has_a_say_in_the_objective(kind: type[ActorCritic]):
    """Short episodes end first; a mean over whatever has ended would be theirs alone."""
    one = learner(kind, "FirerlKnown")  # 4 environments, objective_episodes=8: two of each
    episodes = one.rollout.episodes
    episodes.windows, episodes.new = [[1.0, 1.0, 1.0], [2.0], [9.0], []], np.array([3, 1, 1, 0])
    assert one.evaluate(0) is None  # the fourth environment's first episode is a long one
    assert episodes.windows == [[1.0, 1.0], [2.0], [9.0], []]
    episodes.windows[3], episodes.new = [9.0], np.array([0, 0, 0, 1])
    assert one.evaluate(0) == pytest.approx((2 * 1 + 2 + 9 + 9) / 5)
    episodes.windows[0], episodes.new = [1.0, 1.0, 4.0, 4.0, 4.0], np.array([3, 0, 0, 0])
    assert one.evaluate(0) == pytest.approx((3 * 4 + 2 + 9 + 9) / 6)  # all new ones, and the newest elsewhere


def test_new_weights_are_judged_fairly_from_the_first_objective_on(kind: type[ActorCritic]):
    """A policy that keeps its weights, loaded again and again, as after a copy: half of its episodes are short."""
    one = learner(kind, "FirerlTwoLengths", learning_rate=0.0, unroll=50)
    first = []
    for _ in range(40):
        one.load(weights=one.state()["weights"])
        while (value := one.evaluate(0)) is None:
            one.train(one.granularity_of(one.config))
        first.append(value)
    assert np.mean(first) == pytest.approx(55, abs=4 * np.std(first) / np.sqrt(len(first)))  # 10 or 100, as likely
    assert np.std(first) > 5


def test_objective_from_info(kind: type[ActorCritic]):
    one = learner(kind, "FirerlKnown", objective="info:score")
    one.train(UNIT)
    assert one.evaluate(0) == 30.0
    two = learner(kind, "FirerlKnown", objective="info:scores")
    with pytest.raises(SettingError, match=r"info:scores.*it has: score"):
        two.train(UNIT)


# ---- episodes and actions


def test_fresh_episodes_are_whole_and_do_not_favour_short_ones(kind: type[ActorCritic]):
    one = learner(kind, "CartPole-v1")
    played = one.episodes(45, 3, mean=False)
    assert len(played) == 45
    assert played == one.episodes(45, 3, mean=False)
    assert played != one.episodes(45, 4, mean=False)
    assert all(value == length for value, length in played)
    alone = one.episodes(20, 3, mean=True)
    assert len(alone) == 20
    assert alone != one.episodes(20, 3, mean=False)


def test_actions_reach_the_bounds_and_are_clipped_only_when_applied(kind: type[ActorCritic]):
    spec = check("Humanoid")
    actions = ActionMap(spec)(np.full((1, 17), 1.0))
    assert actions == pytest.approx(0.4)
    assert ActionMap(spec)(np.full((1, 17), -5.0)) == pytest.approx(-0.4)
    one = learner(kind, "InvertedPendulum", init_scale=5.0)
    unroll = collect(one)
    assert unroll.actions.abs().max() > 1.5
    first = learner(kind, "Ant", init_scale=0.3).update.nets.policy(torch.zeros(1, 105))
    assert first[1].detach().numpy() == pytest.approx(0.3)  # of the half width, whatever the bounds are
    assert learner(kind, "CartPole-v1").act(np.zeros((3, 4))).tolist() in ([0, 0, 0], [1, 1, 1])


def test_observations_that_are_not_finite_are_refused(kind: type[ActorCritic]):
    with pytest.raises(FloatingPointError, match="FirerlKnown: observation 0 of environment 0 is nan"):
        learner(kind, {"name": "FirerlKnown", "kwargs": {"poison": 5}}).train(UNIT)


def test_rewards_that_are_not_finite_are_refused(kind: type[ActorCritic]):
    with pytest.raises(FloatingPointError, match=r"FirerlKnown: a reward is 1e\+39"):  # infinite as a float32
        learner(kind, {"name": "FirerlKnown", "kwargs": {"exponent": 39}}).train(UNIT)
    with pytest.raises(SettingError, match=r"FirerlKnown.*step\(\) returned the reward inf; wanted is a finite number"):
        kind.resolve({"env": {"name": "FirerlKnown", "kwargs": {"exponent": 400}}})


# ---- returns


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

"""Small on-policy agents, and an environment of which all is known."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.ppo import PPO
from firerl.agents.vmpo import VMPO
from firerl.storage import checkpoint

AGENTS = {"vmpo": VMPO, "ppo": PPO}
SMALL = {"num_envs": 4, "unroll": 10, "hidden": [16, 16], "epochs": 2, "minibatches": 2}
UNIT = 40


class Known(gymnasium.Env):
    """An episode of 3 steps, reward 10 ** exponent each; the observation counts the steps, the last one is -7."""

    observation_space = gymnasium.spaces.Box(-10, 10, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, truncate: bool = False, poison: int | None = None, exponent: int = 0):
        self.truncate, self.poison, self.t, self.all = truncate, poison, 0, 0
        self.reward = float(f"1e{exponent}")  # 1e400 is infinite

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        self.all += 1
        end = self.t == 3
        observation = np.nan if self.all == self.poison else -7.0 if end else float(self.t)
        observation_ = np.full(1, observation, dtype=np.float32)
        return observation_, self.reward, end and not self.truncate, end and self.truncate, {"score": 10.0 * self.t}


gymnasium.register("FirerlKnown-v0", Known)


class TwoLengths(gymnasium.Env):
    """An episode of 10 or of 100 steps, as likely, reward 1 each."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.choice([10, 100]))
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        return np.zeros(1, dtype=np.float32), 1.0, self.left == 0, False, {}


gymnasium.register("FirerlTwoLengths-v0", TwoLengths)


def learner(
    kind: type[ActorCritic], env: Any = "InvertedPendulum", seed: int = 0, values: Any = (), **settings: Any
) -> Any:
    return kind(kind.resolve({"env": env, **SMALL, **settings}), dict(values), seed, "cpu")


def collect(one: ActorCritic) -> Unroll:
    return one.rollout.collect(lambda raw: one.update.act(raw, one.generator))


def bits(state: Any) -> bytes:
    return checkpoint.dumps(state)

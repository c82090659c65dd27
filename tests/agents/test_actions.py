"""Actions are of the environment's own space, in training, in play and in an exported policy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from runs_for_tests import played, tiny_run

import firerl
from firerl import envs
from firerl.agents.actor_critic.rollout import ActionMap

INF = math.inf


class Strict(gymnasium.Env):
    """Takes no action that its space does not contain."""

    observation_space = spaces.Box(-1, 1, (2,), np.float64)

    def __init__(self, low: float = -0.1, high: float = 0.1, dtype: str = "float64", start: int | None = None):
        box = spaces.Box(np.full(3, low, dtype), np.full(3, high, dtype), dtype=np.dtype(dtype).type)
        self.action_space = box if start is None else spaces.Discrete(3, start=start)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return self.np_random.uniform(-1, 1, 2), float(np.sum(np.sign(action))), False, False, {}


gymnasium.register("FirerlStrict-v0", Strict, max_episode_steps=5)

SPACES: list[dict[str, Any]] = [
    {},
    {"dtype": "float32"},
    {"dtype": "float16", "low": -0.3, "high": 0.7},
    {"low": 1 / 3, "high": 2 / 3},
    {"low": -1.7e308, "high": 1.7e308},
    {"low": 5.0, "high": INF},
    {"low": -INF, "high": -5.0},
    {"low": -INF, "high": INF},
    {"low": 0.1, "high": 0.1},
    {"start": -2},
    {"start": 7},
]


@pytest.mark.parametrize("kwargs", SPACES, ids=str)
def test_every_action_is_in_the_space(kwargs: dict[str, Any]) -> None:
    spec, space = envs.check("FirerlStrict", kwargs), Strict(**kwargs).action_space
    act = ActionMap(spec)
    policies = [np.arange(3)] if spec.discrete else [np.full((1, 3), v, np.float32) for v in (-1e9, -1, 0, 0.3, 1, 9)]
    for policy in policies:
        for action in act(policy):
            assert space.contains(action), action


def test_a_policy_begins_where_there_are_actions_to_choose_from() -> None:
    """With one bound, actions around the policy's 0 are all different."""
    for kwargs, middle in (({"low": 5.0, "high": INF}, 6.0), ({"low": -INF, "high": -5.0}, -6.0), (SPACES[7], 0.0)):
        act = ActionMap(envs.check("FirerlStrict", kwargs))
        assert act(np.array([[-0.5, 0.0, 0.5]])).tolist() == [[middle - 0.5, middle, middle + 0.5]]


@pytest.mark.parametrize("kwargs", [SPACES[3], SPACES[5], SPACES[10]], ids=str)
def test_the_same_actions_everywhere(kwargs: dict[str, Any], tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", "ppo", {"name": "FirerlStrict", "kwargs": kwargs})  # type: ignore[arg-type]
    assert not (run / "failures.log").exists()
    _, observations, actions = played(run)
    policy = firerl.load_policy(run)
    own = np.array([policy(observation) for observation in observations])
    assert own.dtype == actions.dtype == (np.int64 if "start" in kwargs else np.float64)
    assert np.array_equal(own, actions)
    module = policy.module(torch.from_numpy(observations))
    assert module.numpy().dtype == own.dtype
    np.testing.assert_allclose(module.numpy(), actions, rtol=0, atol=1e-6)
    if kwargs is not SPACES[3]:
        return
    pytest.importorskip("onnxruntime")
    from firerl.commands import export

    assert export.main([str(run), "--onnx", str(tmp_path / "out.onnx")]) == 0

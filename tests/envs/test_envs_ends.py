"""Episodes that never end: refused before a run where that can be seen, told at its end where it cannot."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from agents_for_tests import SMALL
from gymnasium import spaces
from runs_for_tests import tiny_run

import firerl
from firerl import envs
from firerl.agents.ppo import PPO
from firerl.commands import launch
from firerl.errors import SettingError


class Long(gymnasium.Env):
    """An episode of so many steps; null: without an end."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int | None = None, pause: float = 0.0, truncate: bool = False):
        self.length, self.pause, self.truncate = length, pause, truncate

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        time.sleep(self.pause)
        end = self.t == self.length
        return np.zeros(1, np.float32), 1.0, end and not self.truncate, end and self.truncate, {}


gymnasium.register("FirerlLong-v0", Long)
gymnasium.register("FirerlLimited-v0", Long, max_episode_steps=100)

LINE = ["algo=pbt", "learner=ppo", "population.sizes=[2]", "population.evaluators=0", "learner.num_envs=2",
        "learner.unroll=20", "learner.minibatches=2", "learner.hidden=[8]", "learner.objective_episodes=2",
        "eval_interval=40", "ready_interval=80", "steps=80", "engine=inline", "logger=none"]  # fmt: skip


def test_an_environment_without_an_end_is_refused_before_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main([*LINE, "env=FirerlLong-v0", f"run_dir={tmp_path}/run"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "env.kwargs.max_episode_steps=<steps>" in said.err
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingError, match=r"FirerlLong.* in 1,000 random steps"):
        PPO.resolve({"env": {"name": "FirerlLong", "kwargs": {"length": 1001}}})


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("FirerlLong", {"max_episode_steps": 5}),
        ("FirerlLong", {"length": 1001, "max_episode_steps": 2000}),
        ("FirerlLong", {"length": 1000}),
        ("FirerlLong", {"length": 9, "truncate": True}),
        ("FirerlLimited", {}),
    ],
)
def test_any_end_will_do(name: str, kwargs: dict[str, Any]) -> None:
    PPO.resolve({"env": {"name": name, "kwargs": kwargs}})


def test_a_slow_environment_has_the_benefit_of_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envs.ends, "SECONDS", 0.05)
    PPO.resolve({"env": {"name": "FirerlLong", "kwargs": {"pause": 0.02}}})


def test_with_a_limit_it_is_ranked(tmp_path: Path) -> None:
    env: Any = {"name": "FirerlLong", "kwargs": {"max_episode_steps": 5}}
    run = tiny_run(tmp_path / "run", "ppo", env)
    assert firerl.resume(run, progress=False).best.objective == 5.0


def test_a_run_in_which_nobody_was_ranked_has_no_winner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [*LINE, "env=FirerlLimited-v0", f"run_dir={tmp_path}/run"]  # 40 steps of each environment, of 100
    assert launch.main(line) == 1
    out = capsys.readouterr().out
    assert "nobody had an objective at a ready" in out
    assert "max_episode_steps=<steps>" in out
    assert "winner  " not in out
    assert launch.main([f"resume={tmp_path}/run"]) == 1
    assert launch.main([f"resume={tmp_path}/run", "steps=240"]) == 0  # until episodes end
    assert "winner  " in capsys.readouterr().out


def test_a_result_says_so_too(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", "ppo", "FirerlLimited-v0", steps=80, settings={**SMALL, "objective_episodes": 4})
    result = firerl.resume(run, progress=False)
    assert (result.ranked, result.objective) == (False, None)

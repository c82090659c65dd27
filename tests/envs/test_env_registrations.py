"""Environments of a script on their way to worker processes: they arrive, or the run is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import gymnasium as gym, numpy as np, pickle
from gymnasium import spaces
from firerl.envs.state.registrations import check_sent, sent
from firerl.errors import SettingError
import beside

GAIN = 3.0

class Own(gym.Env):
    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, gain=GAIN):
        self.gain = gain

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), help_out(self.gain), False, False, {}

class Doubled(gym.RewardWrapper):
    def reward(self, reward):
        return 2 * reward

def help_out(gain):
    return 1.0 * gain

gym.register("Class-v0", Own)
gym.register("Limited-v3", Own, max_episode_steps=1, kwargs={"gain": 4.0})
gym.register("Lambda-v0", lambda **more: Doubled(Own(**more)))
gym.register("Text-v0", "__main__:Own")
gym.register("CartPole-v1", Own)  # instead of Gymnasium's own

def numbers():
    while True:
        yield 1

NUMBERS = numbers()

class Held(Own):
    def step(self, action):
        next(NUMBERS)
        return super().step(action)

gym.register("Held-v0", Held, max_episode_steps=20)
for name in ("Class-v0", "Limited", "Lambda-v0", "Text-v0", "CartPole", "Beside", "beside:Beside-v0"):
    check_sent({"env": {"name": name, "kwargs": {}}})
check_sent({})
try:
    check_sent({"env": "Held-v0"})
except SettingError as error:
    print(error)
pickle.dump(sent({"env": {"name": "Beside"}}), open("sent", "wb"))
print(sorted(sent({})))
"""

BESIDE = """
import gymnasium
gymnasium.register("Beside-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=7)
"""

ARRIVED = """
import pickle, sys
assert "gymnasium" not in sys.modules
from firerl.envs.state.registrations import receive
receive(pickle.load(open("sent", "rb")))
from firerl import envs
for name in ("Class-v0", "Limited", "Lambda-v0", "Text-v0", "CartPole-v1"):
    env = envs.single(name, {})
    env.reset(seed=0)
    print(name, *env.step(0)[1:4])
print(envs.check("Beside").max_episode_steps)
print(envs.make("Lambda-v0", 2, 0, gain=1.0).step([0, 0])[1])
try:
    envs.check("Held-v0")
except Exception as error:
    print(type(error).__name__, error)
"""


def run(code: str, folder: Path) -> str:
    (folder / "script.py").write_text(code)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("sending")
    (folder / "beside.py").write_text(BESIDE)
    return folder, run(SCRIPT, folder)


def test_what_goes_along(there: tuple[Path, str]) -> None:
    refused, ids = there[1].splitlines()
    assert ids == "['CartPole-v1', 'Class-v0', 'Held-v0', 'Lambda-v0', 'Limited-v3', 'Text-v0']"
    assert refused.startswith("environment 'Held-v0' was registered in the process that starts the run, and cannot be")
    assert refused.endswith("move it into a module, env=<module>:Held-v0, or take engine=inline")
    assert "generator" in refused


def test_what_arrives(there: tuple[Path, str]) -> None:
    lines = run(ARRIVED, there[0]).splitlines()
    assert lines[:5] == [
        "Class-v0 3.0 False False",
        "Limited 4.0 False True",
        "Lambda-v0 6.0 False False",
        "Text-v0 3.0 False False",
        "CartPole-v1 3.0 False False",
    ]
    assert lines[5:7] == ["7", "[2. 2.]"]
    assert lines[7].startswith("SettingError environment 'Held-v0' cannot be made: environment 'Held-v0' was")


def test_a_run_is_refused_before_it_has_a_folder(tmp_path: Path) -> None:
    code = SCRIPT[: SCRIPT.index("for name in")] + (
        "import firerl\n"
        "settings = {'num_envs': 2, 'unroll': 20, 'minibatches': 2}\n"
        "try:\n"
        "    firerl.run('ppo', env='Held-v0', settings=settings, run_dir='run', logger='none')\n"
        "except SettingError as error:\n"
        "    print(error)\n"
    )
    (tmp_path / "beside.py").write_text(BESIDE)
    assert "take engine=inline" in run(code, tmp_path)
    assert not os.path.exists(tmp_path / "run")

"""The door to environments, and their states in the middle of an episode."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from firerl import envs
from firerl.errors import SettingError
from firerl.storage import checkpoint

SAVED = ["InvertedPendulum", "Humanoid", "CartPole-v1", "FirerlCounter"]


class Counter(gymnasium.Env):
    """A user's environment with odd attributes: nested objects, a cycle, an alias, its own generator."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Discrete(2, start=3)

    class Part:
        def __init__(self, owner: Any):
            self.owner = owner  # a cycle
            self.total = np.float32(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.part, self.history, self.table = self.Part(self), [], {"a": (1, 2), 3: np.zeros(2)}
        self.alias, self.handle = self.table[3], memoryview(b"x")
        self.own = np.random.default_rng(seed)
        return np.zeros(2, dtype=np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert action in (3, 4)
        self.part.total = np.float32(self.part.total + np.float32(self.own.normal()) * action)
        self.alias += self.np_random.normal()
        self.history.append(float(self.part.total))
        observation = np.array([self.table[3][0], len(self.history)], dtype=np.float32)
        return observation, sum(self.history), len(self.history) > 7, False, {}


class Picture(Counter):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 4), dtype=np.uint8)


class Many(Counter):
    action_space = gymnasium.spaces.MultiDiscrete([2, 2])


gymnasium.register("firerl_tests/Counter-v1", Counter)
gymnasium.register("FirerlCounter-v0", Counter, max_episode_steps=5)
gymnasium.register("FirerlCounter-v2", Counter, max_episode_steps=5)
gymnasium.register("FirerlPicture-v0", Picture)
gymnasium.register("FirerlMany-v0", Many)


def actions(vector: Any, count: int, seed: int = 0) -> list[np.ndarray]:
    space = vector.single_action_space
    rng = np.random.default_rng(seed)
    if isinstance(space, gymnasium.spaces.Discrete):
        return [space.start + rng.integers(space.n, size=vector.num_envs) for _ in range(count)]
    shape = (vector.num_envs, *space.shape)
    return [rng.uniform(space.low, space.high, shape).astype(np.float32) for _ in range(count)]


def steps(vector: Any, chosen: list[np.ndarray]) -> list[np.ndarray]:
    return [np.array(part) for action in chosen for part in vector.step(action)[:4]]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def test_names():
    assert envs.resolve("Humanoid") == "Humanoid-v5"
    assert envs.resolve("CartPole") == envs.resolve("CartPole-v1") == "CartPole-v1"
    assert envs.resolve("FirerlCounter") == "FirerlCounter-v2"
    assert envs.resolve("FirerlCounter-v0") == "FirerlCounter-v0"
    assert envs.resolve("firerl_tests/Counter") == "firerl_tests/Counter-v1"
    assert envs.resolve("gymnasium:CartPole") == "gymnasium:CartPole-v1"
    assert envs.base_name("my_pkg:Humanoid-v5") == envs.base_name("Humanoid") == "Humanoid"


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("Humanoyd", {}, ["unknown environment 'Humanoyd'", "did you mean 'Humanoid'", "CartPole"]),
        ("Humanoid-v99", {}, ["did you mean 'Humanoid'"]),
        ("no_such_pkg:Foo-v0", {}, ["no_such_pkg", "cannot be imported"]),
        ("gymnasium:Foo-v0", {}, ["module 'gymnasium' registers no environment 'Foo-v0'"]),
        ("", {}, ["env.name=''"]),
        (
            "Humanoid",
            {"healthy_rewards": 3},
            ["env.kwargs={healthy_rewards: 3}", "its arguments: xml_file,"],
        ),
        ("Humanoid", {"healthy_reward": "much"}, ["env.kwargs.healthy_reward=much: must be a number"]),
        ("Humanoid", {"terminate_when_unhealthy": 1}, ["env.kwargs.terminate_when_unhealthy=1: must be true or false"]),
        ("Humanoid", {"healthy_z_range": [1.0]}, ["env.kwargs.healthy_z_range=[1.0]: must be a list of 2 numbers"]),
        ("Humanoid", {"default_camera_config": 1}, ["env.kwargs.default_camera_config=1: must be a group of settings"]),
        ("CartPole", {"max_episode_steps": True}, ["max_episode_steps=true: must be an integer >= 1 or null"]),
        ("Humanoid", {"frame_skip": 2.5}, ["env.kwargs.frame_skip=2.5: must be an integer"]),
        ("FirerlPicture", {}, ["FirerlPicture", "observations", "one dimension"]),
        ("FirerlMany", {}, ["FirerlMany", "actions", "MultiDiscrete", "Discrete"]),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(name: str, kwargs: dict, words: list[str]):
    with pytest.raises(SettingError) as caught:
        envs.check(name, kwargs)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_check_describes():
    spec = envs.check("Humanoid")
    assert (spec.observation_size, spec.action_size, spec.discrete, spec.max_episode_steps) == (348, 17, False, 1000)
    assert spec.high == pytest.approx([0.4] * 17)
    centre, half = envs.action_map(spec)
    assert centre == pytest.approx(0)
    assert half == pytest.approx(0.4)
    assert envs.check("CartPole").action_size == 2
    assert envs.check("FirerlCounter").action_start == 3
    assert envs.check("Hopper", {"max_episode_steps": 7}).max_episode_steps == 7


def test_make_is_a_function_of_its_seed_and_ends_in_the_same_step():
    def first(seed: int) -> np.ndarray:
        return envs.make("Hopper", 3, seed).reset()[0]

    assert np.array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))
    assert len(np.unique(first(1), axis=0)) == 3
    vector = envs.make("CartPole", 2, 0, max_episode_steps=4)
    vector.reset()
    for _ in range(3):
        assert not vector.step(np.array([0, 1]))[3].any()
    observation, _, _, truncated, infos = vector.step(np.array([0, 1]))
    assert truncated.all()
    assert np.abs(observation).max() < 0.05 < np.abs(infos["final_obs"][0]).max()  # new episode, old end


def test_no_warning_file_and_no_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any):
    monkeypatch.chdir(tmp_path)
    envs.make("HalfCheetah", 2, 0)
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_state_goes_on_bit_for_bit_in_a_new_process(tmp_path: Path):
    expected = {}
    for name in SAVED:
        vector = envs.make(name, 3, 7)
        vector.reset()
        chosen = actions(vector, 60)
        steps(vector, chosen[:25])
        (tmp_path / name).write_bytes(checkpoint.dumps(envs.get_state(vector)))
        assert (tmp_path / name).stat().st_size < 3 * 100_000
        expected[name] = steps(vector, chosen[25:])
        assert any(part.any() for i in (2, 3) for part in expected[name][i::4]), "an episode should end on the way"
    code = f"import sys; sys.path[:] = {sys.path!r}; import test_envs; test_envs.go_on()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for name in SAVED:
        assert same(expected[name], checkpoint.loads((tmp_path / f"{name}.out").read_bytes())), name


def go_on() -> None:
    """The other half of the test above, in its own process."""
    for name in SAVED:
        vector = envs.make(name, 3, 99)
        vector.reset()
        chosen = actions(vector, 60)
        steps(vector, chosen[:3])
        assert envs.set_state(vector, checkpoint.loads(Path(name).read_bytes())) == {}
        Path(f"{name}.out").write_bytes(checkpoint.dumps(steps(vector, chosen[25:])))


@pytest.mark.parametrize(
    "name", ["Ant", "Humanoid", "Walker2d", "Pusher", "InvertedDoublePendulum", "Pendulum", "FirerlCounter"]
)
def test_state_goes_on_bit_for_bit(name: str):
    one, two = envs.make(name, 2, 7), envs.make(name, 2, 8)
    one.reset()
    two.reset()
    chosen = actions(one, 30)
    steps(one, chosen[:11])
    steps(two, chosen[:3])
    state = envs.get_state(one)
    steps(two, chosen[:5])
    assert envs.set_state(two, checkpoint.loads(checkpoint.dumps(state))) == {}
    assert checkpoint.dumps(envs.get_state(two)) == checkpoint.dumps(state)
    assert same(steps(one, chosen[11:]), steps(two, chosen[11:]))
    assert envs.set_state(one, state) == {}  # the state is a copy: what ran on since did not touch it
    assert checkpoint.dumps(envs.get_state(one)) == checkpoint.dumps(state)


def test_arguments_of_other_types_that_fit_are_taken() -> None:
    envs.check("Pusher", {"reward_dist_weight": 0.5})  # its default is the integer 1
    envs.check("Humanoid", {"healthy_z_range": [1, math.inf], "healthy_reward": 3})
    assert envs.check("CartPole", {"max_episode_steps": None}).max_episode_steps == 500

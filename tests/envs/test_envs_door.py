"""Whatever an environment returns comes out as arrays, a float and two bools, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from agents_for_tests import SMALL
from gymnasium import spaces
from runs_for_tests import tiny_run

from firerl import envs
from firerl.agents.ppo import PPO
from firerl.commands import play
from firerl.envs.door import BrokenEnvironment, Door, flag, number
from firerl.errors import SettingError

LENGTH = 5
ZERO = np.zeros(2, np.float32)
TRUE: list[Any] = [True, 1, 1.0, np.True_, np.int8(1), np.array(1), np.array([True]), torch.tensor(True), [1]]
FALSE: list[Any] = [False, 0, 0.0, np.False_, np.array([0.0]), torch.zeros(1, 1)]
ONE: list[Any] = [
    1, True, np.float32(1), np.array([1.0]), np.ones((1, 1), np.int64), torch.tensor(1.0), Fraction(1), [1.0],
    torch.tensor([1.0], requires_grad=True),
]  # fmt: skip


class Odd(gymnasium.Env):
    """An episode of five steps with a reward of 1 each, told in the forms that the class says."""

    observation_space = spaces.Box(-9, 9, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation: Any = ZERO
    reward: Any = 1.0
    ends: tuple[Any, Any] = (False, True)  # how it says no and yes
    truncated: Any = False
    first: Callable[[Any], Any] = staticmethod(lambda observation: (observation, {}))
    then: Callable[..., Any] = staticmethod(lambda *five: five)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.first(self.observation)

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.then(self.observation, self.reward, self.ends[self.t == LENGTH], self.truncated, {"score": self.t})


def registered(name: str, **members: Any) -> str:
    """The id of an environment of its own kind."""
    gymnasium.register(f"{name}-v0", type("Kind", (Odd,), members))
    return f"{name}-v0"


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Any:
    before = dict(gymnasium.registry)
    yield lambda **members: registered("FirerlOdd", **members)
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


@pytest.mark.parametrize("yes", TRUE, ids=repr)
@pytest.mark.parametrize("no", FALSE[:4:3], ids=repr)
def test_ends_are_bools(own: Any, yes: Any, no: Any) -> None:
    env = envs.single(own(ends=(no, yes), truncated=no), {})
    env.reset(seed=0)
    ended = [env.step(env.action_space.sample())[2:4] for _ in range(LENGTH)]
    assert ended == [(False, False)] * (LENGTH - 1) + [(True, False)]
    assert {type(flag) for pair in ended for flag in pair} == {bool}


def test_words_for_true_and_false() -> None:
    assert [flag(value) for value in TRUE] == [True] * len(TRUE)
    assert [flag(value) for value in FALSE] == [False] * len(FALSE)


@pytest.mark.parametrize("value", [None, "yes", 2, -1, np.array([0, 1]), float("nan"), {}, 0.5], ids=repr)
def test_what_is_neither(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        flag(value)


@pytest.mark.parametrize(
    "value",
    [None, "1.0", b"1", np.zeros(2), [], {}, 1j, 10**400, object()],
    ids=lambda value: f"{type(value).__name__} {value!r:.9}",
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        number(value)


@pytest.mark.parametrize("reward", ONE, ids=repr)
def test_rewards_are_floats(own: Any, reward: Any) -> None:
    env = envs.single(own(reward=reward), {})
    env.reset(seed=0)
    found = env.step(env.action_space.sample())[1]
    assert (type(found), found) == (float, 1.0)


@pytest.mark.parametrize(
    "observation",
    [np.zeros(2), [0.0, 0], (False, True), np.zeros(2, np.int64), torch.zeros(2, requires_grad=True)],
    ids=repr,
)
def test_observations_have_the_spaces_type(own: Any, observation: Any) -> None:
    env = envs.single(own(observation=observation), {})
    assert env.reset(seed=0)[0].dtype == env.step(env.action_space.sample())[0].dtype == np.float32


def test_whole_numbers_must_fit_into_the_spaces_type(own: Any) -> None:
    space = spaces.Box(0, 255, (2,), np.uint8)
    assert envs.single(own(observation_space=space, observation=[3, 255]), {}).reset(seed=0)[0].tolist() == [3, 255]
    for observation in ([3, 256], [-1, 0], [0.5, 1.0]):
        with pytest.raises(BrokenEnvironment, match=r"the observation .* of type list; wanted is"):
            envs.single(own(observation_space=space, observation=observation), {}).reset(seed=0)


def test_an_array_that_is_filled_again_and_again_is_no_trouble(own: Any) -> None:
    buffer = np.zeros(2, np.float32)

    def first(_: Any) -> Any:
        buffer[:] = 0
        return buffer, {}

    def then(_: Any, reward: float, *rest: Any) -> Any:
        buffer[:] += 1
        return buffer, reward, *rest

    vector: Any = envs.make(own(first=staticmethod(first), then=staticmethod(then)), 1, 0)
    seen = [vector.step(np.zeros((1, 1), np.float32)) for _ in range(LENGTH)]
    assert [step[0].tolist() for step in seen] == [[[t, t]] for t in (1, 2, 3, 4, 0)]
    assert seen[-1][4]["final_obs"][0].tolist() == [5, 5]


def test_final_infos_keep_their_types(own: Any) -> None:
    kinds = iter([{"score": 0, "word": "a"}, {"score": 0.7, "word": np.zeros(3)}])

    def then(observation: Any, reward: float, end: bool, *_: Any) -> Any:
        return observation, reward, end, False, next(kinds) if end else {}

    vector: Any = envs.make(own(then=staticmethod(then)), 2, 0)
    for _ in range(LENGTH):
        infos = vector.step(np.zeros((2, 1), np.float32))[4]
        assert not infos or infos["_final_info"].all()
    assert list(infos["final_info"]["score"]) == [0, 0.7]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"reward": None}, "step() returned the reward None of type NoneType; wanted is one number"),
        ({"reward": np.zeros(2)}, "the reward of shape (2,) and type float64; wanted is one number"),
        ({"reward": float("nan")}, "step() returned the reward nan; wanted is a finite number"),
        ({"truncated": None}, "truncated None of type NoneType; wanted is true or false"),
        ({"ends": ("no", "yes")}, "terminated 'no' of type str; wanted is true or false"),
        ({"observation": np.zeros(3)}, "the observation of shape (3,) and type float64; wanted is of shape (2,)"),
        ({"observation": {"x": 1}}, "the observation {'x': 1} of type dict; wanted is of shape (2,) and type float32"),
        ({"observation": [1, np.nan]}, "reset() returned nan at place 1 of the observation; wanted is a finite number"),
        ({"observation": [0, 10]}, "returned 10 at place 1 of the observation; wanted is a finite number from -9 to 9"),
        (
            {"first": staticmethod(lambda seen: seen)},
            "reset() returned one value of shape (2,) and type float32;",
        ),
        ({"first": staticmethod(lambda seen: (seen, None))}, "reset() returned 2 values (ndarray, NoneType); wanted"),
        ({"then": staticmethod(lambda *five: five[:4])}, "step() returned not 5 values; wanted is (observation, rew"),
        (
            {"then": staticmethod(lambda *five: (*five[:4], None))},
            "(ndarray, float, bool, bool, NoneType); wanted",
        ),
        ({"then": staticmethod(lambda *five: {}["key"])}, "step() raised KeyError: 'key'"),
        ({"then": staticmethod(lambda *five: exit(3))}, "step() raised SystemExit: 3"),
        ({"reset": lambda self: (ZERO, {})}, "reset(seed=...) raised TypeError"),
        ({"observation_space": None}, "cannot be made"),
        ({"action_space": spaces.Box(0, 1, ())}, "allowed are a Box with one dimension and Discrete"),
        ({"action_space": spaces.Box(0, 1, (2, 3))}, "allowed are a Box with one dimension and Discrete"),
        ({"action_space": spaces.Box(0, 9, (2,), int)}, "of a Box allowed are float16, float32, float64; declare one"),
        ({"action_space": spaces.MultiBinary(3)}, "allowed are a Box with one dimension and Discrete"),
    ],
)
def test_broken_environments_are_refused_by_name(own: Any, members: dict[str, Any], words: str) -> None:
    name = own(**members)
    with pytest.raises(SettingError) as caught:
        PPO.resolve({"env": name})
    text = str(caught.value)
    assert words in text, text
    assert name in text
    assert "\n" not in text


def test_a_trial_moves_no_global_generator(own: Any) -> None:
    def then(*five: Any) -> Any:
        np.random.rand(), torch.rand(1)  # noqa: NPY002
        return five

    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    envs.check(own(then=staticmethod(then)))
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def test_an_environment_that_is_registered_anew_is_looked_at_anew(own: Any) -> None:
    assert envs.check(own()).observation_size == 2
    again = own(observation_space=spaces.Box(-9, 9, (3,), np.float32), observation=np.zeros(3, np.float32))
    assert envs.check(again).observation_size == 3


@pytest.mark.parametrize("objective", ["training", "fresh", "info:score"])
def test_every_path_goes_through_the_door(
    own: Any, objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training, fresh episodes, the figures of the winner and play agree on an environment with odd answers."""
    name = own(ends=(0, np.array([1])), truncated=np.int64(0), reward=np.array([1.0]), observation=[0, 0.0])
    settings = {**SMALL, "objective": objective, "objective_episodes": 2}
    tiny_run(tmp_path / "run", "ppo", name, settings=settings)
    result = json.loads((tmp_path / "run/result.json").read_text())
    fresh = result["fresh"]
    assert (result["objective"], fresh["mean_action_return"], fresh["sample_action_length"]) == (LENGTH, LENGTH, LENGTH)
    assert play.main([str(tmp_path / "run"), "--episodes", "2"]) == 0
    assert "return        5.000  length      5.0" in capsys.readouterr().out


def test_an_episode_without_a_limit_ends_all_the_same(own: Any) -> None:
    endless = own(ends=(False, False))
    env = envs.single(endless, {})
    env.reset(seed=0)
    action = env.action_space.sample()
    steps = next(t for t in range(1, 20_000) if env.step(action)[3])
    assert steps == 10_000
    assert envs.check(endless).max_episode_steps is None
    env = envs.single(endless, {"max_episode_steps": 3})
    env.reset(seed=0)
    assert [env.step(action)[3] for _ in range(3)] == [False, False, True]


def test_the_door_is_outermost(own: Any) -> None:
    assert type(envs.single(own(), {})) is Door

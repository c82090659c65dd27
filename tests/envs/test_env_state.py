"""The state of environments that are not our own: what determines their running episodes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from envs_for_tests import SAVED, WRAPPED, Global

from firerl import envs
from firerl.envs.state import own_state, remembering
from firerl.storage import checkpoint

NAMES = [*(kind.__name__ for kind in SAVED), *WRAPPED]


def play(vector: Any, count: int, seed: int) -> list[bytes]:
    """All that is seen in so many steps with random actions."""
    space = vector.single_action_space
    space.seed(seed)
    batches = [np.array([space.sample() for _ in range(vector.num_envs)]) for _ in range(count)]
    return [np.asarray(part).tobytes() for batch in batches for part in vector.step(batch)[:4]]


def saved(vector: Any) -> Any:
    return checkpoint.loads(checkpoint.dumps(envs.get_state(vector)))


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_goes_on_to_the_bit_in_another_environment(name: str) -> None:
    one, two = envs.make(f"FirerlZoo{name}", 2, 7), envs.make(f"FirerlZoo{name}", 2, 8)
    play(one, 55, 0)  # over an end
    play(two, 3, 1)
    state = saved(one)
    assert envs.set_state(two, state) == {}
    assert checkpoint.dumps(envs.get_state(two)) == checkpoint.dumps(state)
    assert play(one, 70, 2) == play(two, 70, 2)
    assert checkpoint.dumps(envs.get_state(two)) == checkpoint.dumps(envs.get_state(one))


def test_an_episode_goes_on_in_a_new_process(tmp_path: Path) -> None:
    expected = {}
    for name in NAMES:
        vector = envs.make(f"FirerlZoo{name}", 2, 7)
        play(vector, 55, 0)
        (tmp_path / name).write_bytes(checkpoint.dumps(envs.get_state(vector)))
        expected[name] = play(vector, 50, 2)
    code = f"import sys; sys.path[:] = {sys.path!r}; import test_env_state as t; t.go_on()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for name in NAMES:
        assert checkpoint.loads((tmp_path / f"{name}.out").read_bytes()) == expected[name], name


def go_on() -> None:
    """The other half of the test above, in its own process."""
    for name in NAMES:
        vector = envs.make(f"FirerlZoo{name}", 2, 9)
        assert envs.set_state(vector, checkpoint.loads(Path(name).read_bytes())) == {}
        Path(f"{name}.out").write_bytes(checkpoint.dumps(play(vector, 50, 2)))


def test_every_episode_has_a_seed_of_its_own_that_every_library_takes() -> None:
    seeds: list[int | None] = []

    class Seen(gymnasium.Wrapper):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            seeds.append(seed)
            return super().reset(seed=seed, options=options)

    for _ in range(2):
        env = remembering.Kept(Seen(gymnasium.make("CartPole-v1")))
        env.reset(seed=5)
        for _ in range(20):
            env.reset()
    assert seeds[:21] == seeds[21:]
    assert len(set(seeds)) == 21
    assert seeds[0] == 5
    assert all(seed is not None and seed < 2**31 for seed in seeds)
    with pytest.raises(ValueError, match="needs a seed"):
        remembering.Kept(gymnasium.make("CartPole-v1")).reset()


def test_what_cannot_be_repeated_begins_the_next_episode() -> None:
    source, target, other = (envs.make("FirerlZooGlobal", 2, seed) for seed in (7, 8, 9))
    play(source, 11, 0)
    state = saved(source)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = envs.set_state(target, state)
    assert sorted(first) == [0, 1]
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002 - the repetition has left no trace
    again = envs.set_state(other, state)
    assert [first[i].tolist() for i in (0, 1)] == [again[i].tolist() for i in (0, 1)]  # it is a function of the state
    assert [entry["resets"] for entry in envs.get_state(target)["envs"]] == [
        entry["resets"] + 1 for entry in state["envs"]
    ]


def test_one_environment_that_cannot_go_on_keeps_no_other_from_it() -> None:
    source, target = envs.make("CartPole", 3, 7), envs.make("CartPole", 3, 8)
    play(source, 5, 0)
    state = saved(source)
    state["envs"][1]["seen"] = bytes(16)
    assert list(envs.set_state(target, state)) == [1]
    assert envs.get_state(target)["envs"][2]["steps"] == state["envs"][2]["steps"]
    with pytest.raises(ValueError, match="a state of 3 environments for 2"):
        envs.set_state(envs.make("CartPole", 2, 0), state)


def test_an_episode_that_is_too_long_is_kept_only_by_an_environment_with_a_state_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembering, "LONGEST_EPISODE", 20)
    for name, begins in (("Usual", True), ("Remembers", False)):
        source, target = envs.make(f"FirerlZoo{name}", 1, 7), envs.make(f"FirerlZoo{name}", 1, 8)
        play(source, 20, 0)
        assert envs.set_state(target, saved(source)) == {}
        play(source, 1, 1)
        assert saved(source)["envs"][0]["actions"] is None
        assert (list(envs.set_state(target, saved(source))) == [0]) == begins
    assert play(source, 60, 2) == play(target, 60, 2)  # and ends where its limit is


def test_a_state_does_not_change_with_the_environment_that_it_is_of() -> None:
    source = envs.make("FirerlZooChangesActions", 1, 7)
    play(source, 5, 0)
    state = envs.get_state(source)
    before = checkpoint.dumps(state)
    play(source, 5, 1)
    envs.set_state(source, state)
    play(source, 5, 1)
    assert checkpoint.dumps(state) == before


def test_which_states_of_their_own_count() -> None:
    def offered(**methods: Any) -> dict[str, Any]:
        return own_state.get(type("Own", (gymnasium.Env,), methods)())

    def give(self: Any, state: Any) -> None: ...

    assert offered(get_state=lambda self: {"a": np.zeros(2)}, set_state=give).keys() == {"0 Own"}
    assert offered(get_state=lambda self: 1) == {}
    assert offered(get_state=lambda self, kind: 1, set_state=give) == {}
    assert offered(get_state=lambda self: 1, set_state=lambda self, qpos, qvel: None) == {}  # Gymnasium's MuJoCo
    assert offered(get_state=lambda self: {"a": object()}, set_state=give) == {}
    assert own_state.get(Global()) == {}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": [1, 2.0, np.zeros(2)]}, {"a": [1, 2.0, np.zeros(2)]}, True),
        (float("nan"), float("nan"), True),
        (0.0, -0.0, False),
        (1, True, False),
        ([1], (1,), False),
        (np.zeros(2), np.zeros(2, np.float32), False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (None, None, True),
    ],
)
def test_plain_values_are_compared_to_the_bit(one: Any, other: Any, equal: bool) -> None:
    assert own_state.same(one, other) is equal

"""The winner as a function: the same actions as play's, for one observation or many, without environments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from modules_for_tests import Halver, Modular, quadratic_run
from runs_for_tests import KINDS, played, tiny_run
from torch import nn

import firerl
from firerl import envs
from firerl.agents.quadratic.learner import Quadratic
from firerl.envs.state.remembering import episode_seed
from firerl.errors import FirerlError, RunFolderError
from firerl.storage import checkpoint


class Bytes(Halver):
    input_dtype = torch.uint8


class Broken(Quadratic):
    """Whose facts and module fail."""

    settings: ClassVar = Quadratic.settings

    @classmethod
    def facts_of(cls, settings: Any) -> dict[str, Any]:
        raise RuntimeError("no facts")

    @classmethod
    def module_of(cls, settings: Any, weights: Any, facts: Any) -> nn.Module:
        raise KeyError("gone")


@pytest.fixture(scope="module", params=KINDS, ids=[env for _, env in KINDS])
def run_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    learner, env = request.param
    return tiny_run(tmp_path_factory.mktemp("policy") / "run", learner, env)


def test_its_actions_are_plays(run_dir: Path) -> None:
    _, observations, actions = played(run_dir)
    assert len(observations) > 5
    policy = firerl.load_policy(run_dir / "best.pt")
    own = np.array([policy(observation) for observation in observations])
    assert own.dtype == actions.dtype
    assert own.shape == actions.shape
    assert np.array_equal(own, actions)  # one at a time, as play's single environment


def test_a_batch_is_its_rows(run_dir: Path) -> None:
    _, observations, actions = played(run_dir)
    batch = firerl.load_policy(run_dir)(observations)
    assert batch.shape == actions.shape
    np.testing.assert_allclose(batch, actions, rtol=0, atol=1e-6)
    assert firerl.load_policy(run_dir)(observations[:0]).shape == (0, *actions.shape[1:])


def test_sampled_actions_are_the_learners_and_repeat(run_dir: Path) -> None:
    learner, observations, _ = played(run_dir)
    policy = firerl.load_policy(run_dir, sample=True, seed=7)
    generator = torch.Generator().manual_seed(7)
    first, second = policy(observations), policy(observations)
    assert np.array_equal(first, learner.act(observations, False, generator))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, firerl.load_policy(run_dir, sample=True, seed=7)(observations))


def test_its_module_gives_the_same_actions_in_torch(run_dir: Path) -> None:
    _, observations, actions = played(run_dir)
    module = firerl.load_policy(run_dir).module
    np.testing.assert_allclose(module(torch.from_numpy(observations)).numpy(), actions, rtol=0, atol=1e-6)


def test_no_environment_is_made(run_dir: Path) -> None:
    script = f"""
import gymnasium, sys
def refuse(*_, **__): raise AssertionError("an environment")
gymnasium.make = gymnasium.make_vec = refuse
import firerl
policy = firerl.load_policy({str(run_dir)!r})
policy([0.0] * policy.input_shape[0])
print("mujoco" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


def test_an_episode_by_hand_returns_what_play_says(run_dir: Path) -> None:
    learner, _, _ = played(run_dir)
    policy = firerl.load_policy(run_dir)
    env_seed, _ = (int(s) for s in np.random.SeedSequence(3).generate_state(2, np.uint32))
    env = gymnasium.make(envs.resolve(policy.task))
    # The first reset is that of the vector environment as it is made. Then our own MuJoCo form goes on with the
    # generator; in others each episode has a seed of its own.
    (seed,) = envs.env_seeds(env_seed, 1)
    env.reset(seed=seed)
    observation, _ = env.reset(seed=None if policy.task == "Hopper" else episode_seed(seed, 1))
    total, ended = 0.0, False
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        total, ended = total + float(reward), terminated or truncated
    assert total == learner.episodes(1, 3)[0][0]


def test_the_best_ever_and_what_a_policy_says_of_itself(run_dir: Path) -> None:
    best, ever = (checkpoint.read(run_dir / name) for name in ("best.pt", "best_ever.pt"))
    policy = firerl.load_policy(run_dir / "best_ever.pt")
    assert (policy.network_step, policy.objective) == (ever["network_step"], ever["objective"])
    assert repr(firerl.load_policy(run_dir)) == f"<Policy for {best['task']}, {best['network_step']} steps>"


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (np.zeros(3), r"observations of shape \[3\]: must be \[4\] or \[batch, 4\]"),
        (np.zeros((1, 2, 4)), r"of shape \[1, 2, 4\]"),
        (np.float64(1.0), r"of shape \[\]"),
        (["a", "b", "c", "d"], "observations of type <U1: must be float32, or fit into it"),
        ({"position": 1}, "observations of type object"),
        (np.zeros(4, complex), "of type complex128"),
        ([[0.0] * 4, [0.0] * 3], "observations are no array"),
    ],
)
def test_what_is_no_observation_is_one_line(cartpole: Path, inputs: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error) as caught:
        firerl.load_policy(cartpole)(inputs)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run(tmp_path_factory.mktemp("cartpole") / "run", steps=80)


def test_whole_numbers_and_lists_are_observations_too(cartpole: Path) -> None:
    policy = firerl.load_policy(cartpole)
    assert policy([0, 1, 0, 1]) == policy(np.array([0, 1, 0, 1], np.float32))


def test_somebodys_module_runs_in_torch(tmp_path: Path) -> None:
    policy = firerl.load_policy(quadratic_run(tmp_path / "r", Modular))
    assert policy([[2, 4], [6, 8]]).tolist() == [1, 2, 3, 4]
    assert policy(np.ones((5, 2, 2))).shape == (5, 4)
    with pytest.raises(FirerlError, match="no actions to sample"):
        firerl.load_policy(tmp_path / "r", sample=True)


def test_a_class_that_no_name_finds_is_handed_in(tmp_path: Path) -> None:
    class Local(Modular): ...

    firerl.run(Local, population=[2], evaluators=0, algo="pbt", steps=120, engine="inline", progress=False,
               run_dir=tmp_path / "r")  # fmt: skip
    with pytest.raises(FirerlError):
        firerl.load_policy(tmp_path / "r")
    assert firerl.load_policy(tmp_path / "r", learner=Local)(np.ones((2, 2))).tolist() == [0.5] * 4


def test_bytes_are_no_place_for_floats() -> None:
    from firerl.winner.policy import Policy

    policy = Policy(Bytes(2), {"task": "t", "network_step": 1, "objective": None})
    assert policy(np.ones((2, 2), np.uint8)).tolist() == [2] * 4
    with pytest.raises(ValueError, match="images of type float64: must be uint8, or fit into it"):
        policy(np.ones((2, 2)))


def test_a_learner_without_a_policy_says_so(tmp_path: Path) -> None:
    with pytest.raises(FirerlError, match=r"learner Quadratic has no module_of\(\): no policy can be loaded"):
        firerl.load_policy(quadratic_run(tmp_path / "r"))


def test_a_learner_that_fails_costs_its_policy_not_the_run(tmp_path: Path) -> None:
    run_dir = quadratic_run(tmp_path / "r", Broken)
    assert (run_dir / "result.json").is_file()
    assert "no facts" in (run_dir / "failures.log").read_text()
    with pytest.raises(RunFolderError, match="holds no facts of the task"):
        firerl.load_policy(run_dir)
    best = checkpoint.read(run_dir / "best.pt")
    (run_dir / "best.pt").write_bytes(checkpoint.dumps({**best, "facts": {}}))
    with pytest.raises(FirerlError, match="its network cannot be built: KeyError: 'gone'"):
        firerl.load_policy(run_dir)


@pytest.mark.unverified("an empty file")
def test_files_that_are_none_are_one_line(tmp_path: Path, cartpole: Path) -> None:
    (tmp_path / "damaged.pt").write_bytes((cartpole / "best.pt").read_bytes()[:-100])
    (tmp_path / "foreign.pt").write_bytes(checkpoint.dumps({"weights": 1, "stream": None}))
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "journal.sqlite").touch()
    for name, error in {
        "none.pt": "is missing",
        ".": "is missing",
        "damaged.pt": "cannot be read",
        "foreign.pt": "not a best.pt",
        "unfinished": "has not finished",
    }.items():
        with pytest.raises(RunFolderError, match=error) as caught:
            firerl.load_policy(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_older_file_says_how_it_becomes_a_new_one(tmp_path: Path) -> None:
    run_dir = tiny_run(tmp_path / "r", steps=80)
    best = checkpoint.read(run_dir / "best.pt")
    del best["facts"]
    (run_dir / "best.pt").write_bytes(checkpoint.dumps(best))
    with pytest.raises(RunFolderError, match=r"remove result\.json beside it and resume its run"):
        firerl.load_policy(run_dir)
    (run_dir / "result.json").unlink()
    firerl.resume(run_dir, progress=False)
    firerl.load_policy(run_dir)

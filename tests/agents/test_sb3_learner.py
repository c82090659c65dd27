"""Stable-Baselines3's algorithms as learners: to the bit what the library alone does, cut anywhere."""

from __future__ import annotations

from typing import Any

import envs_for_tests
import numpy as np
import pytest
from agents_for_tests import Known, bits

from firerl.commands import check
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.engine.host.global_generators import Isolated
from firerl.errors import SettingError

pytest.importorskip("stable_baselines3", reason="the extra firerl[sb3] is not installed")
import sb3_returns
from stable_baselines3 import PPO, SAC

from firerl import adapters
from firerl.agents.adapters import sb3_algorithm, sb3_buffer
from firerl.agents.adapters.sb3_learner import SB3

assert envs_for_tests
NET = {"policy_kwargs": {"net_arch": [8, 8], "activation_fn": "ReLU"}}
LATER = {**NET, "learning_starts": 8}
SEED = 2**62 + 5
CASES: dict[str, tuple[str, dict[str, Any]]] = {  # environment, settings
    "PPO": ("Hopper", {"num_envs": 2, "arguments": {**NET, "n_steps": 8}, "batch_size": 8}),
    "A2C": ("InvertedPendulum", {"arguments": NET}),
    "SAC": ("Hopper", {"buffer_size": 40, "arguments": LATER, "batch_size": 8}),
    "TD3": ("Hopper", {"num_envs": 2, "arguments": {**LATER, "train_freq": [2, "step"]}, "batch_size": 8}),
    "DDPG": ("Hopper", {"arguments": {**LATER, "n_steps": 3}, "batch_size": 8}),
    "DQN": ("CartPole", {"arguments": {**LATER, "target_update_interval": 6}, "batch_size": 8}),
}
CONTRIB: dict[str, tuple[str, dict[str, Any]]] = {
    "TQC": CASES["SAC"],
    "CrossQ": CASES["SAC"],
    "TRPO": CASES["PPO"],
    "QRDQN": CASES["DQN"],
    "ARS": ("CartPole", {"arguments": {**NET, "n_delta": 2}}),
}


def learner(algorithm: str, seed: int = SEED, values: Any = (), **settings: Any) -> Any:
    """Small; in global generators of its own, as a run has it."""
    env, small = {**CASES, **CONTRIB}[algorithm]
    return Isolated(SB3, SB3.resolve({"algorithm": algorithm, "env": env, **small, **settings}), dict(values), seed)


@pytest.mark.parametrize("algorithm", [*CASES, *CONTRIB])
def test_training_may_be_cut_and_saved_anywhere(algorithm: str) -> None:
    """Past the size of SAC's buffer, and into what would be the middle of episodes."""
    if algorithm in CONTRIB:
        pytest.importorskip("sb3_contrib")
    whole, parts, other = learner(algorithm), learner(algorithm), learner(algorithm, seed=1)
    unit = SB3.granularity_of(whole.learner.config)
    first, second = (1, 2) if algorithm == "ARS" else (32 // unit * unit, 48 // unit * unit)
    metrics = whole.train(first + second)
    assert all(isinstance(value, float) for value in metrics.values())
    parts.train(first)
    other.train(unit)
    other.load(**parts.state())
    parts.train(second)
    other.train(second)
    assert bits(whole.state()) == bits(parts.state()) == bits(other.state())
    assert whole.evaluate(0) == other.evaluate(0)


@pytest.mark.parametrize("algorithm", ["PPO", "SAC", "DQN"])
def test_it_learns_as_the_library_alone(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every episode has the same return."""
    monkeypatch.setattr(sb3_returns, "settings_of", lambda name: SB3.resolve({
        "algorithm": name, "env": CASES[name][0], **CASES[name][1], "num_envs": 1}))  # fmt: skip
    found = sb3_returns.row(algorithm, SEED, 150)
    assert found["equal"] == found["episodes"] == found["ours"] > 1


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [("A2C", ["eval_interval=40"]), ("DQN", ["learner.arguments.learning_starts=8", "eval_interval=80"])],
)
def test_it_passes_the_check(algorithm: str, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    env = f"env={CASES[algorithm][0]}"
    small = "learner.arguments.policy_kwargs.net_arch=[8]"
    assert check.main(["sb3", f"learner.algorithm={algorithm}", env, small, *more]) == 0
    assert capsys.readouterr().out.endswith("all checks passed\n")


def test_weights_of_another_begin_new_episodes_and_leave_the_buffer() -> None:
    one, other = learner("SAC").learner, learner("SAC", seed=1).learner
    for each in (one, other):
        each.train(30)
    buffer = other.model.replay_buffer
    before, last = buffer.observations.copy(), buffer.pos - 1
    other.load(weights=one.state()["weights"])
    assert bits(other.state()["weights"]) == bits(one.state()["weights"])
    assert np.array_equal(buffer.observations, before)
    assert (buffer.dones[last, 0], buffer.timeouts[last, 0]) == (1, 1)  # not learned from as an end
    assert (other.env.ended.lengths == 0).all()
    assert other.evaluate(0) is None


@pytest.mark.parametrize("size", [0, 5, 8, 13])
def test_a_buffer_comes_back_to_the_bit(size: int) -> None:
    """Empty, filled in part, just full, overwritten; into one that held more."""
    settings = {"num_envs": 2, "buffer_size": 16, "arguments": {**LATER, "learning_starts": 1000}}
    one, other = (learner("TD3", seed, **settings).learner for seed in (0, 1))
    one.train(4 * ((size + 1) // 2) or 4)
    other.train(4 * 10)
    buffers = one.model.replay_buffer, other.model.replay_buffer
    if not size:
        buffers[0].reset()
        for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
            getattr(buffers[0], name)[:] = 0
    saved = sb3_buffer.state(buffers[0])
    assert len(saved["ends"]["row"]) < max(len(saved["rows"]["rewards"]), 1) * 2
    sb3_buffer.load(buffers[1], saved)
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        assert getattr(buffers[0], name).tobytes() == getattr(buffers[1], name).tobytes(), name
    assert (buffers[0].pos, buffers[0].full) == (buffers[1].pos, buffers[1].full)


def test_a_limit_of_steps_is_no_end() -> None:
    assert Known
    for truncate in (False, True):
        env = {"name": "FirerlKnown-v0", "kwargs": {"truncate": truncate}}
        one = SB3(SB3.resolve({"env": env, "num_envs": 2, "objective_episodes": 2}), {}, 0)
        steps = [one.env.step(np.zeros((2, 1), dtype=np.float32)) for _ in range(3)]
        (observations, rewards, ended, infos) = steps[-1]
        assert [bool(ends.any()) for _, _, ends, _ in steps] == [False, False, True]
        assert (observations == 0).all()
        assert (rewards.dtype, rewards.tolist(), ended.tolist()) == (np.float32, [1.0, 1.0], [True, True])
        assert [info["terminal_observation"].tolist() for info in infos] == [[-7.0], [-7.0]]
        assert [info["TimeLimit.truncated"] for info in infos] == [truncate, truncate]
        assert one.evaluate(0) == 3.0


def test_what_the_search_changes_is_changed_where_the_library_reads_it() -> None:
    ppo = learner("PPO").learner
    ppo.set_hyperparameters({"clip_range": 0.3, "learning_rate": 0.01, "gamma": 0.9, "gae_lambda": 0.8})
    assert (ppo.model.clip_range(0.5), ppo.model.lr_schedule(0.5)) == (0.3, 0.01)
    assert (ppo.model.rollout_buffer.gamma, ppo.model.rollout_buffer.gae_lambda) == (0.9, 0.8)
    ppo.set_hyperparameters({})
    assert (ppo.model.clip_range(0.5), ppo.model.gamma) == (0.2, 0.99)
    dqn = learner("DQN", values={"exploration_eps": 0.5}).learner
    dqn.train(4)
    assert dqn.model.exploration_rate == 0.5
    sac = learner("SAC", values={"ent_coef": 0.25}).learner
    assert sac.model.ent_coef_tensor == 0.25
    with pytest.raises(SettingError, match="'clip_range'"):
        sac.set_hyperparameters({"clip_range": 0.3})


def test_weights_that_are_no_numbers_are_a_failure() -> None:
    one = learner("DQN").learner
    one.train(8)
    for parameter in one.model.policy.parameters():
        parameter.data.fill_(float("nan"))
    assert np.isnan(one.evaluate(0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["learner.algorithm=SACK"], "did you mean 'SAC'"),
        (["learner.algorithm=DQN"], "DQN takes discrete actions, Hopper has continuous ones"),
        (["learner.arguments.n_step=4"], "did you mean 'learner.arguments.n_steps'"),
        (["learner.arguments.gamma=0.9"], "learner.gamma=0.9"),
        (["learner.arguments.exploration_fraction=1", "learner.algorithm=DQN", "env=CartPole"], "exploration_eps"),
        (["learner.arguments.train_freq=[1,episode]", "learner.algorithm=TD3"], "a number of steps"),
        (["learner.policy=MlpPolice"], "MlpPolice"),
        (["learner.tau=0.1"], "setting of PPO 'learner.tau'"),
        (["learner.buffer_size=100"], "PPO has no replay buffer"),
        (["learner.arguments.policy_kwargs.activation_fn=Relu"], "torch.nn has no such class"),
        (["space.tau={uniform: [0, 1]}"], "space.tau"),
        (["learner.algorithm=SAC", "learner.buffer_size=1e12", "steps=144e9", "eval_interval=1e9"], "GB together"),
    ],
)
def test_what_cannot_work_is_said_before_the_run(arguments: list[str], words: str) -> None:
    env = [] if any(argument.startswith("env=") for argument in arguments) else ["env=Hopper"]
    with pytest.raises(SettingError) as error:
        resolve(compose(["learner=sb3", *env, *arguments]))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_arguments_in_python_are_the_librarys_own() -> None:
    import torch

    made = adapters.sb3(SAC, "MlpPolicy", "Hopper-v5", ent_coef="auto", tau=0.01, learning_starts=8, gamma=0.99,
                        policy_kwargs={"net_arch": [8], "activation_fn": torch.nn.Tanh}, num_envs=2)  # fmt: skip
    settings = made.resolve({"gamma": 0.9, "arguments": {"gradient_steps": 2}})
    assert settings == SB3.resolve(settings)
    assert (settings["env"]["name"], settings["tau"], settings["gamma"], settings["num_envs"]) == (
        "Hopper-v5", 0.01, 0.9, 2,
    )  # fmt: skip
    assert settings["arguments"] == {
        "learning_starts": 8, "gradient_steps": 2, "policy_kwargs": {"net_arch": [8], "activation_fn": "Tanh"},
    }  # fmt: skip
    assert settings["ent_coef"] is None
    model = made(settings, {}, 0).model  # type: ignore[attr-defined]
    assert (model.n_envs, model.gradient_steps, model.tau) == (2, 2, 0.01)

    class Mine(PPO):
        pass

    for given, words in (((Mine,), "unknown algorithm 'Mine'"), ((PPO, PPO.policy_aliases["MlpPolicy"]), "policy=")):
        with pytest.raises(SettingError, match=words):
            adapters.sb3(*given)


def test_what_a_library_is_needed_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb3_algorithm, "LIBRARY", "stable_baselines_of_nobody")
    with pytest.raises(SettingError, match=r"pip install 'firerl\[sb3\]'"):
        SB3.resolve({})

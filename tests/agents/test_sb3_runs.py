"""Runs with Stable-Baselines3's algorithms: the same anywhere, resumed, and what becomes of the winner."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents_for_tests import ROOT, blocks
from runs_for_tests import StopAt

import firerl
from firerl import api
from firerl.commands import export, play
from firerl.storage.journal.journal_db import Journal
from firerl.winner import network as network_of_run

pytest.importorskip("stable_baselines3", reason="the extra firerl[sb3] is not installed")
NET = {"net_arch": [8, 8]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "PPO": ("Hopper", {"n_steps": 20, "batch_size": 10}),
    "SAC": ("Hopper", {"learning_starts": 8, "batch_size": 8, "train_freq": 4}),
    "TD3": ("Hopper", {"learning_starts": 8, "batch_size": 8, "train_freq": 4}),
    "DQN": ("CartPole", {"learning_starts": 8, "batch_size": 8}),
}
RUN: dict[str, Any] = {
    "population": [2], "evaluators": 0, "algo": "pbt", "steps": 160, "eval_interval": 40, "ready_interval": 80,
    "progress": False, "seed": 2,
}  # fmt: skip


def run(run_dir: Path, algorithm: str, **more: Any) -> Path:
    env, arguments = KINDS[algorithm]
    made = firerl.adapters.sb3(algorithm, "MlpPolicy", env, policy_kwargs=NET, **arguments)
    firerl.run(made, **{**RUN, "engine": "inline", **more}, run_dir=run_dir)
    return run_dir


def digest(run_dir: Path) -> str:
    with closing(Journal.open(run_dir)) as journal:
        return journal.last().hash


@pytest.fixture(scope="module", params=KINDS)
def run_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("sb3") / "run", request.param)


def test_the_winner_plays_and_is_a_policy(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = firerl.load_policy(run_dir)
    learner: Any = network_of_run.build(network_of_run.load(run_dir))
    observations = np.random.default_rng(0).normal(size=(7, *policy.input_shape)).astype(np.float32)
    actions = policy(observations)
    assert np.array_equal(actions, learner.act(observations))
    assert np.array_equal(policy(observations[0]), actions[0]) or np.allclose(policy(observations[0]), actions[0])
    expected, _ = learner.model.policy.predict(observations, deterministic=True)
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-6)
    one, two = (firerl.load_policy(run_dir, sample=True, seed=seed)(observations) for seed in (1, 1))
    assert np.array_equal(one, two)
    assert play.main([str(run_dir), "--episodes", "2"]) == 0
    assert capsys.readouterr().out.count("\nepisode") == 2


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in export.PACKAGES),
    reason="the extra firerl[onnx] is not installed",
)
def test_the_winner_is_exported(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(run_dir), "--onnx", str(tmp_path / "out.onnx")]) == 0
    assert "\nchecked " in capsys.readouterr().out


def test_two_processes_and_a_break_give_the_same_run(tmp_path: Path) -> None:
    """The replay buffer is saved in the middle."""
    whole = run(tmp_path / "whole", "SAC")
    local = run(tmp_path / "local", "SAC", engine="local", processes=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", "SAC", observer=StopAt(3))
    firerl.resume(tmp_path / "broken", progress=False)  # by its name: the class need not be handed in
    assert digest(whole) == digest(local) == digest(tmp_path / "broken")


@pytest.mark.parametrize("source", ["examples/sb3.py", "docs/how-to/stable-baselines3.md"])
def test_four_lines_of_python(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made short."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / source).read_text(encoding="utf-8")
    code = text if source.endswith(".py") else blocks(source, "python")[0]
    short = {**{key: value for key, value in RUN.items() if key != "seed"}, "engine": "inline"}
    monkeypatch.setattr(firerl, "run", lambda made, preset, run_dir: api.run(made, **short, run_dir=run_dir))
    exec(code.replace("n_steps=128", "n_steps=20, batch_size=10"), {})
    assert "CartPole-v1" in capsys.readouterr().out
    assert (tmp_path / "runs/sb3-ppo/result.json").exists()


def test_importing_it_imports_no_library() -> None:
    code = (
        "import sys, firerl; firerl.adapters.sb3; import firerl.agents.adapters.sb3_learner; "
        "assert not {'stable_baselines3', 'sb3_contrib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

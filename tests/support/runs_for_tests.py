"""Runs of a moment with real agents on real tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import firerl
from firerl.session.watching.progress import Round, Silent
from firerl.winner import network as network_of_run

SMALL = {"num_envs": 4, "unroll": 10, "hidden": [16, 16], "epochs": 2, "minibatches": 2, "learning_rate": 0.01}
KINDS = [("vmpo", "CartPole"), ("ppo", "Hopper")]  # discrete; continuous, three actions


def tiny_run(run_dir: Path, learner: Any = "vmpo", env: str = "CartPole", **more: Any) -> Path:
    """Two members of PBT, 160 steps."""
    firerl.run(
        learner,
        **{
            "env": env, "settings": SMALL, "population": [2], "evaluators": 0, "algo": "pbt", "steps": 160,
            "eval_interval": 40, "ready_interval": 80, "engine": "inline", "progress": False, "run_dir": run_dir,
            "seed": 2, **more,
        },
    )  # fmt: skip
    return run_dir


def played(run_dir: Path, count: int = 1, seed: int = 3, mean: bool = True) -> tuple[Any, np.ndarray, np.ndarray]:
    """The learner that play builds, and the observations and actions of its episodes."""
    learner = network_of_run.build(network_of_run.load(run_dir))
    seen, act = [], learner.act  # type: ignore[attr-defined]

    def spy(observations: np.ndarray, *arguments: Any) -> np.ndarray:
        actions = act(observations, *arguments)
        seen.append((observations.copy(), actions))
        return actions

    learner.act = spy  # type: ignore[attr-defined]
    learner.episodes(count, seed, mean)  # type: ignore[attr-defined]
    learner.act = act  # type: ignore[attr-defined]
    observations, actions = zip(*seen, strict=True)
    return learner, np.concatenate(observations), np.concatenate(actions)


class StopAt(Silent):
    """Interrupts a run after some rounds, as Ctrl-C would."""

    def __init__(self, rounds: int):
        self.rounds = rounds

    def round_done(self, round: Round) -> None:
        self.rounds -= 1
        if not self.rounds:
            raise KeyboardInterrupt

"""What the RL evidence compares: tasks with their settings, arms, seeds. Written down before the final seeds ran.

Why these settings: docs/lab/evidence-rl.md, "Settings, chosen before the seeds".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import evidence_grid
from evidence_grid import options_of


@dataclass(frozen=True)
class Task(evidence_grid.Task):
    """Of one environment."""

    fitness_window: int  # evaluations that P1's fitness averages
    pairs: int  # seeds of fire and pbt, at least
    goal: int  # seeds of them, as time allows
    learner: dict[str, Any] = field(default_factory=dict)  # settings beside the task's usual ones


SPACE = {  # two and a half to three orders of magnitude each, about the values that V-MPO's study found
    "learning_rate": {"log_uniform": [1e-5, 1e-2]},
    "eps_eta": {"log_uniform": [2e-3, 1.0]},
    "eps_alpha_mu": {"log_uniform": [3e-4, 0.3]},
    "eps_alpha_sigma": {"log_uniform": [1e-5, 1e-2]},
}
RATE = {"learning_rate": SPACE["learning_rate"]}
TASKS = {
    # Its episodes never end early: four environments instead of eight give twice the points from the same batch.
    "HalfCheetah": Task(
        512_000, 4_000, 32_000, 96_000, 2, 5, 10, {"num_envs": 4, "unroll": 500, "objective_episodes": 4}
    ),
    "Humanoid": Task(250_000, 1_000, 25_000, 75_000, 5, 3, 5),
    "Ant": Task(300_000, 4_000, 20_000, 60_000, 3, 3, 5),
}


@dataclass(frozen=True)
class Arm(evidence_grid.Arm):
    """One algorithm, with one learner."""

    learner: str = "vmpo"
    space: dict[str, Any] | None = None  # None: SPACE
    seeds: int | None = None  # None: as many as the task's pairs or goal


FIRE, PBT = Arm("fire", "fire", (8, 8), 6), Arm("pbt", "pbt")
MAIN = (FIRE, PBT, Arm("random", "random", seeds=3), Arm("constant", "constant", seeds=1, retraced=False))
EXTRA = (
    Arm("fire_lean", "fire_lean", (6, 6), 2),
    Arm("fire 12 + 12 + 9", "fire", (12, 12), 9),
    Arm("pbt 33", "pbt", (33,)),
    Arm("fire without the sign test", "fire", (8, 8), 6, {"binom_test": False}),
    Arm("mfpbt", "mfpbt", (11, 11)),
    Arm("pb2", "pb2"),
    # Why FIRE does as it does: the price of a P1 of eight, and both with one hyperparameter, as on images.
    Arm("pbt 8", "pbt", (8,), retraced=False),
    Arm("fire, learning rate", "fire", (8, 8), 6, space=RATE, retraced=False),
    Arm("pbt, learning rate", "pbt", space=RATE, retraced=False),
)
GROUPS = {"main": MAIN, "extra": EXTRA}


@dataclass(frozen=True)
class Cell(evidence_grid.Cell):
    """One run on one environment."""

    arm: Arm

    def options(self) -> dict[str, Any]:
        task, arm = TASKS[self.task], self.arm
        common = options_of(task, arm, self.seed)
        return common | {
            "learner": arm.learner,
            "env": self.task,
            "settings": task.learner,
            "space": SPACE if arm.space is None else arm.space,
            "algo_settings": {"fitness_window": task.fitness_window, **common["algo_settings"]},
        }


def cells(tasks: Sequence[str], arms: Sequence[Arm], first: int, goal: bool) -> Iterator[Cell]:
    """Seed by seed over all tasks and arms, so that a partial grid is balanced. ``goal``: as many seeds as wished."""
    ends = {name: TASKS[name].goal if goal else TASKS[name].pairs for name in tasks}
    for seed in range(max(ends.values())):
        for task in tasks:
            for arm in arms:
                if seed < min(ends[task], arm.seeds or ends[task]):
                    yield Cell(task, arm, first + seed)

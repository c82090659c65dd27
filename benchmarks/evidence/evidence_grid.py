"""What grids of evidence have in common: a task's budget, an arm, a cell that is one run.

``rl_evidence_grid.py`` and ``images_evidence.py`` say which.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WORKERS = 22


@dataclass(frozen=True)
class Task:
    """A task's budget and cadence, in steps of one worker; the same for every arm."""

    steps: int
    eval_interval: int
    ready_interval: int
    max_eval_steps: int  # of evaluators


@dataclass(frozen=True)
class Arm:
    """One thing that is compared. All arms of a task spend the same steps unless they say otherwise."""

    name: str
    algo: str
    sizes: tuple[int, ...] = (WORKERS,)
    evaluators: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the algorithm, beside the task's
    retraced: bool = True


@dataclass(frozen=True)
class Cell(ABC):
    """One run of a grid, its retraces included."""

    task: str
    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        """For folders and tables."""
        return f"{self.task}-{self.arm.name.replace(' ', '')}-{self.seed}"

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The run as ``firerl.run`` takes it: all that decides its journal."""

    def key(self) -> str:
        """What a finished run is found by: its settings, not its name."""
        return json.dumps(self.options(), sort_keys=True)


def options_of(task: Task, arm: Arm, seed: int) -> dict[str, Any]:
    """What ``firerl.run`` takes of every task and arm; the learner is not among it."""
    limit = {"max_eval_steps": task.max_eval_steps} if arm.evaluators else {}
    return {
        "algo": arm.algo,
        "algo_settings": {**arm.settings, **limit},
        "population": list(arm.sizes),
        "evaluators": arm.evaluators,
        "steps": task.steps,
        "eval_interval": task.eval_interval,
        "ready_interval": task.ready_interval,
        "seed": seed,
    }

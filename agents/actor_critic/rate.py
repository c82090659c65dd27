"""How the learning rate goes on while an agent trains: a factor on ``learning_rate``, copied with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEDULES = ("fixed", "linear", "kl")
_STEP = 1.5  # one change of the factor
_LOWEST, _HIGHEST = 0.01, 30.0


class Schedule:
    """fixed: 1. linear: from 1 to ``_LOWEST`` over ``schedule_steps`` environment steps of learning. kl: a step down
    after an unroll whose last pass went further than twice ``target_kl`` from the policy that acted, a step up after
    one that stayed within half of it.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self.steps = 0  # environment steps that the weights have learned from

    def move(self, settings: Mapping[str, Any], steps: int, kl: float) -> None:
        """After an unroll of so many environment steps, whose last pass ended at ``kl``, in nats."""
        self.steps += steps
        if settings["schedule"] == "linear":
            self.factor = max(1.0 - self.steps / settings["schedule_steps"], _LOWEST)
        elif settings["schedule"] == "kl":
            if kl > 2.0 * settings["target_kl"]:
                self.factor = max(self.factor / _STEP, _LOWEST)
            elif kl < 0.5 * settings["target_kl"]:
                self.factor = min(self.factor * _STEP, _HIGHEST)

    def state(self) -> dict[str, float]:
        return {"factor": self.factor, "steps": self.steps}

    def load(self, state: Mapping[str, float]) -> None:
        self.factor, self.steps = float(state["factor"]), int(state["steps"])

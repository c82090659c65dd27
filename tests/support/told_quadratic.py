"""A learner with metrics and failures, whose runs have something of everything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from firerl.agents.quadratic.learner import Quadratic


class Told(Quadratic):
    """A quadratic with a metric and rare failures."""

    settings: ClassVar[Mapping[str, Any]] = {"dimensions": 20, "kappa": 1.5, "noise": 0.3}

    def train(self, steps: int) -> dict[str, float]:
        super().train(steps)
        return {"lr_used": self.lr, "steps": float(steps)}

    def evaluate(self, seed: int) -> float:
        return math.nan if seed % 150 == 0 else super().evaluate(seed)

"""A learner that costs nothing but its weights, so that what is left of a run is what firerl itself costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from firerl.learner import Hyperparameters, Learner


class Ballast(Learner):
    """Holds weights, all of which change in every round, and reports as many metrics as V-MPO does.

    Its objective rises with the learning rate, under noise: enough for copies, evaluators and promotions to happen.
    """

    space: ClassVar = {"lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-5, 10.0]}}
    settings: ClassVar = {"megabytes": 1.0, "metrics": 12}
    eval_interval: ClassVar = 1

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str):
        size = round(settings["megabytes"] * 250_000)  # of four bytes each
        self.weights = np.random.default_rng(seed).random(size, dtype=np.float32)
        self.progress = 0.0
        self.metrics = [f"metric_{number}" for number in range(settings["metrics"])]
        self.set_hyperparameters(hyperparameters)

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        self.lr = values["lr"]

    def train(self, steps: int) -> dict[str, float]:
        self.weights *= np.float32(0.999)
        self.progress += steps * self.lr
        return dict.fromkeys(self.metrics, self.progress / 3)  # as many digits as a number may have

    def evaluate(self, seed: int) -> float:
        return math.log1p(self.progress) + 0.1 * float(np.random.default_rng(seed).standard_normal())

    def state(self) -> dict[str, Any]:
        return {"weights": {"ballast": self.weights, "progress": self.progress}, "stream": None}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.weights, self.progress = weights["ballast"].copy(), weights["progress"]

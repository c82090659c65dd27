"""Gradient descent on a noisy quadratic: a learner that takes milliseconds, and the example to copy for your own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from firerl.errors import SettingError
from firerl.learner import Hyperparameters, Learner

MOST = 1_000_000  # dimensions: 8 MB a network


class Quadratic(Learner):
    """Minimise 1/2 sum_i h_i theta_i^2 with curvatures h_i = i^-kappa, from theta = 1, with noisy gradients.

    One step is theta -= lr * (h * theta + noise * sqrt(h) * eps), eps standard normal. A high rate crosses the flat
    directions, a low one averages the noise out: greed for early gains lowers the rate too soon. The objective is
    -log10(1/2 sum h theta^2 + 1e-12), exact, so that ``evaluate`` needs no seed.
    """

    space: ClassVar = {"lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-5, 1.0]}}
    settings: ClassVar = {"dimensions": 100, "kappa": 1.5, "noise": 0.3}
    eval_interval: ClassVar = 10

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str):
        self.theta = np.ones(settings["dimensions"])
        power = -float(settings["kappa"])  # not numpy's, which rounds as the processor's vector instructions do
        self.curvature = np.array([i**power for i in range(1, settings["dimensions"] + 1)])
        self.noise = settings["noise"] * np.sqrt(self.curvature)
        self.rng = np.random.default_rng(seed)
        self.set_hyperparameters(hyperparameters)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        complete = super().resolve(settings)
        if type(complete["dimensions"]) is not int or not 1 <= complete["dimensions"] <= MOST:
            raise SettingError(
                f"learner.dimensions must be a whole number from 1 to {MOST}, got {complete['dimensions']!r}"
            )
        for name in ("kappa", "noise"):
            value = complete[name]
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise SettingError(f"learner.{name} must be a number >= 0, got {value!r}")
        return complete

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        self.lr = values["lr"]

    def train(self, steps: int) -> dict[str, float]:
        with np.errstate(over="ignore", invalid="ignore"):  # a rate too high diverges: evaluate says so
            for _ in range(steps):
                gradient = self.curvature * self.theta + self.noise * self.rng.standard_normal(len(self.theta))
                self.theta -= self.lr * gradient
        return {}

    def evaluate(self, seed: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            loss = 0.5 * float(np.sum(self.curvature * self.theta**2))
        return -math.log10(loss + 1e-12) if math.isfinite(loss) else math.nan

    def state(self) -> dict[str, Any]:
        return {"weights": {"theta": self.theta.copy()}, "stream": self.rng.bit_generator.state}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.theta = weights["theta"].copy()
        if stream is not None:
            self.rng.bit_generator.state = stream

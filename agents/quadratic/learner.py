"""Gradient descent on a noisy quadratic: a learner that takes milliseconds, and the example to copy for your own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from firerl.base.settings import setting
from firerl.learner import Hyperparameters, Learner


@dataclass(frozen=True)
class Settings:
    """The problem."""

    dimensions: int = setting(100, "numbers in theta", minimum=1, maximum=1_000_000)  # 8 MB a network
    kappa: float = setting(1.5, "how fast the curvatures i^-kappa fall", minimum=0)
    noise: float = setting(0.3, "standard deviation of a gradient, relative to the root of its curvature", minimum=0)


class Quadratic(Learner):
    """Minimise 1/2 sum_i h_i theta_i^2 with curvatures h_i = i^-kappa, from theta = 1, with noisy gradients.

    One step is theta -= lr * (h * theta + noise * sqrt(h) * eps), eps standard normal. A high rate crosses the flat
    directions, a low one averages the noise out: greed for early gains lowers the rate too soon. The objective is
    -log10(1/2 sum h theta^2 + 1e-12), exact, so that ``evaluate`` needs no seed.
    """

    space: ClassVar = {"lr": {"log_uniform": [1e-3, 1.0], "bounds": [1e-5, 1.0]}}
    Settings = Settings
    eval_interval: ClassVar = 10

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str):
        self.theta = np.ones(settings["dimensions"])
        power = -float(settings["kappa"])  # not numpy's, which rounds as the processor's vector instructions do
        self.curvature = np.array([i**power for i in range(1, settings["dimensions"] + 1)])
        self.noise = settings["noise"] * np.sqrt(self.curvature)
        self.rng = np.random.default_rng(seed)
        self.set_hyperparameters(hyperparameters)

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

"""A learner that keeps the contract, and what it looks like when each part of it is broken."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from firerl.learner import Learner


class Good(Learner):
    """Momentum on a noisy quadratic in five dimensions."""

    space: ClassVar[Mapping[str, Any]] = {
        "lr": {"log_uniform": [1e-3, 0.1]},
        "momentum": {"uniform": [0.0, 0.9]},
    }
    eval_interval = 10

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.rng = np.random.default_rng(seed)
        self.theta, self.velocity = np.ones(5), np.zeros(5)
        self.set_hyperparameters(hyperparameters)

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        self.lr, self.momentum = values["lr"], values["momentum"]

    def noise(self) -> np.ndarray:
        return self.rng.normal(size=5)

    def train(self, steps: int) -> Any:
        for _ in range(steps):
            self.velocity = self.momentum * self.velocity + self.theta + 0.1 * self.noise()
            self.theta = self.theta - self.lr * self.velocity
        return {"norm": float(np.linalg.norm(self.theta))}

    def evaluate(self, seed: int) -> Any:
        return -float(np.sum(self.theta**2))

    def state(self) -> dict[str, Any]:
        weights = {"theta": self.theta, "velocity": self.velocity}
        return {"weights": weights, "stream": {"rng": self.rng.bit_generator.state}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.theta, self.velocity = weights["theta"].copy(), weights["velocity"].copy()
        if stream is not None:
            self.rng.bit_generator.state = stream["rng"]


class GlobalGenerator(Good):
    """Noise from numpy's global generator."""

    def noise(self) -> np.ndarray:
        return np.random.normal(size=5)  # noqa: NPY002


class SeededGlobalGenerator(Good):
    """The same with torch's, seeded in the constructor: one learner alone looks right."""

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        torch.manual_seed(seed)

    def noise(self) -> np.ndarray:
        return torch.randn(5).numpy().astype(float)


class EvaluationOnGlobalGenerator(Good):
    """An objective from Python's global generator."""

    def evaluate(self, seed: int) -> float:
        return super().evaluate(seed) + random.random()


class SharedCounter(Good):
    """A decay that counts in the class, for all learners of the process together."""

    steps = 0

    def train(self, steps: int) -> Any:
        type(self).steps += steps
        self.theta = self.theta / (1 + type(self).steps)
        return super().train(steps)


class ForgottenOptimiser(Good):
    """The velocity is saved nowhere."""

    def state(self) -> dict[str, Any]:
        return {"weights": {"theta": self.theta}, "stream": super().state()["stream"]}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        super().load(weights and {**weights, "velocity": self.velocity}, stream)


class OptimiserNeedsStream(Good):
    """The velocity is loaded only where the stream comes along."""

    def load(self, weights: Any = None, stream: Any = None) -> None:
        velocity = self.velocity
        super().load(weights, stream)
        if stream is None:
            self.velocity = velocity


class OptimiserInStream(Good):
    """The velocity stays with the worker: within the letter of the contract, hardly meant."""

    def state(self) -> dict[str, Any]:
        stream = {**super().state()["stream"], "velocity": self.velocity}
        return {"weights": {"theta": self.theta}, "stream": stream}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.theta = weights["theta"].copy()
        if stream is not None:
            self.velocity, self.rng.bit_generator.state = stream["velocity"].copy(), stream["rng"]


class LeakingEvaluate(Good):
    """evaluate draws from the generator of training."""

    def evaluate(self, seed: int) -> float:
        return super().evaluate(seed) + 0.01 * float(self.noise().sum())


class EvaluateTrains(Good):
    """evaluate changes the weights."""

    def evaluate(self, seed: int) -> float:
        self.theta = self.theta * 0.99
        return super().evaluate(seed)


class EveryCallAnew(Good):
    """train() starts its optimiser anew."""

    def train(self, steps: int) -> Any:
        self.velocity = np.zeros(5)
        return super().train(steps)


class BakedIn(Good):
    """The momentum of the constructor stays."""

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        self.lr = values["lr"]
        self.momentum = getattr(self, "momentum", values["momentum"])


class Rebuilds(Good):
    """New hyperparameters build the optimiser anew."""

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        super().set_hyperparameters(values)
        self.velocity = np.zeros(5)


class HoldsObjects(Good):
    """The generator itself is in the state."""

    def state(self) -> dict[str, Any]:
        return {"weights": super().state()["weights"], "stream": {"rng": self.rng}}


class KeepsWhatItIsGiven(Good):
    """load() takes the array itself, and training writes into it."""

    def load(self, weights: Any = None, stream: Any = None) -> None:
        super().load(weights, stream)
        if weights is not None:
            self.theta = weights["theta"]

    def train(self, steps: int) -> Any:
        self.theta *= 0.999
        return super().train(steps)


class HidesNaN(Good):
    """A diverged network looks like a bad one."""

    def evaluate(self, seed: int) -> float:
        return -float(np.nan_to_num(np.sum(self.theta**2), nan=1e6))


class SilentNaN(Good):
    """A diverged network has nothing to report."""

    def evaluate(self, seed: int) -> float | None:
        value = super().evaluate(seed)
        return value if np.isfinite(value) else None


class Quiet(Good):
    """No objective for a while: within the contract."""

    def evaluate(self, seed: int) -> None:
        return None


class TextObjective(Good):
    """An objective that is no number."""

    def evaluate(self, seed: int) -> str:
        return "good"


class Raises(Good):
    """A bug in train()."""

    def train(self, steps: int) -> Any:
        raise IndexError("no such batch")


MEMORY: dict[str, Any] = {}


class RemembersInModule(Good):
    """Its state is the name of something that lies in the module's memory: another process knows nothing of it."""

    def state(self) -> dict[str, Any]:
        MEMORY["velocity"] = self.velocity
        return {"weights": {"theta": self.theta, "velocity": "velocity"}, "stream": super().state()["stream"]}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        super().load(weights and {**weights, "velocity": MEMORY[weights["velocity"]]}, stream)


class Lacks(Learner):
    """No evaluate, no load."""

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str): ...
    def set_hyperparameters(self, values: Any) -> None: ...
    def train(self, steps: int) -> Any: ...
    def state(self) -> Any: ...


class RefusesLargeSeeds(Good):
    """As libraries do that take C's int."""

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        if seed >= 2**31:
            raise ValueError("a seed above 2^31")
        super().__init__(settings, hyperparameters, seed, device)


class SeedsLegacyGenerators(Good):
    """With the seeds that it is given."""

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        np.random.seed(seed)  # noqa: NPY002

    def evaluate(self, seed: int) -> float:
        np.random.seed(seed)  # noqa: NPY002
        return super().evaluate(seed)


class NoFloats(Good):
    """Weights of which none can be NaN."""

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {
            "weights": {name: value.tolist() for name, value in state["weights"].items()},
            "stream": state["stream"],
        }

    def load(self, weights: Any = None, stream: Any = None) -> None:
        super().load(weights and {name: np.array(value) for name, value in weights.items()}, stream)


class DependsOnProcess(Good):
    """As with hash() of a text, which is another in each process."""

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        self.theta += 1e-3 * (os.getpid() % 1000)


class SeldomClipped(Good):
    """Sound, with a hyperparameter that acts where a step is long, as PPO's clip: not with the middle of the space."""

    space: ClassVar[Mapping[str, Any]] = {**Good.space, "clip": {"uniform": [0.1, 0.3]}}
    eval_interval = 10

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        super().set_hyperparameters(values)
        self.clip = values["clip"]

    def train(self, steps: int) -> Any:
        for _ in range(steps):
            before = self.theta
            metrics = super().train(1)
            self.theta = before + np.clip(self.theta - before, -self.clip, self.clip)
        return metrics


class NeverClipped(SeldomClipped):
    """The same with a clip that is never reached in so few steps."""

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        super().set_hyperparameters(values)
        self.clip = 1e6 * values["clip"]

"""Tiny learners for the tests of engines."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from firerl.learner import Learner


class Walk(Learner):
    """A random walk of three numbers, which does on demand what hyperparameter ``act`` says, at step ``at``."""

    settings: ClassVar[Mapping[str, Any]] = {"folder": "."}

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.folder = Path(settings["folder"])
        self.set_hyperparameters(hyperparameters)
        self.do("init")
        self.generator = np.random.default_rng(seed)
        self.position = torch.from_numpy(self.generator.normal(size=3))
        self.steps = 0

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.do("set")

    def do(self, where: str) -> Any:
        act = self.values.get(where)
        if not isinstance(act, str):
            return act
        if act == "raise":
            raise ZeroDivisionError("as the test wanted")
        if act == "exit":
            raise SystemExit(3)
        if act == "memory":
            raise MemoryError
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "sleep":
            (self.folder / f"{os.getpid()}.pid").touch()
            time.sleep(60)
        return act

    def train(self, steps: int) -> Any:
        for _ in range(steps):
            self.position += self.values["lr"] * torch.from_numpy(self.generator.normal(size=3))
        self.steps += steps
        odd = self.do("train")
        return odd if odd is not None else {"steps": np.int64(self.steps), "loss": torch.tensor(float("nan"))}

    def evaluate(self, seed: int) -> Any:
        odd = self.do("evaluate")
        return odd if odd is not None else self.position.sum() + seed % 7

    def state(self) -> dict[str, Any]:
        odd = self.do("state")
        return {
            "weights": {"position": self.position, "steps": self.steps, "odd": odd},
            "stream": self.generator.bit_generator.state,
        }

    def load(self, weights: Any = None, stream: Any = None) -> None:
        self.do("load")
        if weights is not None:
            self.position, self.steps = weights["position"].clone(), weights["steps"]
        if stream is not None:
            self.generator.bit_generator.state = stream


class Quiet(Walk):
    """Has nothing to report."""

    def evaluate(self, seed: int) -> None:
        return None


class Roped(Walk):
    """Walks that train as one. ``rope: raise`` makes the group raise, but not the member alone."""

    settings: ClassVar[Mapping[str, Any]] = {"folder": ".", "stacked": None}
    reshaping: ClassVar[tuple[str, ...]] = ("size",)

    @classmethod
    def stack(cls, settings: Mapping[str, Any], slots: int, device: str) -> Rope:
        return Rope(slots)


class Rope:
    """Trains its members one after the other, and tells in a metric which slots trained."""

    def __init__(self, slots: int):
        self.slots = slots

    def train(self, members: Sequence[Roped | None], steps: int) -> Any:
        assert len(members) == self.slots
        trained = float(sum(2**slot for slot, member in enumerate(members) if member is not None))
        told: list[Any] = []
        for member in members:
            told.append(None if member is None else {**member.train(steps), "slots": trained})
            if member is not None and member.do("rope") == "short":
                return told[1:]
            if member is not None and member.values.get("rope") == "fail":
                told[-1] = ArithmeticError("it alone")
        return told

"""Quadratics that take their process along, or raise, at a given step of given workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from firerl.agents.quadratic.learner import Quadratic


class died(Exception):
    """What a learner raises that fails as if it had killed its process."""


class Killed(KeyboardInterrupt):
    """Stands for the end of a process, where tests pretend to have some: what no Host takes for a learner's failure."""


class Deadly(Quadratic):
    """``victims``: [its rate, where, the steps behind its network, how].

    A worker is known by the rate that it has. ``where`` is train, evaluate, init or set; ``how`` kill, segfault, hang,
    exit, memory, or once (killed, but never again: a file in ``folder`` says so). With DEADLY=raise in the environment
    they raise an exception of the name that the journal has for the others, with DEADLY=pretend what no Host catches.
    """

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "dimensions": 10, "folder": ".", "victims": []}

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**cls.settings, **settings}

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.own, self.steps = settings, 0
        super().__init__(settings, hyperparameters, seed, device)
        self.strike("init")

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        super().set_hyperparameters(values)
        self.strike("set")

    def train(self, steps: int) -> dict[str, float]:
        self.steps += steps
        self.strike("train")
        return super().train(steps)

    def evaluate(self, seed: int) -> float:
        self.strike("evaluate")
        return super().evaluate(seed)

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {"weights": {**state["weights"], "steps": self.steps}, "stream": state["stream"]}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        super().load(weights, stream)
        if weights is not None:
            self.steps = weights["steps"]

    def strike(self, where: str) -> None:
        """Do what this worker is a victim of."""
        for rate, place, step, how in self.own["victims"]:
            if rate == self.lr and (place, step) == (where, self.steps):
                strike(how, Path(self.own["folder"]))


def strike(how: str, folder: Path) -> None:
    """The end of this process, or of the call."""
    if how == "once" and "DEADLY" in os.environ:
        return
    if os.environ.get("DEADLY") == "raise":
        raise died("as the test wanted")
    if os.environ.get("DEADLY") == "pretend":
        raise Killed
    if how == "once":
        try:
            (folder / "once").touch(exist_ok=False)
        except FileExistsError:
            return
    if how == "segfault":
        import faulthandler

        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        faulthandler._sigsegv()  # type: ignore[attr-defined]
    if how == "memory":
        raise MemoryError
    if how == "exit":
        os._exit(0)
    if how == "hang":
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)

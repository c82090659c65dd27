"""What a run tells while it goes on: the controller speaks, observers (terminal, TensorBoard, yours) listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from firerl.config.run_config import RunConfig
from firerl.evolution.population import State
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal


@dataclass(frozen=True)
class Round:
    """One evaluation point, right after it was decided on."""

    step: int  # of every worker
    state: State  # after the decisions
    point: Point  # the reports and the decisions on them
    committed: bool  # a ready: this is a generation now
    trained_steps: int  # by all workers together in this round
    seconds: float  # wall time of this round
    parts: Mapping[str, float]  # shares of processes x seconds: train, evaluate, idle, decide, copy, save
    eta_seconds: float  # to the end of the run, at the speed so far


class Observer(Protocol):
    """Listens to a run. Nothing it does changes the result."""

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        """A run begins at ``step``: 0, or that of the generation it goes on from (the journal holds all before)."""

    def worker_done(self, done: int, of: int) -> None:
        """In the round under way, so many workers have finished."""

    def round_done(self, round: Round) -> None:
        """A round is over."""

    def note(self, text: str) -> None:
        """One line for the person: a machine failure, a learner failure."""

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        """The run is over; ``result`` is what ``result.json`` holds."""

    def close(self) -> None:
        """No more will come, for whatever reason."""


class Silent:
    """An observer that says nothing; also the base for those that listen to a part."""

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None: ...

    def worker_done(self, done: int, of: int) -> None: ...

    def round_done(self, round: Round) -> None: ...

    def note(self, text: str) -> None: ...

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None: ...

    def close(self) -> None: ...


class Together(Silent):
    """Several observers as one."""

    def __init__(self, *observers: Observer):
        self.observers = observers

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        for observer in self.observers:
            observer.started(config, journal, step, processes)

    def worker_done(self, done: int, of: int) -> None:
        for observer in self.observers:
            observer.worker_done(done, of)

    def round_done(self, round: Round) -> None:
        for observer in self.observers:
            observer.round_done(round)

    def note(self, text: str) -> None:
        for observer in self.observers:
            observer.note(text)

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        for observer in self.observers:
            observer.finished(result, run_dir)

    def close(self) -> None:
        for observer in self.observers:
            observer.close()

"""All that the report tells of a run, read from its folder at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from firerl.config.run_config import RunConfig, window_of
from firerl.evolution.population import Worker, extinct
from firerl.evolution.space import Space
from firerl.evolution.winner import Leader, winner
from firerl.insight.history.history import History, Leg, gather, reading
from firerl.storage.journal.journal_db import Journal
from firerl.summary.tally import Tally, is_number

EVALUATOR = "evaluator"  # the group of all evaluators; members' groups are P1, P2, ...


@dataclass(frozen=True)
class Run:
    """A run up to its last committed generation."""

    config: RunConfig
    history: History
    generation: int
    leader: Leader | None  # the winner, or who is ahead; None: nobody in P1 is healthy
    result: Mapping[str, Any] | None  # of result.json, if it is of this very generation: the run has ended
    seconds: float  # of the machine, over all launches

    @property
    def finished(self) -> bool:
        """Whether the run has ended; else this is how far it has come."""
        return self.result is not None

    @property
    def best(self) -> str:
        """What the leader is called: the winner, once the run has ended."""
        return "winner" if self.finished else "leader"

    @property
    def workers(self) -> Sequence[Worker]:
        """All workers as they began, by id."""
        return self.history.initial.workers

    @cached_property
    def groups(self) -> dict[str, list[int]]:
        """Worker ids by group: P1, P2, ..., and the evaluators last if there are any."""
        groups: dict[str, list[int]] = {}
        for worker in self.workers:
            groups.setdefault(group_of(worker), []).append(worker.id)
        return groups

    @cached_property
    def space(self) -> Space:
        """What is tuned."""
        return Space.parse(self.config.space)

    @cached_property
    def tally(self) -> Tally:
        """What evolution did."""
        tally = Tally()
        tally.add(self.history.decisions)
        return tally

    @cached_property
    def winner_path(self) -> list[Leg]:
        """The past of the winner's network, oldest first."""
        return [] if self.leader is None else self.history.ancestry(self.leader.worker)


def group_of(worker: Worker) -> str:
    """P1, P2, ... or evaluator."""
    return EVALUATOR if worker.is_evaluator else f"P{worker.population}"


def read(run_dir: Path) -> Run:
    """The run in this folder, finished or not. Raises RunFolderError where there is none or it is damaged."""
    with closing(Journal.open(run_dir)) as journal, reading(run_dir):
        with journal.moment():
            config, history = gather(journal)
            generation, timings = journal.last(), journal.timings()
        _check(history, Space.parse(config.space))
        leader = winner(generation.state, generation.decisions, window_of(config))
        seconds = sum(float(timing.get("seconds", 0.0)) for timing in timings)
        return Run(config, history, generation.number, leader, journal.result(generation.hash), seconds)


def _check(history: History, space: Space) -> None:
    """Raise ValueError where the figures could not be drawn: what no run of ours has written."""
    for stretch in (stretch for own in history.stretches.values() for stretch in own):
        if not all(map(is_number, stretch.objectives)):
            raise ValueError(f"worker {stretch.worker} has an objective that is no number")
        for _, values in stretch.settings:
            for d in space.dimensions:
                value = values.get(d.name)
                if not (value in d.choices if d.choices else is_number(value)):
                    raise ValueError(f"worker {stretch.worker} has {d.name}={value!r}")


def progress(run_dir: Path) -> tuple[int, bool]:
    """The last committed generation and whether the run has ended there, at the price of one query."""
    with closing(Journal.open(run_dir)) as journal, reading(run_dir):
        last = journal.last()
        return last.number, extinct(last.state) or journal.result(last.hash) is not None

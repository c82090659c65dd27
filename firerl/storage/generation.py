"""A generation as plain data: what was reported and decided, which files belong to it, its hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firerl.base.disk.files import digest as sha256_of
from firerl.evolution import plain
from firerl.evolution.population import Copy, Decision, Report, StartEvaluator, State
from firerl.evolution.winner import Leader, smoothed_leader
from firerl.storage.journal.journal_file import FORMAT


@dataclass(frozen=True)
class Point:
    """One evaluation point: what was reported and what was decided on it."""

    reports: Sequence[Report]
    decisions: Sequence[Decision]


@dataclass(frozen=True)
class File:
    """A checkpoint file: a worker's state when its generation was saved, before that generation's decisions."""

    worker: int
    generation: int
    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class BestEver:
    """The best smoothed objective of a member of P1 at any ready, and where its state is."""

    worker: int
    step: int
    objective: float
    hyperparameters: Mapping[str, Any]
    file: str


def better(
    best: BestEver | None, state: State, decisions: Sequence[Decision], file: Callable[[int], str]
) -> BestEver | None:
    """``best``, or what a contender has reached at this ready if its smooth curve ends higher; ``file`` names a
    worker's checkpoint."""
    leader = smoothed_leader(state, decisions)
    if leader is None or leader.objective is None or (best is not None and leader.objective <= best.objective):
        return best
    values = state.workers[leader.worker].hyperparameters
    return BestEver(leader.worker, leader.network_step, leader.objective, values, file(leader.holder))


def holders(initial: State, points: Iterable[Point]) -> set[int]:
    """Who had a learner, and so a state to save, at the last of these points: before its decisions are applied, and
    without those that failed there."""
    built, begun = {w.id for w in initial.workers if not w.is_evaluator}, set[int]()
    for point in points:
        built |= begun
        built -= {report.worker for report in point.reports if report.failure is not None}
        begun = {d.worker for d in point.decisions if isinstance(d, Copy | StartEvaluator)}
    return built


@dataclass(frozen=True)
class Generation:
    """The last committed generation: the state after its decisions, and the files from before them."""

    number: int
    step: int
    hash: str
    state: State
    decisions: Sequence[Decision]  # of its last evaluation point: what a resume applies to the files
    files: Mapping[int, File]  # by worker
    best_ever: BestEver | None
    networks: Mapping[int, File] = field(default_factory=dict)  # asynchronous: whose weights each goes on with

    def network_of(self, leader: Leader) -> File | None:
        """The file with the leader's network; None: it has none."""
        return self.networks.get(leader.worker) or self.files.get(leader.holder)


def first_hash(promised: Mapping[str, Any], state: State) -> str:
    """The hash of generation 0: over the promised settings and the first population."""
    text = plain.dumps({"format": FORMAT, "settings": promised, "state": state})
    return sha256_of(text.encode())


def next_hash(previous: str, step: int, points: Sequence[Point]) -> str:
    """The hash of a generation: over the one before it, its step, and all reports and decisions of its points."""
    rows = [{"reports": p.reports, "decisions": [_decision(d) for d in p.decisions]} for p in points]
    text = plain.dumps({"step": step, "points": rows})
    return sha256_of((previous + text).encode())


def _decision(decision: Decision) -> dict[str, Any]:
    return {"kind": plain.decision_kind(decision), **plain.encode(decision)}

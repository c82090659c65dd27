"""Who is ahead: the result of a run is the best member of P1, or of all where no evaluators rank the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from firerl.evolution import curves
from firerl.evolution.exploit import objective_fitness
from firerl.evolution.population import Copy, Decision, Promote, State, Worker, contenders


@dataclass(frozen=True)
class Leader:
    """A contender and who held its network when the states of this generation were saved."""

    worker: int
    holder: int  # the evaluator that was promoted into it at this very point, else the member itself
    objective: float | None  # None: nobody has an objective yet
    network_step: int


def winner(state: State, decisions: Sequence[Decision], fitness_window: int) -> Leader | None:
    """The fittest healthy contender after this point's decisions; None: nobody is healthy."""
    return _leader(state, decisions, lambda worker: objective_fitness(worker, fitness_window))


def smoothed_leader(state: State, decisions: Sequence[Decision]) -> Leader | None:
    """The healthy contender whose smooth curve ends highest."""
    curves.prepare(len(w.curve) for w in contenders(state))
    return _leader(state, decisions, lambda w: float(curves.smooth(np.asarray(w.curve))[-1]) if w.curve else None)


def _leader(state: State, decisions: Sequence[Decision], score: Callable[[Worker], float | None]) -> Leader | None:
    healthy = [w for w in contenders(state) if not w.failed]
    if not healthy:
        return None
    scores: dict[int, float | None] = {w.id: score(w) for w in healthy}

    copied = {d.worker for d in decisions if isinstance(d, Copy)}  # their networks are in nobody's file of their own

    def rank(worker: Worker) -> tuple[bool, bool, float]:
        value = scores[worker.id]
        return value is not None, worker.id not in copied, value if value is not None else 0.0

    best = max(healthy, key=rank)  # of equals the first
    holders = {d.child: d.worker for d in decisions if isinstance(d, Promote)}
    return Leader(best.id, holders.get(best.id, best.id), scores[best.id], best.network_step)

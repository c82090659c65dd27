"""Where a network comes from: its lineage and the hyperparameter schedule it was trained with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from firerl.evolution.population import Copy, Decision, Promote, Set, StartEvaluator, State, Values


@dataclass(frozen=True)
class Segment:
    """A stretch of one network's training, in the network's own steps."""

    worker: int  # who trained it
    origin: str  # how it began: "initial", "copy", "evaluator", "promotion", "set"
    start: int
    end: int
    hyperparameters: Values


@dataclass(frozen=True)
class _Node:
    """An open segment and what came before it; shared by all networks that descend from it."""

    before: _Node | None
    worker: int
    origin: str
    start: int
    hyperparameters: Values


def segments(initial: State, decisions: Iterable[Decision], worker: int, network_step: int) -> list[Segment]:
    """The lineage of the network that ``worker`` holds at ``network_step``, after these decisions, oldest first.

    Goes through copies and through evaluator successes; stretches of no steps are left out.
    """
    nodes = {w.id: _Node(None, w.id, "initial", 0, w.hyperparameters) for w in initial.workers}
    for d in decisions:
        if isinstance(d, Copy):
            nodes[d.worker] = _Node(nodes[d.donor], d.worker, "copy", d.network_step, d.hyperparameters)
        elif isinstance(d, StartEvaluator):
            nodes[d.worker] = _Node(nodes[d.parent], d.worker, "evaluator", d.network_step, d.hyperparameters)
        elif isinstance(d, Promote):
            own = nodes[d.child].hyperparameters
            nodes[d.child] = _Node(nodes[d.worker], d.child, "promotion", d.network_step, own)
        elif isinstance(d, Set):
            nodes[d.worker] = _Node(nodes[d.worker], d.worker, "set", d.network_step, d.hyperparameters)
    result: list[Segment] = []
    node: _Node | None = nodes[worker]
    end = network_step
    while node is not None:
        if node.start < end:
            result.append(Segment(node.worker, node.origin, node.start, end, node.hyperparameters))
        end = min(end, node.start)
        node = node.before
    return result[::-1]


def schedule(lineage: Iterable[Segment]) -> list[dict[str, object]]:
    """The hyperparameters along a lineage: ``{"from": step, "to": step, "hyperparameters": {...}}``, equal
    neighbours joined."""
    rows: list[dict[str, object]] = []
    for segment in lineage:
        values = dict(segment.hyperparameters)
        if rows and rows[-1]["hyperparameters"] == values:
            rows[-1]["to"] = segment.end
        else:
            rows.append({"from": segment.start, "to": segment.end, "hyperparameters": values})
    return rows

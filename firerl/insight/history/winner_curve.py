"""The winner of a run along its lineage: one curve, stitched from the lives of all who trained its network."""

from __future__ import annotations

from dataclasses import dataclass

from firerl.insight.history.history import History


@dataclass(frozen=True)
class CurvePoint:
    """One objective in the past of a network."""

    step: int  # the network's own
    objective: float
    worker: int  # who trained it then
    origin: str  # how that worker came to it: initial, copy, evaluator, promotion


def stitched(history: History, worker: int) -> list[CurvePoint]:
    """The objectives of the network that ``worker`` holds at the end, from its first step on, through every copy and
    promotion. An objective belongs to whoever trained the network when it was reported."""
    points = []
    for leg in history.ancestry(worker):
        stretch = leg.stretch
        for step, objective in zip(stretch.steps, stretch.objectives, strict=True):
            if leg.start < step <= leg.end:
                of_network = stretch.network_step + step - stretch.start
                points.append(CurvePoint(of_network, objective, stretch.worker, stretch.origin))
    return points

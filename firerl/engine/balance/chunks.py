"""An interval's training in chunks: between two of them a worker may go on in another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Metrics = Mapping[str, float]
Parts = Sequence[tuple[int, Metrics]]  # of each chunk: steps, metrics


def sizes(steps: int, chunk: int | None) -> list[int]:
    """The steps of each call of train(); ``chunk``: of all but the last, None: of one for all."""
    if chunk is None or steps <= chunk:
        return [steps]
    return [chunk] * (steps // chunk) + ([steps % chunk] if steps % chunk else [])


def averaged(parts: Parts) -> Metrics:
    """The metrics of an interval from those of its chunks (steps, metrics): each name's mean over the steps of the
    chunks that have it. What is the same in all of them is kept to the bit."""
    names = dict.fromkeys(name for _, metrics in parts for name in metrics)
    return {name: _mean([(steps, metrics[name]) for steps, metrics in parts if name in metrics]) for name in names}


def _mean(values: Sequence[tuple[int, float]]) -> float:
    first = values[0][1]
    if all(value == first for _, value in values):
        return first
    total = sum(steps for steps, _ in values)
    return sum(steps / total * value for steps, value in values)

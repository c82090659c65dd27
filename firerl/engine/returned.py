"""What a learner's calls have returned, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from firerl.base.terminal import clean

MOST_METRICS = 10_000
MOST_NAME = 200  # characters
MOST_LOST = 300  # of what load() says


def metrics_of(returned: Any, call: str = "train()") -> dict[str, float]:
    """What ``call`` returned. Raises TypeError unless it is a mapping of real numbers, ValueError where it has more
    names, or longer ones, than a journal takes."""
    if not isinstance(returned, Mapping):
        raise TypeError(f"{call} returned {_show(returned)}; it must return a dict of metrics, {{}} if there are none")
    if len(returned) > MOST_METRICS:
        raise ValueError(f"{call} returned {len(returned):,} metrics; it may return {MOST_METRICS:,}")
    return {_name(name, call): _real(value, f"the metric {name!r:.80} of {call}") for name, value in returned.items()}


def _name(name: Any, call: str) -> str:
    text = str.__str__(str(name))  # a plain one, whatever its class
    if len(text) > MOST_NAME:
        raise ValueError(
            f"{call} returned a metric whose name has {len(text):,} characters; it may have {MOST_NAME}: {text:.40}..."
        )
    return clean(text)


def objective_of(returned: Any) -> float | None:
    """What ``evaluate`` returned. Raises TypeError unless it is a real number or None."""
    return None if returned is None else _real(returned, "the objective that evaluate() returned")


def _real(value: Any, what: str) -> float:
    """``value`` as a plain float; arrays and tensors without dimensions count as numbers."""
    number = value.item() if getattr(value, "shape", None) == () else value
    if not isinstance(number, int | float | np.floating):
        raise TypeError(f"{what} is {_show(value)}; it must be a real number")
    return float(number)


def _show(value: Any) -> str:
    return f"{value!r:.80} of type {type(value).__name__}"


def lost_of(told: Any) -> str:
    """What load() has lost, in one line; many a learner's returns something else, which means nothing."""
    return clean(" ".join(told.split())[:MOST_LOST]) if isinstance(told, str) else ""

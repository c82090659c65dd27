"""What a learner's calls have returned, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def metrics_of(returned: Any) -> dict[str, float]:
    """What ``train`` returned. Raises TypeError unless it is a mapping of real numbers."""
    if not isinstance(returned, Mapping):
        raise TypeError(f"train() returned {_show(returned)}; it must return a dict of metrics, {{}} if there are none")
    return {str(name): _real(value, f"the metric {name!r} of train()") for name, value in returned.items()}


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

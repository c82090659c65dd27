"""Where a search begins: around the settings of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FACTOR = 3.0  # a first value lies within this factor of the setting


def around(spec: Mapping[str, Sequence[float]], value: float) -> dict[str, Any]:
    """A range of a search space -> first values near ``value``, the range as the bounds to explore in.

    ``spec`` is ``{kind: [low, high]}`` with a logarithmic kind, as in ``space.py``. It stays as it is where it does not
    contain ``value``.
    """
    ((kind, (low, high)),) = spec.items()
    if not low <= value <= high:
        return {kind: [low, high]}
    if kind == "one_minus_log_uniform":
        rest = 1.0 - value
        near = 1.0 - rest * FACTOR, 1.0 - rest / FACTOR
    else:
        near = value / FACTOR, value * FACTOR
    return {kind: [min(max(float(f"{end:.3g}"), low), high) for end in near], "bounds": [low, high]}

"""Where a search begins: around the settings of the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FACTOR = 3.0  # a first value lies within this factor of the setting


def around(spec: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """A range of a search space, as in ``space.py`` -> first values near ``value``, the range as bounds to explore in.

    It stays as it is where it does not contain ``value``, has bounds or first values of its own, or is not logarithmic.
    """
    kind, *more = spec
    if more or kind not in ("log_uniform", "one_minus_log_uniform"):
        return dict(spec)
    low, high = spec[kind]
    if not low <= value <= high:
        return dict(spec)
    if kind == "one_minus_log_uniform":
        rest = 1.0 - value
        near = 1.0 - rest * FACTOR, 1.0 - rest / FACTOR
    else:
        near = value / FACTOR, value * FACTOR
    return {kind: [min(max(float(f"{end:.3g}"), low), high) for end in near], "bounds": [low, high]}

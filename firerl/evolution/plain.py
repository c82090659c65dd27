"""Decision-core data to JSON values and back without loss; NaN and infinities as text.

A float that JSON cannot hold becomes ``{"float": "nan"}``, so that a categorical value "nan" stays a string; a mapping
that looks like that is wrapped, so that a hyperparameter may be called float.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from firerl.evolution.population import (
    Copy,
    Decision,
    Evaluation,
    Fail,
    Promote,
    Report,
    Set,
    StartEvaluator,
    State,
    StopEvaluator,
    Worker,
)

KINDS: dict[str, type] = {
    "copy": Copy,
    "fail": Fail,
    "start_evaluator": StartEvaluator,
    "stop_evaluator": StopEvaluator,
    "promote": Promote,
    "set": Set,
}
_NAMES = {cls: name for name, cls in KINDS.items()}
_AS_THEY_ARE = {int, str, bool, type(None)}
_FIELDS = {cls: [f.name for f in dataclasses.fields(cls)] for cls in (*_NAMES, Report, State, Worker, Evaluation)}
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def encode(value: Any) -> Any:
    """Dataclasses, mappings, sequences and scalars as JSON values."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind in _FIELDS:
        return {name: encode(getattr(value, name)) for name in _FIELDS[kind]}
    if dataclasses.is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        plain = {str(key): encode(item) for key, item in value.items()}
        return {"mapping": plain} if len(plain) == 1 and plain.keys() <= {"float", "mapping"} else plain
    if isinstance(value, list | tuple):
        # A curve is long: no call for each of its numbers.
        return [item if type(item) is float and math.isfinite(item) else encode(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of ``encode`` for everything but dataclasses, which stay mappings, and tuples, which are lists."""
    if isinstance(value, dict):
        if value.keys() == {"float"}:
            return float(value["float"])
        if value.keys() == {"mapping"}:
            value = value["mapping"]
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def dumps(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, floats by repr."""
    return _ENCODER.encode(encode(value))


def loads(text: str) -> Any:
    """What ``dumps`` wrote, as plain mappings and lists."""
    return decode(json.loads(text))


def state_from_plain(plain: Mapping[str, Any]) -> State:
    """The inverse of ``encode`` for a State."""
    workers = []
    for fields in plain["workers"]:
        evaluation = fields["evaluation"]
        workers.append(
            Worker(
                **{
                    **fields,
                    "curve": tuple(fields["curve"]),
                    "evaluation": None if evaluation is None else Evaluation(**evaluation),
                }
            )
        )
    return State(tuple(workers), plain["point"], plain.get("memory", {}))


def decision_kind(decision: Decision) -> str:
    """The name of a decision in the journal."""
    return _NAMES[type(decision)]


def decision_from_plain(kind: str, plain: Mapping[str, Any]) -> Decision:
    """The inverse of ``encode`` for a decision of that kind."""
    decision: Decision = KINDS[kind](**plain)
    return decision


def report_from_plain(plain: Mapping[str, Any]) -> Report:
    """The inverse of ``encode`` for a Report."""
    return Report(**plain)

"""Decision-core data to JSON values and back without loss; NaN and infinities as text.

A float that JSON cannot hold becomes ``{"float": "nan"}``, so that a categorical value "nan" stays a string; a mapping
that looks like that is wrapped, so that a hyperparameter may be called float.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from firerl.base.integers import integer
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

T = TypeVar("T")

LONG = 1 << 20  # characters of JSON, from which on its entries are counted before they are made
CONTAINERS = 2_000_000
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
    """What ``dumps`` wrote, as plain mappings and lists. Raises ValueError, TypeError on anything else."""
    return decode(parsed(text))


def parsed(text: str) -> Any:
    """The JSON values of a text that may be anybody's. Raises ValueError, TypeError."""
    if len(text) > LONG and text.count("{") + text.count("[") + text.count(":") > CONTAINERS:
        raise ValueError(f"it has more than {CONTAINERS:,} entries")
    try:
        return json.loads(text, parse_int=integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def made(cls: type[T], fields: Any) -> T:
    """A dataclass of the core from plain data that may be anybody's. Raises ValueError, TypeError."""
    if not isinstance(fields, Mapping):
        raise ValueError(f"{cls.__name__}: {fields!r:.40} is no mapping")
    known: Any = cls  # mypy knows no hash of a type variable's class
    for name, kinds in _kinds(known).items():
        value = fields.get(name)
        if name in fields and kinds and type(value) not in kinds:
            raise ValueError(f"{cls.__name__}.{name} is {value!r:.40}")
        least = -(2**63) if float in kinds else -1 if name == "evaluated_point" else 0
        if type(value) is int and not least <= value < 2**63:
            raise ValueError(f"{cls.__name__}.{name} is {value!r:.40}")
        if type(value) is dict and name.endswith("hyperparameters"):
            for key, item in value.items():
                if type(item) not in (int, float, str, bool):
                    raise ValueError(f"{cls.__name__}.{name}: {key:.40} is {item!r:.40}")
    return cls(**fields)


@functools.cache
def _kinds(cls: Any) -> dict[str, set[type]]:
    """The types that each field may have as JSON gives them; an empty set: any."""
    known: dict[Any, set[type]] = {int: {int}, float: {float, int}, str: {str}, bool: {bool}, type(None): {type(None)}}
    kinds: dict[str, set[type]] = {}
    for name, hint in get_type_hints(cls).items():
        parts = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if get_origin(hint) is collections.abc.Mapping:
            kinds[name] = {dict}
        else:
            kinds[name] = {kind for part in parts for kind in known[part]} if set(parts) <= known.keys() else set()
    return kinds


def state_from_plain(plain: Mapping[str, Any]) -> State:
    """The inverse of ``encode`` for a State. Raises ValueError, TypeError, LookupError on what is none."""
    workers = []
    for number, fields in enumerate(plain["workers"]):
        evaluation = fields["evaluation"]
        curve = tuple(fields["curve"])
        if not all(type(value) in (float, int) for value in curve):
            raise ValueError(f"the curve of worker {number} holds what is no number")
        measured = None if evaluation is None else made(Evaluation, evaluation)
        workers.append(made(Worker, {**fields, "curve": curve, "evaluation": measured}))
        if workers[-1].id != number:
            raise ValueError(f"worker {number} is called {workers[-1].id}")
    for measured in (worker.evaluation for worker in workers):
        if measured and not (measured.parent < len(workers) and measured.child < len(workers)):
            raise ValueError("an evaluator measures a worker that is not there")
    return made(State, {"workers": tuple(workers), "point": plain["point"], "memory": plain["memory"]})


def decision_kind(decision: Decision) -> str:
    """The name of a decision in the journal."""
    return _NAMES[type(decision)]


def decision_from_plain(kind: str, plain: Mapping[str, Any]) -> Decision:
    """The inverse of ``encode`` for a decision of that kind."""
    decision: Decision = made(KINDS[kind], plain)
    return decision

"""Settings as dataclass fields: one place for a setting's default, help, unit and limits.

``setting()`` declares a field, ``build()`` makes a dataclass from plain data and refuses whatever does not fit, by
name, ``plain()`` turns it back into data that JSON and YAML can hold. Imports nothing heavy.
"""

from __future__ import annotations

import math
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from firerl.base.integers import LEAST, MOST
from firerl.errors import SettingError, unknown

T = TypeVar("T")


def setting(
    default: Any = MISSING,
    help: str = "",
    unit: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    shortest: int = 0,
    name: str = "",
    tunable: bool = False,
) -> Any:
    """A dataclass field with its help and limits; without ``default`` it must be given.

    ``minimum`` and ``maximum`` may be reached, ``above`` and ``below`` may not. Limits of a list hold for each
    element; ``shortest`` is its least length. ``name`` is what a user types, where that is not prefix + field.
    ``tunable``: of a learner, a search space may hold it, since it may change between two calls of ``train``.
    """
    metadata = {
        "help": help,
        "unit": unit,
        "min": minimum,
        "max": maximum,
        "above": above,
        "below": below,
        "choices": tuple(choices),
        "shortest": shortest,
        "name": name,
        "tunable": tunable,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def with_default(cls: type, name: str, default: Any) -> Any:
    """The field ``name`` of ``cls``, for a subclass that has another default."""
    return field(default=default, metadata={f.name: f for f in fields(cls)}[name].metadata)


def defaults(cls: type) -> dict[str, Any]:
    """The defaults of a dataclass as plain data, without the fields that must be given."""
    return {f.name: plain(default) for f in fields(cls) if (default := _default(f)) is not MISSING}


def _default(declared: Any) -> Any:
    return declared.default if declared.default_factory is MISSING else declared.default_factory()


def build(cls: type[T], mapping: Mapping[str, Any], prefix: str = "", kind: str = "setting") -> T:
    """An instance of the dataclass ``cls`` from plain data. Raises SettingError, naming ``prefix`` + the field.

    An unknown field is an unknown ``kind``.
    """
    if not isinstance(mapping, Mapping):
        raise SettingError(f"{prefix.rstrip('.') or cls.__name__}={show(mapping)}: must be a group of settings")
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for given in mapping:
        if given not in known:
            raise unknown(kind, f"{prefix}{given}", [prefix + name for name in known])
    values = {}
    for name, declared in known.items():
        full = declared.metadata.get("name") or prefix + name
        if name in mapping:
            values[name] = convert(full, mapping[name], hints[name], declared.metadata)
        elif declared.default is MISSING and declared.default_factory is MISSING:
            raise SettingError(f"{full} is missing: must be {expected(hints[name], declared.metadata)}")
    return cls(**values)


def convert_field(cls: type, name: str, value: Any, prefix: str = "") -> Any:
    """``value`` for the field ``name`` of ``cls``. Raises SettingError, naming ``prefix`` + the field."""
    limits = {f.name: f for f in fields(cls)}[name].metadata
    return convert(prefix + name, value, get_type_hints(cls)[name], limits)


def convert(name: str, value: Any, hint: Any, limits: Mapping[str, Any] | None = None) -> Any:
    """``value`` as the type ``hint`` asks for, within ``limits`` (a field's metadata). Raises SettingError."""
    limits = limits or {}
    try:
        found = _convert(name, plain(value), hint, limits)
    except (_Unfit, OverflowError):  # an integer too large for a float
        raise SettingError(f"{name}={show(value)}: must be {expected(hint, limits)}") from None
    if _too_long(plain(found)):
        raise SettingError(f"{name}={show(value)}: must have at most 64 bits, as every integer of a run")
    return found


def _too_long(value: Any) -> bool:
    """Whether an integer is in there that no journal holds."""
    if isinstance(value, dict):
        return any(map(_too_long, value.values()))
    if isinstance(value, list):
        return any(map(_too_long, value))
    return isinstance(value, int) and not LEAST <= value <= MOST


def plain(value: Any) -> Any:
    """Nested dataclasses, mappings and tuples as dicts and lists; what numpy, torch and pathlib have their own
    types for as numbers, booleans, lists and texts."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if not isinstance(value, type) and hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()  # numpy's or torch's, neither of which is imported here
    return value


def show(value: Any) -> str:
    """A value on one short line, as a user would type it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, (list, tuple)):
        return _cut(f"[{', '.join(show(item) for item in value)}]", 300)
    if isinstance(value, Mapping):
        return _cut(f"{{{', '.join(f'{key}: {show(item)}' for key, item in value.items())}}}", 300)
    if isinstance(value, int) and value.bit_length() > 1000:  # Python writes none of more than 4,300 digits
        return f"{'-' * (value < 0)}2^{value.bit_length() - 1}..."
    return _cut(" ".join(str(value).split()), 80)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


class Line(NamedTuple):
    """One setting for a help text."""

    name: str
    default: str
    unit: str
    help: str
    tunable: bool = False


def describe(cls: type, prefix: str = "") -> list[Line]:
    """Every setting of a dataclass, nested ones included, for a help text."""
    hints = get_type_hints(cls)
    lines = []
    for declared in fields(cls):
        hint = hints[declared.name]
        full = declared.metadata.get("name") or prefix + declared.name
        if is_dataclass(hint):
            lines += describe(hint, full + ".")  # type: ignore[arg-type]
            continue
        default, told = _default(declared), declared.metadata
        shown = "" if default is MISSING else show(default)
        lines.append(Line(full, shown, told.get("unit", ""), told.get("help", ""), told.get("tunable", False)))
    return lines


def expected(hint: Any, limits: Mapping[str, Any]) -> str:
    """What a setting may be, in words: ``an integer >= 0``."""
    inner = _without_none(hint)
    suffix = " or null" if inner is not hint else ""
    if get_origin(inner) is tuple:
        text = _kind(get_args(inner)[0], limits, plural=True)
        least = f", at least {limits['shortest']} of them" if limits.get("shortest") else ""
        return f"a list of {text}{least}{suffix}"
    return _kind(inner, limits, plural=False) + suffix


class _Unfit(Exception):
    """The value is not what the setting allows."""


def _without_none(hint: Any) -> Any:
    """``X`` for ``X | None``; any other hint as it is."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _kind(hint: Any, limits: Mapping[str, Any], plural: bool) -> str:
    choices = limits.get("choices")
    if choices:
        return ("any of " if plural else "one of ") + ", ".join(map(str, choices))
    one, many = _WORDS.get(get_origin(hint) or hint, ("a value", "values"))
    signs = (("min", ">="), ("above", ">"), ("max", "<="), ("below", "<"))
    told = [(sign, limits[key]) for key, sign in signs if limits.get(key) is not None]
    bounds = [f"{sign} {limit}" if isinstance(limit, int) else f"{sign} {limit:g}" for sign, limit in told]
    return " ".join([many if plural else one, " and ".join(bounds)]).strip()


_WORDS: dict[Any, tuple[str, str]] = {
    int: ("an integer", "integers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "true or false"),
    str: ("a text", "texts"),
    dict: ("a group of settings", "groups of settings"),
}


def _convert(name: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    inner = _without_none(hint)
    if value is None and inner is not hint:
        return None
    if is_dataclass(inner):
        return build(inner, value if isinstance(value, Mapping) else _no_group(name, value), name + ".")  # type: ignore[arg-type]
    if get_origin(inner) is tuple:
        items = list(value) if isinstance(value, (list, tuple)) else [value]  # `logger=tensorboard` is a list of one
        if len(items) < limits.get("shortest", 0):
            raise _Unfit
        return tuple(_convert(name, item, get_args(inner)[0], limits) for item in items)
    converted = _scalar(value, get_origin(inner) or inner)
    _check_limits(name, converted, limits)
    return converted


def _no_group(name: str, value: Any) -> Mapping[str, Any]:
    raise SettingError(f"{name}={show(value)}: must be a group of settings, as in {name}.<setting>=<value>")


def _scalar(value: Any, kind: Any) -> Any:
    if kind is Any:
        return value
    if kind in (int, float):
        # bool is an int to Python, never to a person.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _Unfit
        if kind is float:
            return float(value)
        if value != int(value):  # steps=1e6 is an integer to a person
            raise _Unfit
        return int(value)
    if kind in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _Unfit
        return plain(value)
    if isinstance(kind, type) and not isinstance(value, kind):
        raise _Unfit
    return value


def _check_limits(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    choices: Iterable[str] = limits.get("choices") or ()
    if choices and value not in choices:
        raise unknown(name, value, choices)
    for key, fits in _LIMITS.items():
        limit = limits.get(key)
        if limit is not None and not fits(value, limit):
            raise _Unfit


_LIMITS: dict[str, Any] = {
    "min": lambda value, limit: value >= limit,
    "max": lambda value, limit: value <= limit,
    "above": lambda value, limit: value > limit,
    "below": lambda value, limit: value < limit,
}

"""The arguments of an environment that a person gives: their names, and whether their annotations allow the values.

An annotation says what is allowed, a default does not: ``limit: int | None = 200`` takes null, ``target = 0.5`` without
an annotation takes anything. What an annotation leaves open is left to the environment.
"""

from __future__ import annotations

import enum
import functools
import inspect
import math
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping
from typing import Any

from firerl.base.settings import show
from firerl.errors import SettingError, unknown

LISTS = (list, tuple, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection, abc.Set)
GROUPS = (dict, abc.Mapping, abc.MutableMapping)


def check_arguments(spec: Any, name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise SettingError on an argument that the environment does not have, or a value that its annotation forbids.

    ``spec`` is Gymnasium's record of the environment, ``name`` what a person calls it.
    """
    parameters, open_ended, annotated = _signature(spec)
    for key, value in kwargs.items():
        allowed = ""
        if key == "max_episode_steps":  # gymnasium.make's own
            whole = type(value) is int and value >= 1
            allowed = "" if value is None or whole else "an integer >= 1 or null"
        elif key in parameters:
            same = type(value) is type(parameters[key].default) and value == parameters[key].default
            hint = annotated(parameters[key])
            allowed = "" if same or fits(value, hint) else described(hint)
        elif not open_ended and key not in spec.kwargs:
            known = [f"env.kwargs.{parameter}" for parameter in (*parameters, "max_episode_steps")]
            raise unknown(f"argument of environment {name!r}", f"env.kwargs.{key}", known)
        if allowed:
            raise SettingError(f"env.kwargs.{key}={show(value)}: must be {allowed}")


def known_arguments(spec: Any) -> list[str]:
    """The arguments that an environment names itself; [] where that cannot be seen."""
    return list(_signature(spec)[0])


def _signature(spec: Any) -> tuple[dict[str, inspect.Parameter], bool, Callable[[inspect.Parameter], Any]]:
    """Parameters by name, whether it takes any other besides, and what resolves a parameter's annotation."""
    from gymnasium.envs.registration import load_env_creator

    try:
        creator: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
        found = list(inspect.signature(creator).parameters.values())
    except Exception:  # anybody's code; no signature can be seen
        return {}, True, lambda parameter: Any
    while isinstance(creator, functools.partial):
        creator = creator.func
    function = inspect.unwrap(creator.__init__ if inspect.isclass(creator) else creator)
    names = getattr(function, "__globals__", {})
    parameters = {p.name: p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return parameters, any(p.kind is p.VAR_KEYWORD for p in found), lambda parameter: _hint(parameter, names)


def _hint(parameter: inspect.Parameter, names: dict[str, Any]) -> Any:
    """The annotation, also one that is written as a text; Any where there is none or its names cannot be found."""
    if parameter.annotation is parameter.empty:
        return Any

    def bearer() -> None: ...

    bearer.__annotations__ = {"it": parameter.annotation}
    try:
        return typing.get_type_hints(bearer, globalns=names)["it"]
    except Exception:  # imported for a type checker alone
        return Any


def fits(value: Any, hint: Any) -> bool:
    """Whether a value as YAML has it is what the annotation allows. True where that cannot be told."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool or hint is str:
        return isinstance(value, hint)
    if hint is int:
        return type(value) is int
    if hint is float:
        return type(value) is int or (isinstance(value, float) and not math.isnan(value))
    kind = origin or hint
    if kind in GROUPS:
        return isinstance(value, Mapping)
    if kind in LISTS:
        return isinstance(value, list | tuple) and _items_fit(value, kind, parts)
    return True


def _items_fit(value: list[Any] | tuple[Any, ...], kind: Any, parts: tuple[Any, ...]) -> bool:
    if kind is tuple and parts and parts[-1] is not ...:
        return len(value) == len(parts) and all(map(fits, value, parts))
    return not parts or all(fits(item, parts[0]) for item in value)


def described(hint: Any) -> str:
    """What an annotation allows, in words."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(show(part.value if isinstance(part, enum.Enum) else part) for part in parts)
    plain = {type(None): "null", bool: "true or false", str: "a text", int: "an integer", float: "a number"}
    if hint in plain:
        return plain[hint]
    if (origin or hint) in GROUPS:
        return "a group of settings"
    if origin is tuple and parts and parts[-1] is not ...:
        same = parts[0] if len(set(parts)) == 1 else None
        return f"a list of {len(parts)} {'numbers' if same is float else 'integers' if same is int else 'values'}"
    items = {float: " of numbers", int: " of integers", str: " of texts"}
    return "a list" + (items.get(parts[0], "") if parts else "")

"""The search space: which hyperparameters are tuned, the range each is sampled from and the bounds it explores in.

As a mapping (the form of YAML files and of ``Learner.space``)::

    lr:         {log_uniform: [1e-5, 1e-2], bounds: [1e-6, 1e-1], initial: [1e-3, 3e-4]}
    discount:   {one_minus_log_uniform: [0.9, 0.999]}    # values of x; 1 - x is sampled log-uniformly and multiplied
    entropy:    {uniform: [0.0, 0.1]}
    epochs:     {integer: [1, 10]}                       # both ends included
    optimiser:  {choice: [adam, sgd]}                    # unordered
    batch:      {ordered_choice: [64, 128, 256]}         # explores to a neighbour

A number's range is what first values are drawn from; ``bounds``, where given, contain it and are what exploring stays
in. ``initial`` gives the first members their first values: member i takes ``initial[i]`` while there is one.

Exploring multiplies a number by a factor (one_minus_log_uniform: 1 - x). No factor leads away from 0 or to the other
side of it, so where the bounds of a uniform hyperparameter contain 0 it moves by at least a hundredth of their width,
as an integer moves by at least 1: a factor above 1 leads away from 0 (from 0 itself, up), one below 1 towards 0 and
through it (from 0, down). Where they do not contain 0 the factor is exact. An unordered choice changes to one of the
others, never to itself; an ordered one to a neighbour.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from firerl.errors import SettingError, unknown

Value = float | int | str | bool

_NUMBERS = {  # kind -> what its range must be
    "log_uniform": "two numbers low < high, both > 0",
    "uniform": "two numbers low < high",
    "one_minus_log_uniform": "two numbers low < high < 1",
    "integer": "two whole numbers low < high",
}
_CHOICES = {"choice", "ordered_choice"}
_YAML_STRING = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # numbers that YAML 1.1 reads as strings, like 1e-3


@dataclass(frozen=True)
class Dimension:
    """One tuned hyperparameter. Numbers use low, high, lower and upper; choices use ``choices``."""

    name: str
    kind: str
    low: float = 0.0  # the sampling range
    high: float = 0.0
    lower: float = 0.0  # the bounds to explore in
    upper: float = 0.0
    choices: tuple[Value, ...] = ()
    initial: tuple[Value, ...] = ()

    @property
    def ends(self) -> tuple[Value, ...]:
        """The outermost values that it can take; of choices, all."""
        if self.choices:
            return self.choices
        ends = (min(self.low, self.lower), max(self.high, self.upper))
        return tuple(int(end) for end in ends) if self.kind == "integer" else ends

    def draw(self, u: float) -> Value:
        """The value that ``u``, uniform in [0, 1), stands for in the sampling range."""
        if self.choices:
            return self.choices[int(u * len(self.choices))]
        low, high = self.low, self.high
        if self.kind == "integer":
            return int(min(low + int(u * (high - low + 1)), high))
        if self.kind == "log_uniform":
            x = math.exp(_between(math.log(low), math.log(high), u))
        elif self.kind == "one_minus_log_uniform":
            x = 1.0 - math.exp(_between(math.log1p(-low), math.log1p(-high), u))
        else:
            x = _between(low, high, u)
        return min(max(x, low), high)  # exp(log(x)) may round to the outside

    def explore(self, value: Any, u: float, factors: Sequence[float]) -> Value:
        """``value`` perturbed by the move that ``u``, uniform in [0, 1), picks."""
        if self.choices:
            place = self._index(value)
            return self.choices[self._other(place, u)] if len(self.choices) > 1 else self.choices[0]
        factor = factors[int(u * len(factors))]
        if self.kind == "integer":
            return self._move(int(value), factor)
        if self.kind == "uniform" and self.lower <= 0 <= self.upper:
            return self._move_through_zero(value, factor)
        moved = 1.0 - (1.0 - value) * factor if self.kind == "one_minus_log_uniform" else value * factor
        return self.clip(moved)

    def clip(self, value: Any) -> Value:
        """The nearest value within the bounds. A choice has no nearest: SettingError if it is none of the choices."""
        if self.choices:
            return self.choices[self._index(value)]
        inside = min(max(value, self.lower), self.upper)
        return round(inside) if self.kind == "integer" else float(inside)

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is of the right type and within the bounds, or one of the choices."""
        if self.choices:
            return isinstance(value, Hashable) and value in self._places
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        whole = self.kind != "integer" or float(value).is_integer()
        return whole and self.lower <= float(value) <= self.upper

    def to_plain(self) -> dict[str, Any]:
        """The specification that parses to this dimension."""
        plain: dict[str, Any] = {self.kind: list(self.choices or (self.low, self.high))}
        if (self.lower, self.upper) != (self.low, self.high):
            plain["bounds"] = [self.lower, self.upper]
        if self.initial:
            plain["initial"] = list(self.initial)
        return plain

    def _move(self, value: int, factor: float) -> int:
        # Clipped before it is rounded: a huge product cannot overflow then, and the bounds are whole.
        moved = round(min(max(value * factor, self.lower), self.upper))
        if moved == value and factor != 1:
            away_from_zero = 1 if value >= 0 else -1
            moved += away_from_zero if factor > 1 else -away_from_zero
        return int(min(max(moved, self.lower), self.upper))

    def _move_through_zero(self, value: float, factor: float) -> float:
        least = self.upper / 100 - self.lower / 100  # no upper - lower: that can overflow
        moved = value * factor
        if factor != 1 and not abs(moved - value) >= least:
            moved = value + least if (factor > 1) == (value >= 0) else value - least
        return float(min(max(moved, self.lower), self.upper))

    def _index(self, value: Any) -> int:
        if value not in self._places:
            raise SettingError(f"space.{self.name}: {_short(value)} is none of {_short(list(self.choices))}")
        return self._places[value]

    @cached_property
    def _places(self) -> dict[Value, int]:
        """Where each choice stands: they may be many, and a file may list as many first values."""
        return {value: place for place, value in enumerate(self.choices)}

    def _other(self, place: int, u: float) -> int:
        """Where the choice stands that ``u`` picks of those to change to; there are at least two in all."""
        if self.kind == "ordered_choice":
            near = [i for i in (place - 1, place + 1) if 0 <= i < len(self.choices)]
            return near[int(u * len(near))]
        other = int(u * (len(self.choices) - 1))
        return other + (other >= place)  # never itself


@dataclass(frozen=True)
class Space:
    """All tuned hyperparameters, in the order of the specification. Empty: nothing is tuned."""

    dimensions: tuple[Dimension, ...] = ()

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Space:
        """Read a specification (see the module's docstring). Raises SettingError, one line that names the setting.

        Dimensions are ordered by name: the order in which a file lists them must not decide whose draw is whose.
        """
        if not isinstance(spec, Mapping):
            raise SettingError(f"space needs a mapping from names to ranges, got {spec!r}")
        parsed = (_parse_dimension(name, entry) for name, entry in spec.items())
        return cls(tuple(sorted(parsed, key=lambda dimension: dimension.name)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the hyperparameters, in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    def sample(self, rng: np.random.Generator, member: int) -> dict[str, Any]:
        """First hyperparameters of ``member``: its ``initial`` values, and draws from the ranges for the rest.

        One draw is taken for each dimension, in order, also where ``initial`` decides, so that a change of one
        hyperparameter's entry leaves the others' draws as they were.
        """
        draws = rng.random(len(self.dimensions)).tolist()
        return {
            d.name: d.initial[member] if member < len(d.initial) else d.draw(u)
            for d, u in zip(self.dimensions, draws, strict=True)
        }

    def explore(
        self, values: Mapping[str, Any], rng: np.random.Generator, factors: Sequence[float], resample_probability: float
    ) -> dict[str, Any]:
        """Perturbed hyperparameters, each by its own move, within the bounds.

        A number is multiplied by one of ``factors`` (positive), drawn uniformly (one_minus_log_uniform: 1 - x is), and
        clipped; an integer is rounded and moves by at least 1 in the factor's direction unless a bound or the factor 1
        forbids it, and a uniform number whose bounds contain 0 by at least a hundredth of their width (see the module's
        docstring); an unordered choice changes to one of the others, an ordered one to a neighbour. Instead of this,
        each is drawn from its sampling range with ``resample_probability``. Two draws are taken for each dimension, in
        order. Raises SettingError where ``values`` are not those of this space.
        """
        self._check_names(values)
        draws = rng.random((len(self.dimensions), 2)).tolist()
        return {
            d.name: d.draw(u) if coin < resample_probability else d.explore(values[d.name], u, factors)
            for d, (coin, u) in zip(self.dimensions, draws, strict=True)
        }

    def clip(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The nearest values within the bounds. Raises SettingError on other names or a value that is no choice."""
        self._check_names(values)
        return {d.name: d.clip(values[d.name]) for d in self.dimensions}

    def contains(self, values: Mapping[str, Any]) -> bool:
        """Whether ``values`` has exactly this space's names and lies within the bounds."""
        return set(values) == set(self.names) and all(d.contains(values[d.name]) for d in self.dimensions)

    def to_plain(self) -> dict[str, Any]:
        """The specification as plain dicts, lists and values; ``parse`` of it is equal to this space."""
        return {d.name: d.to_plain() for d in self.dimensions}

    def _check_names(self, values: Mapping[str, Any]) -> None:
        names = dict.fromkeys(self.names)
        for name in values:
            if name not in names:
                raise unknown("hyperparameter", name, self.names)
        missing = [name for name in names if name not in values]
        if missing:
            raise SettingError(f"no value for hyperparameter {missing[0]!r}")


def _between(low: float, high: float, u: float) -> float:
    return (1.0 - u) * low + u * high  # no high - low: that can overflow


def _parse_dimension(name: object, entry: object) -> Dimension:
    if not isinstance(name, str) or not name.isidentifier():
        raise SettingError(f"space: a hyperparameter's name must be an identifier, got {name!r}")
    where = f"space.{name}"
    if not isinstance(entry, Mapping):
        raise SettingError(f"{where} needs a mapping with a kind, like {{uniform: [0, 1]}}, got {entry!r}")
    for key in entry:
        if key not in (*_NUMBERS, *_CHOICES, "bounds", "initial"):
            raise unknown(f"key of {where}", key, [*_NUMBERS, *_CHOICES, "bounds", "initial"])
    kinds = [key for key in entry if key not in ("bounds", "initial")]
    if len(kinds) != 1:
        raise SettingError(
            f"{where} needs one kind out of {', '.join((*_NUMBERS, *sorted(_CHOICES)))}, got {list(entry)}"
        )
    kind = kinds[0]
    dimension = _parse_choices(name, kind, entry) if kind in _CHOICES else _parse_numbers(name, kind, entry)
    return _with_initial(dimension, entry.get("initial", ()))


def _parse_choices(name: str, kind: str, entry: Mapping[str, Any]) -> Dimension:
    if "bounds" in entry:
        raise SettingError(f"space.{name}: {kind} takes no bounds, got {_plain(entry['bounds'])!r}")
    given = _plain(entry[kind])
    choices = [_choice(value) for value in given] if isinstance(given, list) else []
    if not choices or None in choices:
        raise SettingError(f"space.{name}: {kind} needs a list of numbers, strings or booleans, got {_short(given)}")
    seen = set[Value | None]()
    for value in choices:
        if value in seen:  # True == 1 == 1.0: a value must be told apart from the others by ==
            raise SettingError(f"space.{name}: {kind} must not list {value!r} twice, got {_short(given)}")
        seen.add(value)
    return Dimension(name, kind, choices=tuple(value for value in choices if value is not None))


def _parse_numbers(name: str, kind: str, entry: Mapping[str, Any]) -> Dimension:
    low, high = _pair(name, kind, kind, entry[kind])
    lower, upper = _pair(name, kind, "bounds", entry["bounds"]) if "bounds" in entry else (low, high)
    if lower > low or high > upper:
        raise SettingError(f"space.{name}: bounds must contain the range [{low}, {high}], got [{lower}, {upper}]")
    return Dimension(name, kind, low, high, lower, upper)


def _pair(name: str, kind: str, key: str, given: object) -> tuple[float, float]:
    given = _plain(given)
    numbers = [_number(value, kind) for value in given] if isinstance(given, list) else []
    if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None and numbers[0] < numbers[1]:
        low, high = numbers[0], numbers[1]
        if (kind != "log_uniform" or low > 0) and (kind != "one_minus_log_uniform" or high < 1):
            return low, high
    of = "" if key == kind else f" of {kind}"
    raise SettingError(f"space.{name}: {key}{of} needs {_NUMBERS[kind]}, got {_short(given)}")


def _with_initial(dimension: Dimension, given: object) -> Dimension:
    given, where = _plain(given), f"space.{dimension.name}"
    if not isinstance(given, list):
        raise SettingError(f"{where}: initial needs a list of values for the first members, got {_short(given)}")
    initial: list[Value] = []
    for item in given:
        value = _choice(item) if dimension.choices else _number(item, dimension.kind)
        if value is None or not dimension.contains(value):
            allowed = f"one of {_short(list(dimension.choices))}" if dimension.choices else _range_text(dimension)
            raise SettingError(f"{where}: each initial value must be {allowed}, got {_short(item)}")
        initial.append(dimension.clip(value))
    return replace(dimension, initial=tuple(initial))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _range_text(dimension: Dimension) -> str:
    whole = "a whole number" if dimension.kind == "integer" else "a number"
    return f"{whole} in [{dimension.lower}, {dimension.upper}]"


def _plain(given: object) -> object:
    """A list for any sequence (Hydra's ListConfig, a tuple), so that messages show what a person wrote."""
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else given


def _number(value: object, kind: str) -> float | None:
    """``value`` as a finite number of this kind, also from a string; None if it is none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    if kind == "integer":  # up to 2**53 every whole number is a float: the products of exploring are exact enough
        return int(number) if number.is_integer() and abs(number) <= 2**53 else None
    return number


def _choice(value: object) -> Value | None:
    """``value`` as a plain choice; None if it is none. Only strings like 1e-3, numbers to a person, become numbers."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str):
        return float(value) if _YAML_STRING.fullmatch(value) else value
    if isinstance(value, Real) and math.isfinite(value):
        return int(value) if isinstance(value, int | np.integer) else float(value)
    return None

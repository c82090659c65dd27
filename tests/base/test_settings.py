"""Dataclass settings: typed, limited, refused by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from firerl.base.settings import build, describe, plain, setting, show
from firerl.errors import SettingError


@dataclass(frozen=True)
class Inner:
    rate: float | None = setting(None, "how fast", "steps/s", above=0)
    kind: str = setting("plain", choices=("plain", "fancy"))


@dataclass(frozen=True)
class Outer:
    count: int = setting(3, "how many", "workers", minimum=0, maximum=9)
    large: int = setting(0, minimum=0, maximum=2**63 - 1)
    share: float = setting(0.5, above=0, below=1)
    factors: tuple[float, ...] = setting((0.5, 2.0), above=0, shortest=1)
    verbose: bool = False
    name: str = "x"
    extra: dict[str, Any] = setting({})
    size: int = setting(2, name="population.size", minimum=2)
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": -1}, "a.count=-1: must be an integer >= 0 and <= 9"),
        ({"large": -1}, "a.large=-1: must be an integer >= 0 and <= 9223372036854775807"),
        ({"count": 10}, "a.count=10: must be an integer >= 0 and <= 9"),
        ({"count": True}, "a.count=true: must be an integer >= 0 and <= 9"),
        ({"count": 1.5}, "a.count=1.5: must be an integer >= 0 and <= 9"),
        ({"count": "3"}, "a.count=3: must be an integer >= 0 and <= 9"),
        ({"count": None}, "a.count=null: must be an integer >= 0 and <= 9"),
        ({"count": float("nan")}, "a.count=nan: must be an integer >= 0 and <= 9"),
        ({"share": 1}, "a.share=1: must be a finite number > 0 and < 1"),
        ({"share": float("inf")}, "a.share=inf: must be a finite number > 0 and < 1"),
        ({"share": "many"}, "a.share=many: must be a finite number > 0 and < 1"),
        ({"factors": []}, "a.factors=[]: must be a list of finite numbers > 0, at least 1 of them"),
        ({"factors": [1, -1]}, "a.factors=[1, -1]: must be a list of finite numbers > 0, at least 1 of them"),
        ({"verbose": 1}, "a.verbose=1: must be true or false"),
        ({"name": 1}, "a.name=1: must be a text"),
        ({"extra": [1]}, "a.extra=[1]: must be a group of settings"),
        ({"size": 1}, "population.size=1: must be an integer >= 2"),
        ({"inner": 3}, "a.inner=3: must be a group of settings, as in a.inner.<setting>=<value>"),
        ({"inner": {"rate": 0}}, "a.inner.rate=0: must be a finite number > 0 or null"),
        ({"inner": {"rate": 10**400}}, "must be a finite number > 0 or null"),
        ({"inner": {"kind": "fance"}}, "unknown a.inner.kind 'fance': did you mean 'fancy'?"),
        ({"inner": {"rat": 1}}, "unknown setting 'a.inner.rat': did you mean 'a.inner.rate'?"),
        ({"cuont": 1}, "unknown setting 'a.cuont': did you mean 'a.count'?"),
    ],
)
def test_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        build(Outer, given, "a.")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_accepts_what_a_person_means() -> None:
    made = build(Outer, {"count": 9.0, "share": 0.25, "factors": 2, "inner": {"rate": 1}})
    assert (made.count, made.share, made.factors, made.inner.rate) == (9, 0.25, (2.0,), 1.0)
    assert isinstance(made.count, int)
    assert isinstance(made.inner.rate, float)


def test_a_setting_without_default_must_be_given() -> None:
    @dataclass
    class Needy:
        steps: int = setting(minimum=1)

    with pytest.raises(SettingError, match="steps is missing: must be an integer >= 1"):
        build(Needy, {})


def test_plain_and_back() -> None:
    made = build(Outer, {"extra": {"a": (1, {"b": None})}, "inner": {"kind": "fancy"}})
    assert build(Outer, json.loads(json.dumps(plain(made)))) == made


def test_defaults_are_not_shared() -> None:
    build(Outer, {}).extra["dirt"] = 1
    assert build(Outer, {}).extra == {}


def test_describe_lists_nested_settings_with_units() -> None:
    lines = {line.name: line for line in describe(Outer, "a.")}
    assert lines["a.count"] == ("a.count", "3", "workers", "how many", False)
    assert lines["a.inner.rate"].unit == "steps/s"
    assert "population.size" in lines


def test_show_is_one_short_line() -> None:
    assert show([1, "a", None, True]) == "[1, a, null, true]"
    assert show({"a": [True], "b": {"c": None}}) == "{a: [true], b: {c: null}}"
    assert len(show("x\n" * 200)) == 80
    assert len(show([1] * 1000)) == len(show({"a": "x " * 30, "b": [1] * 1000})) == 300

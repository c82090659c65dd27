"""Numbers and lists as a person reads them."""

from __future__ import annotations

import math

import pytest
from simulate import ALL_KINDS

from firerl.evolution.space import Space
from firerl.summary import in_words

DIMENSIONS = {d.name: d for d in Space.parse(ALL_KINDS).dimensions}


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (240_000, "240,000"),
        (41.04, "41"),
        (1234.6, "1,235"),
        (0.0015500001, "0.00155"),
        (1e-5, "1e-5"),
        (-29.51, "-29.5"),
        (0.0, "0"),
        (999.7, "1,000"),
        (2.5e20, "2.5e20"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (7, "7"),
    ],
)
def test_numbers(x: float, text: str) -> None:
    assert in_words.number(x) == text


def test_signs() -> None:
    assert [in_words.signed(x) for x in (41.2, -0.5, 0.0)] == ["+41.2", "-0.5", "0"]


@pytest.mark.parametrize(
    ("x", "other", "texts"),
    [
        (412.2, 412.4, ("412.2", "412.4")),
        (412.0, 310.0, ("412", "310")),
        (5.0, 5.0, ("5", "5")),
        (0.0099951, 0.01, ("0.009995", "0.01")),
    ],
)
def test_two_numbers_that_differ_look_different(x: float, other: float, texts: tuple[str, str]) -> None:
    assert in_words.apart(x, other) == texts


def test_lists() -> None:
    assert [in_words.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th",
    ]  # fmt: skip
    assert in_words.workers([3]) == "member 3"
    assert in_words.workers([0, 1, 2, 3]) == "members 0 to 3"
    assert in_words.workers([0, 1], "evaluator") == "evaluators 0 and 1"
    assert in_words.workers([1, 4, 6]) == "members 1, 4 and 6"
    assert (in_words.plural(1, "copy", "copies"), in_words.plural(1200, "point")) == ("1 copy", "1,200 points")


def test_changes_say_by_which_factor() -> None:
    old = {"lr": 0.01, "discount": 0.99, "epochs": 4, "optimiser": "adam", "batch": 64, "nesterov": True, "shift": 0.0}
    new = {
        "lr": 0.008,
        "discount": 0.98,
        "epochs": 10,
        "optimiser": "sgd",
        "batch": 128,
        "nesterov": True,
        "shift": 0.5,
    }
    assert in_words.changes(old, new, DIMENSIONS).split(", ", 2)[:2] == [
        "batch 64 -> 128",
        "discount 0.99 -> 0.98 (1 - discount x 2)",
    ]
    text = in_words.changes(old, new, DIMENSIONS)
    assert "epochs 4 -> 10 (x 2.5, its bound)" in text
    assert "lr 0.01 -> 0.008 (x 0.8)" in text
    assert "nesterov True (as it was)" in text
    assert "optimiser adam -> sgd" in text
    assert "shift 0 -> 0.5 (+0.5)" in text


def test_a_run_that_tunes_nothing() -> None:
    assert in_words.hyperparameters({}) == "no hyperparameters"


def test_a_small_change_is_not_a_factor_of_1() -> None:
    assert in_words.changes({"lr": 0.01}, {"lr": 0.010001}, DIMENSIONS) == "lr 0.01 -> 0.010001 (x 1.0001)"
    text = in_words.changes({"discount": 0.99}, {"discount": 0.990001}, DIMENSIONS)
    assert text == "discount 0.99 -> 0.990001 (1 - discount x 0.9999)"


def test_values_are_short() -> None:
    assert [in_words.value_text(v) for v in (3.1e-4, 0.9995, 1e-5, 0.0, 16, "adam", float("nan"))] == [
        "3.1e-4", "0.9995", "1e-5", "0", "16", "adam", "nan",
    ]  # fmt: skip
    assert in_words.spread_text([1, 4, 2]) == ("2", "[1..4]")
    assert in_words.spread_text(["a", "b", "a"]) == ("2 a, 1 b", "")
    assert in_words.spread_text([]) == ("", "")
    assert [in_words.objective_text(v) for v in (None, 1.5, -12345.67, 1e7)] == ["-", "1.500", "-12345.7", "1.00e+07"]
    assert [in_words.duration_text(s) for s in (5, 65, 3661)] == ["0:05", "1:05", "1:01:01"]

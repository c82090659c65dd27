"""How a failure is told: whatever an exception does, there is a short text that can be shown and written."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from firerl.engine.failures import MOST_TEXT, cause_of, failure_of, message_of
from firerl.engine.returned import metrics_of
from firerl.learner import check_multiple


class Raises(Exception):
    def __str__(self) -> str:
        raise self


class RaisesExit(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NoText(Exception):
    def __str__(self) -> Any:
        return 7


class Odd(str):
    def split(self, *_: Any) -> Any:
        raise ValueError

    def __getitem__(self, _: Any) -> Any:
        raise ValueError


class OddText(Exception):
    def __str__(self) -> str:
        return Odd("odd")


class OddCause(Exception):
    @property
    def __notes__(self) -> Any:
        raise RaisesExit


BADLY_BEHAVED = [
    (Raises(), "Raises", ""),
    (RaisesExit(), "RaisesExit", ""),
    (NoText(), "NoText", ""),
    (OddText(), "OddText", "odd"),
    (OddCause("told"), "OddCause", "told"),
    (asyncio.CancelledError(), "CancelledError", ""),
    (GeneratorExit("out"), "GeneratorExit", "out"),
    (ValueError("a\nb\x1b[31m\udc80"), "ValueError", "a b\\x1b[31m\\udc80"),
    (ExceptionGroup("two", [Raises(), ValueError()]), "ExceptionGroup", "two (2 sub-exceptions)"),
    (type("X" * 10**6, (Exception,), {})("long"), "X" * 100, "long"),
]


@pytest.mark.parametrize(("error", "kind", "message"), BADLY_BEHAVED)
def test_every_exception_has_a_text(error: BaseException, kind: str, message: str) -> None:
    try:
        raise error
    except BaseException as raised:
        failure = failure_of(raised)
    assert (failure.kind, failure.message) == (kind, message)
    assert failure.line.endswith(")")
    assert "(test_failures.py:" in failure.line
    assert failure.line.isprintable()
    assert len(failure.line) < 500
    failure.text.encode()
    assert len(failure.text) < 2 * MOST_TEXT
    assert "test_failures.py" in failure.text


def test_the_place_is_in_the_learners_own_code() -> None:
    """Not in the library that it called, be it Python's, an installed one or ours."""
    calls = (
        lambda: json.loads("{"),
        lambda: np.linalg.inv(np.zeros((2, 2))),
        lambda: check_multiple("steps", 1, 2, "b"),
    )
    for call in calls:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            call()
        assert "(test_failures.py:" in failure_of(raised.value).line
    assert failure_of(ValueError("never raised")).line == "ValueError: never raised"


def test_long_texts_are_cut() -> None:
    failure = failure_of(ValueError("x" * 70_000_000))
    assert len(failure.text) < 2 * MOST_TEXT
    assert "characters left out" in failure.text
    assert len(failure.line) < 500


def test_the_users_own_interrupt_is_no_failure() -> None:
    class Slow(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        message_of(Slow())


def test_what_an_error_came_of_is_found_also_in_a_ring() -> None:
    first, second = ValueError(), OSError()
    first.__cause__ = second
    assert cause_of(first, OSError) is second
    second.__cause__ = first
    assert cause_of(first, KeyError) is None


def test_metrics_are_bounded_and_cleaned_at_the_door() -> None:
    assert metrics_of({"a\x1b\udc80": 1, Odd("b"): np.float32(2.0), 3: True}) == {"a\\x1b\\udc80": 1, "b": 2, "3": 1}
    assert {type(name) for name in metrics_of({Odd("b"): 1})} == {str}
    with pytest.raises(ValueError, match="has 70,000,000 characters; it may have 200: kkk"):
        metrics_of({"k" * 70_000_000: 1.0})
    with pytest.raises(ValueError, match=r"10,001 metrics; it may return 10,000"):
        metrics_of(dict.fromkeys(range(10_001), 0.0))
    with pytest.raises(OverflowError):
        metrics_of({"a": 10**400})
    with pytest.raises(TypeError, match="'kkkkk"):
        metrics_of({"a": "k" * 10**6})

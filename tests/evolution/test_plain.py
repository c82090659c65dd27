"""Decision-core data as text and back, exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from simulate import Scenario, scenarios

from firerl.evolution import plain
from firerl.evolution.algorithms import fire
from firerl.evolution.population import (
    Copy,
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

steps = st.integers(0, 2**63 - 1)  # more is no count, and is refused
numbers = st.floats() | st.sampled_from([-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2])
texts = st.text() | st.sampled_from(["nan", "inf", "-inf", "float", "mapping", "null", "true", "1e5"])
names = st.sampled_from(["lr", "float", "mapping", "nan", "worker", "curve", "list"]) | st.text(min_size=1)
scalars = numbers | steps | texts | st.booleans()
values = st.dictionaries(names, scalars, max_size=3)
metrics = st.dictionaries(names, numbers, max_size=3)
maybe = st.none() | numbers
evaluations = st.builds(Evaluation, steps, steps, steps)
workers = st.builds(
    Worker,
    steps,
    steps,
    st.booleans(),
    values,
    steps,
    steps,
    steps,
    steps,
    st.lists(numbers, max_size=4).map(tuple),
    st.integers(-1, 2**63 - 1),
    st.none() | evaluations,
    st.booleans(),
)
reports = st.builds(Report, steps, steps, maybe, metrics, st.none() | texts)
decisions = st.one_of(
    st.builds(Copy, steps, steps, steps, steps, values, values, maybe, maybe, st.booleans()),
    st.builds(Fail, steps, steps, texts),
    st.builds(StartEvaluator, steps, steps, steps, steps, steps, values, st.booleans()),
    st.builds(StopEvaluator, steps, steps, steps, steps, texts, steps, maybe, maybe),
    st.builds(Promote, steps, steps, steps, steps, steps, steps, numbers, numbers),
    st.builds(Set, steps, steps, steps, values),
)
nested = st.recursive(
    st.none() | scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2)
)
memories = st.dictionaries(names, nested, max_size=2)


def numbered(given: list[Worker]) -> tuple[Worker, ...]:
    """Workers as a state has them: called by their place, evaluations of workers that are there."""
    made = []
    for number, worker in enumerate(given):
        measured = worker.evaluation
        if measured is not None:
            there = {"parent": measured.parent % len(given), "child": measured.child % len(given)}
            measured = replace(measured, **there)
        made.append(replace(worker, id=number, evaluation=measured))
    return tuple(made)


states = st.builds(State, st.lists(workers, max_size=3).map(numbered), steps, memories)


def exact(value: Any) -> str:
    """All of a value: types, NaN, the sign of zero; mappings without their order."""
    if isinstance(value, dict):
        return repr(sorted((key, exact(item)) for key, item in value.items()))
    if hasattr(value, "__dataclass_fields__"):
        return type(value).__name__ + exact(dict(vars(value)))
    if isinstance(value, list | tuple):
        return type(value).__name__ + repr([exact(item) for item in value])
    return f"{type(value).__name__} {value!r}"


def check_text(text: str) -> None:
    """Real JSON, which has no NaN, in ASCII, written the same way again."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert text.isascii()
    assert text == json.dumps(json.loads(text, parse_constant=refuse), sort_keys=True, separators=(",", ":"))


@given(states)
@hypothesis_settings(deadline=None, database=None, derandomize=True)
def test_states_round_trip(state: State) -> None:
    text = plain.dumps(state)
    check_text(text)
    back = plain.state_from_plain(plain.loads(text))
    assert exact(back) == exact(state)
    assert plain.dumps(back) == text


@given(decisions)
@hypothesis_settings(deadline=None, database=None, derandomize=True)
def test_decisions_round_trip(decision: Any) -> None:
    text = plain.dumps(decision)
    check_text(text)
    back = plain.decision_from_plain(plain.decision_kind(decision), plain.loads(text))
    assert exact(back) == exact(decision)


@given(reports)
@hypothesis_settings(deadline=None, database=None, derandomize=True)
def test_reports_round_trip(report: Report) -> None:
    assert exact(plain.made(Report, plain.loads(plain.dumps(report)))) == exact(report)


@given(nested)
@hypothesis_settings(deadline=None, database=None, derandomize=True)
def test_any_nesting_round_trips(value: Any) -> None:
    assert exact(plain.loads(plain.dumps(value))) == exact(value)


@pytest.mark.parametrize(
    "value",
    [
        {"float": "adam"},
        {"float": "nan"},
        {"float": math.nan},
        {"float": 1.5},
        {"float": {"float": "nan"}},
        {"mapping": {"float": "nan"}},
        {"mapping": {"mapping": {}}},
        {"lr": math.inf, "optimiser": "nan", "text": "Infinity"},
        [-0.0, 0.0, -math.inf, 2**62 + 1, True, 1, 1.0, None],
    ],
)
def test_awkward_values(value: Any) -> None:
    assert exact(plain.loads(plain.dumps(value))) == exact(value)


def test_the_kinds_have_names() -> None:
    assert plain.decision_kind(Fail(0, 1, "NaN")) == "fail"
    assert set(plain.KINDS) == {"copy", "fail", "start_evaluator", "stop_evaluator", "promote", "set"}


@given(scenarios())
@hypothesis_settings(max_examples=15, deadline=None, database=None, derandomize=True)
def test_a_run_goes_on_alike_from_its_text(scenario: Scenario) -> None:
    """What a resume reads is what the run had: the next decisions are the same."""
    for t in scenario.simulate().log:
        before = plain.state_from_plain(plain.loads(plain.dumps(t.before)))
        told = [plain.made(Report, plain.loads(plain.dumps(r))) for r in t.reports]
        after, made = fire.decide(t.setup, t.settings, before, told)
        assert plain.dumps([after, made]) == plain.dumps([t.after, t.decisions])
        assert before == t.before

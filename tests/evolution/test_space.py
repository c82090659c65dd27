"""The search space: what is read, what is refused, and that sampling and exploring stay inside."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firerl.errors import SettingError
from firerl.evolution.space import Space

FACTORS = (0.5, 0.8, 1.25, 2.0)
EVERYTHING: dict[str, Any] = {
    "lr": {"log_uniform": [1e-5, 1e-2], "bounds": [1e-6, 1e-1], "initial": [1e-3, 3e-4]},
    "cost": {"uniform": [0, 1]},
    "discount": {"one_minus_log_uniform": [0.9, 0.999], "bounds": [0.5, 0.9999]},
    "epochs": {"integer": [1, 10], "initial": [4]},
    "optimiser": {"choice": ["adam", "sgd", "rmsprop"]},
    "batch": {"ordered_choice": [64, 128, 256, 512]},
    "nesterov": {"choice": [True, False], "initial": [False]},
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def dimensions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["log_uniform", "uniform", "one_minus_log_uniform", "integer", "choice"]))
    if kind == "choice":
        kind = draw(st.sampled_from(["choice", "ordered_choice"]))
        return {kind: draw(st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True))}
    if kind == "integer":
        numbers: list[Any] = draw(st.lists(st.integers(-50, 50), min_size=4, max_size=4, unique=True))
    else:
        low, high = {
            "log_uniform": (1e-300, 1e300),
            "uniform": (-1e300, 1e300),
            "one_minus_log_uniform": (-5.0, 1 - 1e-15),
        }[kind]
        numbers = draw(st.lists(st.floats(low, high), min_size=4, max_size=4, unique=True))
    lower, low, high, upper = numbers = sorted(numbers)
    return {kind: [low, high], "bounds": [lower, upper], "initial": draw(st.lists(st.sampled_from(numbers)))}


spaces = st.dictionaries(st.sampled_from("abcdefgh"), dimensions(), max_size=4)


@settings(max_examples=200, deadline=None)
@given(spaces, st.integers(0, 2**32), st.sampled_from([0.0, 0.3]))
def test_sampling_stays_in_the_range_and_exploring_in_the_bounds(spec: dict, seed: int, resample: float) -> None:
    space, draws = Space.parse(spec), rng(seed)
    values = space.sample(draws, member=99)
    for d in space.dimensions:
        assert d.choices or d.low <= values[d.name] <= d.high
    for _ in range(12):
        assert space.contains(values)
        assert space.clip(values) == values
        assert all(type(value) in (int, float, str, bool) for value in values.values())
        values = space.explore(values, draws, (*FACTORS, 1e9, 1e-9), resample)


@settings(max_examples=100, deadline=None)
@given(spaces)
def test_round_trip_through_json(spec: dict) -> None:
    space = Space.parse(spec)
    assert Space.parse(space.to_plain()) == space
    assert Space.parse(json.loads(json.dumps(space.to_plain()))) == space
    assert space.names == tuple(sorted(spec))
    assert hash(space) == hash(Space.parse(space.to_plain()))


@settings(max_examples=100, deadline=None)
@given(st.integers(-30, 30), st.integers(0, 2**32))
def test_an_integer_moves_in_the_direction_of_its_factor_unless_a_bound_forbids(value: int, seed: int) -> None:
    space = Space.parse({"n": {"integer": [-30, 30]}})
    for factor in FACTORS:
        moved = space.explore({"n": value}, rng(seed), [factor], 0.0)["n"]
        assert moved != value or abs(value) == 30
        if value > 0:
            assert (moved >= value) == (factor > 1)
    assert space.explore({"n": value}, rng(seed), [1.0], 0.0) == {"n": value}


@pytest.mark.parametrize(
    ("value", "factor", "expected"),
    [(1, 0.5, 0), (1, 1.25, 2), (2, 1.25, 3), (0, 2.0, 1), (0, 0.5, 0), (4, 0.8, 3), (8, 2.0, 10), (10, 1.25, 10)],
)
def test_integer_moves_by_hand(value: int, factor: float, expected: int) -> None:
    assert Space.parse({"n": {"integer": [0, 10]}}).explore({"n": value}, rng(), [factor], 0.0) == {"n": expected}


def test_numbers_move_by_a_factor_and_are_clipped() -> None:
    space = Space.parse({k: EVERYTHING[k] for k in ("lr", "cost", "discount")})
    moved = space.explore({"lr": 1e-3, "cost": 0.8, "discount": 0.99}, rng(), [2.0], 0.0)
    assert moved == {"lr": 2e-3, "cost": 1.0, "discount": pytest.approx(0.98)}
    low = space.explore({"lr": 1e-6, "cost": 0.0, "discount": 0.9999}, rng(), [0.5], 0.0)
    assert low == {"lr": 1e-6, "cost": 0.0, "discount": 0.9999}


@pytest.mark.parametrize(
    ("bounds", "value", "factor", "expected"),
    [
        ([0.0, 0.1], 0.0, 2.0, 0.001),  # a hundredth of the width, up
        ([0.0, 0.1], 0.0, 0.5, 0.0),  # down: the bound
        ([0.0, 0.1], 0.04, 1.25, 0.05),  # the factor moves it further than that: it is exact
        ([0.0, 0.1], 0.0015, 0.5, 0.0005),  # by .00075 alone
        ([0.0, 0.1], 0.0005, 0.8, 0.0),
        ([-1.0, 1.0], 0.01, 0.8, -0.01),  # through 0
        ([-1.0, 1.0], -0.01, 0.5, 0.01),
        ([-1.0, 1.0], -0.01, 2.0, -0.03),  # away from 0
        ([-1.0, 1.0], 0.0, 1.25, 0.02),
        ([-1.0, 1.0], 0.0, 0.8, -0.02),
        ([-1.0, 0.0], 0.0, 0.5, -0.01),
        ([-1.0, 1.0], 0.005, 1.0, 0.005),  # the factor 1 forbids it
        ([-1.0, 1.0], 0.9, 2.0, 1.0),
        ([0.001, 0.1], 0.002, 0.5, 0.001),  # no 0 between the bounds: the factor alone
        ([0.001, 0.1], 0.002, 1.25, 0.0025),
        ([-3.0, -1.0], -2.0, 1.25, -2.5),
        ([-1e308, 1e308], 0.0, 2.0, 2e306),
    ],
)
def test_uniform_moves_around_zero_by_hand(bounds: list[float], value: float, factor: float, expected: float) -> None:
    moved = Space.parse({"x": {"uniform": bounds}}).explore({"x": value}, rng(), [factor], 0.0)["x"]
    assert moved == pytest.approx(expected, rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("entry", [
    {"uniform": [0.0, 0.1], "initial": [0.0]},
    {"uniform": [0.01, 0.02], "bounds": [0.0, 0.1]},
    {"uniform": [-1.0, 1.0]},
    {"uniform": [-1e-9, 1e9]},
    {"uniform": [-0.5, 0.0]},
    {"integer": [0, 4], "initial": [0]},
    {"integer": [-9, 9]},
])  # fmt: skip
def test_wherever_it_starts_exploring_reaches_all_parts(entry: dict[str, Any]) -> None:
    """Ten equal parts of the bounds, from either of them and from the value next to 0."""
    space, draws = Space.parse({"x": entry}), rng()
    (d,) = space.dimensions
    for start in (d.lower, d.upper, d.clip(0)):
        value, seen = {"x": start}, set()
        for _ in range(3000):
            value = space.explore(value, draws, FACTORS, 0.0)
            assert d.lower <= value["x"] <= d.upper
            seen.add(min(9, int(10 * (value["x"] - d.lower) / (d.upper - d.lower))))
        assert len(seen) >= (4 if d.lower == 0 and d.upper == 4 else 10 if d.kind == "uniform" else 9)


@given(st.floats(1e-6, 1.0), st.floats(1.5, 1e6), st.floats(0, 1), st.sampled_from(FACTORS))
def test_where_all_values_are_positive_the_papers_factors_are_exact(
    low: float, ratio: float, place: float, factor: float
) -> None:
    value = low * ratio**place
    for kind in ("uniform", "log_uniform"):
        space = Space.parse({"x": {kind: [low, low * ratio]}})
        expected = min(max(value * factor, low), low * ratio)
        assert space.explore({"x": value}, rng(), [factor], 0.0)["x"] == expected


def test_an_unordered_choice_never_redraws_itself_and_takes_the_others_alike() -> None:
    space, draws = Space.parse({"o": {"choice": ["a", "b", "c", "d"]}}), rng()
    moves = [space.explore({"o": "b"}, draws, FACTORS, 0.0)["o"] for _ in range(3000)]
    assert {o: 900 < moves.count(o) < 1100 for o in "abcd"} == {"a": True, "b": False, "c": True, "d": True}
    assert "b" not in moves


def test_many_choices_and_many_dimensions_are_read_in_no_time() -> None:
    """They may come from a file: nothing looks for each in a list of all."""
    began = time.process_time()
    names = [f"name{i}" for i in range(50_000)]
    space = Space.parse({"o": {"choice": names, "initial": names[::-1]}})
    assert space.sample(rng(), 1) == {"o": "name49998"}
    assert all(space.contains({"o": name}) and space.clip({"o": name}) for name in names)
    wide = Space.parse({name: {"uniform": [0, 1]} for name in names[:5000]})
    wide.explore(wide.clip(wide.sample(rng(), 0)), rng(), FACTORS, 0.0)
    with pytest.raises(SettingError, match="must not list 'name7' twice") as caught:
        Space.parse({"o": {"choice": [*names, "name7"]}})
    assert len(str(caught.value)) < 500
    assert time.process_time() - began < 4  # some .5 s


def test_each_hyperparameter_draws_its_own_factor_uniformly() -> None:
    space, draws = Space.parse({n: {"log_uniform": [1e-3, 1e3]} for n in "ab"}), rng()
    moves = [tuple(space.explore({"a": 1.0, "b": 1.0}, draws, FACTORS, 0.0).values()) for _ in range(3200)]
    assert len(set(moves)) == 16
    assert min(moves.count(move) for move in set(moves)) > 140  # 200 expected, standard deviation 14


def test_choices_move_to_others_and_ordered_ones_to_neighbours() -> None:
    space, draws = Space.parse({"a": {"choice": ["a", "b", "c"]}, "b": {"ordered_choice": [1, 2, 3, 4]}}), rng()
    seen = {v: {tuple(space.explore({"a": v, "b": b}, draws, FACTORS, 0.0).values()) for _ in range(60)}
            for v, b in (("a", 1), ("b", 2), ("c", 4))}  # fmt: skip
    assert seen == {
        "a": {("b", 2), ("c", 2)},
        "b": {("a", 1), ("a", 3), ("c", 1), ("c", 3)},
        "c": {("a", 3), ("b", 3)},
    }
    alone = Space.parse({"o": {"choice": ["a"]}})
    assert alone.explore({"o": "a"}, draws, FACTORS, 0.0) == {"o": "a"}


def test_resampling_takes_fresh_values_from_the_range() -> None:
    space, draws = Space.parse({"lr": EVERYTHING["lr"]}), rng()
    fresh = [space.explore({"lr": 0.1}, draws, FACTORS, 0.25)["lr"] for _ in range(1000)]
    resampled = [x for x in fresh if x < 0.04]
    assert 200 < len(resampled) < 300
    assert all(1e-5 <= x <= 1e-2 for x in resampled)
    assert {round(x, 9) for x in fresh if x not in resampled} == {0.05, 0.08, 0.1}


def test_samples_are_log_uniform_where_said() -> None:
    space, draws = Space.parse(EVERYTHING), rng()
    samples = [space.sample(draws, 5) for _ in range(2000)]
    assert np.median([s["lr"] for s in samples]) == pytest.approx(math.sqrt(1e-7), rel=0.2)
    assert np.median([s["cost"] for s in samples]) == pytest.approx(0.5, abs=0.05)
    assert np.median([1 - s["discount"] for s in samples]) == pytest.approx(0.01, rel=0.2)
    counts = np.bincount([s["epochs"] for s in samples])[1:]
    assert len(counts) == 10
    assert counts.min() > 140


def test_first_members_take_the_initial_values() -> None:
    space = Space.parse(EVERYTHING)
    first, second, third = (space.sample(rng(1), member) for member in range(3))
    assert (first["lr"], first["epochs"], first["nesterov"]) == (1e-3, 4, False)
    assert second["lr"] == 3e-4
    assert third["lr"] not in (1e-3, 3e-4)
    assert first["discount"] == second["discount"] == third["discount"]  # initial values shift nobody's draw


def test_a_change_to_one_hyperparameter_leaves_the_draws_of_the_others() -> None:
    space = Space.parse(EVERYTHING)
    values = space.sample(rng(1), 7)
    wider = Space.parse({**EVERYTHING, "epochs": {"uniform": [0, 1]}, "zeal": {"uniform": [0, 1]}})
    changed = wider.sample(rng(1), 7)
    assert {k: v for k, v in changed.items() if k not in ("epochs", "zeal")} == {
        k: v for k, v in values.items() if k != "epochs"
    }


def test_contains_and_clip() -> None:
    space = Space.parse({"lr": EVERYTHING["lr"], "n": EVERYTHING["epochs"], "o": EVERYTHING["optimiser"]})
    good = {"lr": 0.1, "n": 3, "o": "sgd"}
    assert space.contains(good)
    for bad in ({"lr": 0.2}, {"lr": "x"}, {"lr": True}, {"lr": math.nan}, {"n": 2.5}, {"n": 11}, {"o": "lion"}):
        assert not space.contains({**good, **bad})
    assert not space.contains({"lr": 0.1})
    assert not space.contains({**good, "x": 1})
    assert space.clip({"lr": 7, "n": 2.7, "o": "sgd"}) == {"lr": 0.1, "n": 3, "o": "sgd"}
    assert type(space.clip(good)["n"]) is int
    with pytest.raises(SettingError, match=r"space\.o: 'lion' is none of"):
        space.clip({**good, "o": "lion"})
    with pytest.raises(SettingError, match="no value for hyperparameter 'n'"):
        space.explore({"lr": 0.1, "o": "sgd"}, rng(), FACTORS, 0.0)
    with pytest.raises(SettingError, match="did you mean 'lr'"):
        space.clip({**good, "lrr": 1})


def test_an_empty_space_tunes_nothing() -> None:
    space = Space.parse({})
    assert space.sample(rng(), 0) == space.explore({}, rng(), FACTORS, 0.5) == space.to_plain() == {}
    assert space.contains({})


def test_numbers_that_yaml_reads_as_strings() -> None:
    given_as_strings = {
        "lr": {"log_uniform": ["1e-5", "1e-2"], "initial": ["1e-3"]},
        "n": {"integer": ["1e1", 100.0]},
        "c": {"choice": ["1e-3", "adam", "12"]},
    }
    space = Space.parse(given_as_strings)
    assert space == Space.parse(
        {
            "lr": {"log_uniform": [1e-5, 1e-2], "initial": [1e-3]},
            "n": {"integer": [10, 100]},
            "c": {"choice": [0.001, "adam", "12"]},
        }
    )
    assert type(space.to_plain()["n"]["integer"][0]) is int


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"log_uniform": [0.01, 1e-5]},
         "space.lr: log_uniform needs two numbers low < high, both > 0, got [0.01, 1e-05]"),
        ({"log_uniform": [0, 1]}, "both > 0, got [0, 1]"),
        ({"uniform": [1, 1]}, "uniform needs two numbers low < high, got [1, 1]"),
        ({"uniform": [1]}, "got [1]"),
        ({"uniform": "0"}, "got '0'"),
        ({"uniform": [0, math.nan]}, "got [0, nan]"),
        ({"uniform": [0, "inf"]}, "got [0, 'inf']"),
        ({"uniform": [False, 1]}, "got [False, 1]"),
        ({"uniform": [0, 10**400]}, "uniform needs two numbers"),
        ({"one_minus_log_uniform": [0.9, 1]}, "low < high < 1, got [0.9, 1]"),
        ({"integer": [1, 2.5]}, "integer needs two whole numbers low < high, got [1, 2.5]"),
        ({"integer": [1, 1e300]}, "integer needs two whole numbers"),
        ({"uniform": [0, 1], "bounds": [0.5, 2]}, "bounds must contain the range [0.0, 1.0], got [0.5, 2.0]"),
        ({"log_uniform": [1, 2], "bounds": [0, 2]}, "bounds of log_uniform needs two numbers low < high, both > 0"),
        ({"uniform": [0, 1], "initial": [2]}, "each initial value must be a number in [0.0, 1.0], got 2"),
        ({"uniform": [0, 1], "initial": 0.5}, "initial needs a list of values for the first members, got 0.5"),
        ({"integer": [0, 9], "initial": [2.5]}, "must be a whole number in [0, 9], got 2.5"),
        ({"choice": ["a"], "initial": ["b"]}, "each initial value must be one of ['a'], got 'b'"),
        ({"choice": []}, "choice needs a list of numbers, strings or booleans, got []"),
        ({"choice": [None]}, "got [None]"),
        ({"choice": ["a", "a"]}, "choice must not list 'a' twice"),
        ({"choice": [1, True]}, "choice must not list True twice"),
        ({"choice": ["a"], "bounds": [0, 1]}, "choice takes no bounds"),
        ({"log_unifrom": [1, 2]}, "unknown key of space.lr 'log_unifrom': did you mean 'log_uniform'?"),
        ({"uniform": [0, 1], "choice": [1]}, "space.lr needs one kind"),
        ({"initial": [1]}, "space.lr needs one kind"),
        ([0, 1], "space.lr needs a mapping with a kind"),
        (None, "space.lr needs a mapping with a kind"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_one_line(entry: object, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        Space.parse({"lr": entry})
    assert message in str(caught.value)
    assert "lr" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", [None, [], {1: {"uniform": [0, 1]}}, {"a b": {"uniform": [0, 1]}}, {"": {}}])
def test_names_and_the_whole_are_checked(spec: Any) -> None:
    with pytest.raises(SettingError, match=r"^space"):
        Space.parse(spec)


def test_the_order_of_a_file_decides_nothing() -> None:
    spec = {"b": {"uniform": [0, 1]}, "a": {"log_uniform": [1e-3, 1]}, "c": {"choice": ["x", "y", "z"]}}
    backwards = dict(reversed(spec.items()))
    first, second = Space.parse(spec), Space.parse(backwards)
    assert first == second
    assert first.sample(np.random.default_rng(1), 0) == second.sample(np.random.default_rng(1), 0)

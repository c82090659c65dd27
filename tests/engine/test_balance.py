"""Workers go to where they are done earlier; what they compute stays the same."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firerl
from firerl.engine.balance.balance import MOVE_SECONDS, Balance, moves
from firerl.engine.inline import InlineEngine
from firerl.engine.interface import MachineFailure, Outcome
from firerl.engine.local.sharing import LEAST_GAIN
from firerl.engine.placement import Placement, trips
from firerl.storage.journal.journal_db import Journal


def settled(cost: list[float], slowness: list[float], readies: int = 6) -> tuple[Placement, int]:
    """Where workers live after so many readies, and how many moved at the last; worker w takes ``cost[w]`` seconds
    in a process of slowness 1."""
    placement, balance = Placement(len(slowness)), Balance()
    moved = 0
    for _ in range(readies):
        for _ in range(3):
            for worker, seconds in enumerate(cost):
                taken = seconds * slowness[placement.process_of(worker)]
                balance.hear(placement, Outcome(worker, train_seconds=0.9 * taken, evaluate_seconds=0.1 * taken))
        after = balance.after(placement)
        moved = len(list(trips(placement, after)))
        placement = after
    return placement, moved


def idle_share(placement: Placement, cost: list[float], slowness: list[float]) -> float:
    """The share of the processes' time that nobody uses."""
    loads = [0.0] * len(slowness)
    for worker, seconds in enumerate(cost):
        process = placement.process_of(worker)
        loads[process] += seconds * slowness[process]
    return 1 - sum(loads) / (len(loads) * max(loads))


@pytest.mark.parametrize(
    ("slowness", "before", "after"),
    [
        ([1, 1], 0.0, 0.0),
        ([1, 2], 1 - 33 / 44, 1 - 29 / 30),  # 11 + 11, then 15 + 7
        ([1, 1, 1], 1 - 22 / 24, 1 - 22 / 24),  # 8 + 7 + 7
        ([1, 1, 2], 1 - 29 / 42, 1 - 26 / 27),  # 8 + 7 + 7, then 9 + 9 + 4
        ([1, 1, 1, 1], 1 - 22 / 24, 1 - 22 / 24),
        ([1, 1, 1, 2], 1 - 27 / 40, 1 - 25 / 28),  # 6 + 6 + 5 + 5, then 7 + 6 + 6 + 3
    ],
)
def test_22_workers_one_process_at_half_speed(slowness: list[float], before: float, after: float) -> None:
    cost = [10.0] * 22
    assert idle_share(Placement(len(slowness)), cost, slowness) == pytest.approx(before)
    placement, moved = settled(cost, slowness)
    assert idle_share(placement, cost, slowness) == pytest.approx(after)
    assert not moved


def test_workers_of_unequal_cost_are_not_taken_for_slow_processes_for_long() -> None:
    """Worker 0 and 2 cost much wherever they are: it looks as if their process were slow, until they move."""
    cost, slowness = [80.0, 10.0, 160.0, 10.0, 20.0, 10.0], [1.0, 1.0]
    placement, moved = settled(cost, slowness)
    assert idle_share(placement, cost, slowness) < 0.1
    assert not moved


SECONDS = st.dictionaries(st.integers(0, 40), st.floats(0, 1000), min_size=1, max_size=20)


@given(SECONDS, st.integers(1, 5))
def test_a_move_pays(seconds: dict[int, float], processes: int) -> None:
    """By what is known when it is decided; the same question has the same answer."""
    places = {unit: unit % processes for unit in seconds}
    found = moves(seconds, places, processes, lambda old, new: 1.0)
    assert all(found[unit] != places[unit] and 0 <= found[unit] < processes for unit in found)

    def busiest(where: dict[int, int]) -> float:
        return max(sum(taken for unit, taken in seconds.items() if where[unit] == p) for p in range(processes))

    gain = busiest(places) - busiest({**places, **found})
    assert gain > MOVE_SECONDS * len(found) - 1e-9 if found else gain == 0
    assert moves(seconds, places, processes, lambda old, new: 1.0) == found


@given(SECONDS)
def test_two_equal_processes_come_near_each_other(seconds: dict[int, float]) -> None:
    """They differ by at most the largest unit afterwards, or the gain is not worth the moves."""
    places = dict.fromkeys(seconds, 0)
    after = {**places, **moves(seconds, places, 2, lambda old, new: 1.0)}
    loads = [sum(taken for unit, taken in seconds.items() if after[unit] == p) for p in range(2)]
    little = MOVE_SECONDS * len(seconds) + 2 * LEAST_GAIN * sum(seconds.values())
    assert abs(loads[0] - loads[1]) <= max(seconds.values()) + little + 1e-9


def test_whole_groups_move_and_those_alone_stay() -> None:
    placement, balance = Placement(2, stacked=2, alone=(1,)), Balance()
    for worker, seconds in {0: 8.0, 1: 900.0, 2: 7.0, 3: 7.0, 4: 8.0, 5: 8.0, 8: 7.0, 9: 7.0}.items():
        balance.hear(placement, Outcome(worker, train_seconds=seconds))
    after = balance.after(placement)  # groups 0, 2 and 4 were in process 0, group 1 in process 1
    assert list(trips(placement, after)) == [([8, 9], 0, 1)]
    assert after.process_of(1) == 2
    assert balance.after(after) is after


@pytest.mark.parametrize(("alone", "moving"), [(0, [1]), (1, [0]), (4, [0, 1])])
def test_the_others_of_a_group_move_whoever_of_it_is_alone(alone: int, moving: list[int]) -> None:
    before = Placement(2, stacked=2, alone=(alone,))
    after = replace(before, moved={0: 1})
    assert list(trips(before, after)) == [(moving, 0, 1)]
    assert {after.process_of(worker) for worker in moving} == {1}


def test_learners_that_are_built_slowly_move_for_a_larger_gain_only() -> None:
    placement, balance = Placement(2), Balance()

    def trip_count() -> int:
        for worker, seconds in enumerate((3.0, 1.0, 3.0, 1.0, 3.0, 3.0)):
            balance.hear(placement, Outcome(worker, train_seconds=seconds))
        return len(list(trips(placement, balance.after(placement))))

    assert trip_count() == 1
    balance.took(10.0, 1)
    assert trip_count() == 0


def test_a_move_that_fails_costs_no_second_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without memory for one more worker, say."""
    settings: Any = {
        "population": [2, 2], "evaluators": 2, "steps": 80, "ready_interval": 20, "engine": "inline", "logger": "none",
        "progress": False,
    }  # fmt: skip
    firerl.run("quadratic", run_dir=tmp_path / "1", **settings)
    calls = []

    def fail(_: InlineEngine) -> int:
        calls.append(1)
        raise MachineFailure("no memory", moving=True)

    monkeypatch.setattr(InlineEngine, "balance", fail)
    firerl.run("quadratic", run_dir=tmp_path / "2", **settings)
    assert len(calls) == 1
    hashes = []
    for name in ("1", "2"):
        with closing(Journal.open(tmp_path / name)) as journal:
            hashes.append(journal.hashes())
    assert hashes[0] == hashes[1]

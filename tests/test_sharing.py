"""Two processes share a worker where whole workers leave one of them waiting; what is computed stays the same."""

from __future__ import annotations

import contextlib
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from deadly_learners import Deadly
from hypothesis import given
from hypothesis import strategies as st
from learners_for_tests import Walk

import firerl
from firerl import checkpoint, files
from firerl.engine import make_engine
from firerl.engine.balance import Balance
from firerl.engine.base import Advance, Create, LearnerSpec, MachineFailure, Outcome, Transfer
from firerl.engine.local import LocalEngine
from firerl.engine.placement import Placement, Share, trips
from firerl.engine.sharing import LEAST_GAIN, shares
from firerl.journal_db import Journal

CHUNKS = 10


def loads_of(placement: Placement, cost: list[float], slowness: list[float]) -> list[float]:
    """Seconds of work of each process in the next interval."""
    loads = [0.0] * len(slowness)
    for worker, seconds in enumerate(cost):
        home = placement.process_of(worker)
        share = placement.shared.get(worker, Share(home, 1, 0))
        count = share.first + share.last
        loads[home] += seconds * slowness[home] * share.first / count
        loads[share.process] += seconds * slowness[share.process] * share.last / count
    return loads


def settled(cost: list[float], slowness: list[float], readies: int = 6) -> Placement:
    """Where workers live after so many readies; worker w takes ``cost[w]`` seconds in a process of slowness 1."""
    placement, balance = Placement(len(slowness)), Balance(chunk=1)
    for _ in range(readies):
        for _ in range(3):
            balance.asked([Advance(0, CHUNKS, 0)])
            for worker, seconds in enumerate(cost):
                alone = replace(placement, moved={**placement.moved}, shared={})
                share = placement.shared.get(worker)
                pace = slowness[alone.process_of(worker)]
                if share:
                    pace = (pace * share.first + slowness[share.process] * share.last) / CHUNKS
                trip = 0.01 if share else 0.0
                balance.hear(placement, Outcome(worker, train_seconds=seconds * pace, trip_seconds=trip))
            placement = placement.gone_on(placement.shared)
        placement = balance.after(placement)
    return placement


@pytest.mark.parametrize(
    ("workers", "slowness"),
    [(22, [1, 1, 1]), (22, [1, 1, 1, 1]), (22, [1, 1, 2]), (22, [1, 1, 1, 2]), (22, [1.0] * 16), (3, [1, 1])],
)
def test_less_than_a_tenth_is_idle_where_whole_workers_leave_more(workers: int, slowness: list[float]) -> None:
    loads = loads_of(settled([10.0] * workers, slowness), [10.0] * workers, slowness)
    assert 1 - sum(loads) / (len(loads) * max(loads)) < 0.06


def test_where_whole_workers_fit_nobody_is_shared() -> None:
    assert not settled([10.0] * 22, [1, 1]).shared


def test_one_worker_cannot_be_in_two_places_at_once() -> None:
    assert not settled([10.0], [1, 1]).shared


def test_groups_are_never_shared() -> None:
    balance, placement = Balance(chunk=1), Placement(2, stacked=2)
    balance.asked([Advance(0, CHUNKS, 0)])
    for worker in range(6):
        balance.hear(placement, Outcome(worker, train_seconds=5.0))
    assert not balance.after(placement).shared


@given(
    st.dictionaries(st.integers(0, 40), st.floats(0, 1000), min_size=1, max_size=20),
    st.integers(1, 5),
    st.integers(2, 20),
    st.floats(0, 5),
)
def test_a_share_pays_and_is_of_whole_chunks(
    seconds: dict[int, float], processes: int, chunks: int, trip: float
) -> None:
    places = {unit: unit % processes for unit in seconds}
    found = shares(seconds, places, processes, lambda old, new: 1.0, chunks, trip)
    loads = [0.0] * processes
    for unit, taken in seconds.items():
        loads[places[unit]] += taken
    before, slowest = max(loads), loads.index(max(loads))
    for unit, share in found.items():
        assert share.process != places[unit]
        assert (share.first + share.last, min(share.first, share.last) > 0) == (chunks, True)
        loads[places[unit]] += trip - seconds[unit] * share.last / chunks
        loads[share.process] += trip + seconds[unit] * share.last / chunks
    assert max(loads) <= before * (1 + 1e-9)
    assert loads[slowest] <= before * (1 - LEAST_GAIN if found else 1) + 1e-9
    assert shares(seconds, places, processes, lambda old, new: 1.0, chunks, trip) == found


def test_a_shared_worker_goes_to_and_fro() -> None:
    placement = Placement(3, shared={4: Share(2, 7, 3)})
    assert placement.process_of(4) == 1
    there = placement.gone_on([4])
    assert (there.process_of(4), there.shared[4]) == (2, Share(1, 3, 7))
    back = there.gone_on([4])
    assert (back.process_of(4), back.shared[4]) == (1, Share(2, 7, 3))
    assert not list(trips(placement, back))


SPEC = LearnerSpec(Walk, {"folder": "."}, chunk=10)
TO_AND_FRO = {0: Share(1, 1, 3), 2: Share(1, 3, 1), 3: Share(0, 2, 2), 4: Share(1, 2, 2), 5: Share(0, 2, 2)}


@pytest.mark.parametrize("name", ["local", "ray", "simulated"])
def test_workers_that_are_shared_go_on_as_they_would_have(name: str) -> None:
    """Both ways at once; one fails in its first chunk, one has a failure to tell, one does not train."""
    if name == "ray":
        pytest.importorskip("ray")
    seen = []
    for shared in ({}, TO_AND_FRO):
        with contextlib.closing(make_engine(name, SPEC, 2, 60.0)) as engine:
            acts: list[dict[str, Any]] = [{}, {}, {}, {"train": "raise"}, {"init": "raise"}, {}]
            engine.create([Create(w, {"lr": 0.1 * (w + 1), **act}, 100 + w) for w, act in enumerate(acts)])
            engine._placement = replace(engine._placement, shared=shared)  # type: ignore[attr-defined]
            told: list[Any] = []
            for workers in ((0, 1, 2, 3, 4), (0, 1, 2)):
                for outcome in engine.advance([Advance(w, 40, 7 + w) for w in workers], lambda _: None):
                    told.append((outcome.worker, outcome.objective, repr(outcome.metrics), outcome.failure))
                engine.transfer([Transfer(1, 2, {"lr": 0.7})])
            told += [files.digest(checkpoint.dumps(engine.weights(worker))) for worker in (0, 1, 2, 5)]
            homes = engine._placement  # type: ignore[attr-defined]
            assert [homes.process_of(worker) for worker in (0, 2)] == [0, 0]  # there and back
            seen.append(told)
    assert seen[0] == seen[1]
    assert [failure for *_, failure in seen[0][3:5]] == ["ZeroDivisionError", "ZeroDivisionError"]


@pytest.mark.parametrize("at", [10, 30])
def test_a_death_in_a_part_of_an_interval_says_who_was_at_work(at: int) -> None:
    spec = LearnerSpec(Deadly, Deadly.resolve({"victims": [[0.2, "train", at, "segfault"]]}), chunk=10)
    with LocalEngine(spec, 2) as local:
        local.create([Create(worker, {"lr": rate}, worker) for worker, rate in enumerate((0.1, 0.2, 0.5))])
        local._placement = replace(local._placement, shared={1: Share(0, 2, 2)})
        with pytest.raises(MachineFailure, match="SIGSEGV") as caught:
            local.advance([Advance(worker, 40, 0) for worker in range(3)], lambda _: None)
    assert (caught.value.process, caught.value.call, caught.value.suspects) == (1 if at == 10 else 0, "advance", (1,))


class Slow(Walk):
    """Takes a while."""

    space: ClassVar[Any] = {"lr": {"log_uniform": [0.01, 1.0]}}
    eval_interval = 20

    def train(self, steps: int) -> Any:
        time.sleep(0.002 * steps)
        return super().train(steps)


def test_a_run_in_which_two_processes_share_a_worker_has_the_journal_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {
        "population": [3], "evaluators": 0, "algo": "pbt", "steps": 160, "ready_interval": 40, "chunk": 5,
        "logger": "none", "progress": False,
    }  # fmt: skip
    shared, advance = list[Any](), LocalEngine.advance

    def spy(self: LocalEngine, *arguments: Any) -> Any:
        shared.append(dict(self._placement.shared))
        return advance(self, *arguments)

    monkeypatch.setattr(LocalEngine, "advance", spy)
    firerl.run(Slow, run_dir=tmp_path / "1", engine="inline", **wanted)
    firerl.run(Slow, run_dir=tmp_path / "2", processes=2, **wanted)
    assert any(shared)
    hashes = []
    for name in ("1", "2"):
        with closing(Journal.open(tmp_path / name)) as journal:
            hashes.append(journal.hashes())
    assert hashes[0] == hashes[1]

"""Two processes share a worker where whole workers leave one of them waiting; what is computed stays the same."""

from __future__ import annotations

import contextlib
import time
import weakref
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import multiprocess
import pytest
from deadly_learners import Deadly
from hypothesis import example, given, settings
from hypothesis import strategies as st
from intervals_of_processes import Machine
from learners_for_tests import Walk

import firerl
from firerl.base.disk import files
from firerl.engine import make_engine
from firerl.engine.balance.balance import Balance
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, MachineFailure, Outcome, Transfer
from firerl.engine.local.local import LocalEngine
from firerl.engine.local.sharing import Model, Work
from firerl.engine.placement import Placement, Share, trips
from firerl.storage import checkpoint
from firerl.storage.journal.journal_db import Journal


def idle(machine: Machine, readies: int = 8) -> float:
    """The share of the processes' time that nobody uses after so many readies."""
    for _ in range(readies):
        machine.ready()
    workers = range(len(machine.train))
    slowness = [machine.slowness[machine.placement.process_of(w)] for w in workers]
    for w, share in machine.placement.shared.items():
        slowness[w] = (slowness[w] * share.first + machine.slowness[share.process] * share.last) / 10
    work = sum((machine.train[w] + machine.evaluate[w]) * slowness[w] for w in workers)
    return 1 - work / (len(machine.slowness) * machine.interval())


@pytest.mark.parametrize(
    ("workers", "slowness"),
    [(22, [1, 1, 1]), (22, [1, 1, 1, 1]), (22, [1, 1, 2]), (22, [1, 1, 1, 2]), (22, [1.0] * 16), (3, [1, 1])],
)
def test_less_than_a_tenth_is_idle_where_whole_workers_leave_more(workers: int, slowness: list[float]) -> None:
    assert idle(Machine([10.0] * workers, [0.1] * workers, slowness, 0.1)) < 0.1


@pytest.mark.parametrize(
    "machine",
    [
        Machine([10.0] * 22, [1.0] * 22, [1, 1]),  # they fit as they are
        Machine([10.0], [1.0], [1, 1]),  # one worker cannot be in two places at once
        Machine([10.0] * 3, [1.0] * 3, [1, 1], chunk=None),
    ],
)
def test_nobody_is_shared(machine: Machine) -> None:
    for _ in range(8):
        machine.ready()
        assert not machine.placement.shared


@pytest.mark.parametrize(("trip", "evaluate"), [(8.0, 0.0), (0.0, 90.0)])
def test_what_does_not_pay_is_tried_and_given_up(trip: float, evaluate: float) -> None:
    """Trips that take as long as they gain; intervals that are evaluation for the most part."""
    whole = Machine([10.0] * 3, [evaluate] * 3, [1, 1], trip, chunk=None)
    shared = Machine([10.0] * 3, [evaluate] * 3, [1, 1], trip)
    longer = [sum(shared.ready()) - sum(whole.ready()) for _ in range(40)]
    assert sum(seconds > 0.01 for seconds in longer) <= 5
    assert not any(seconds > 0.01 for seconds in longer[-8:])


def test_groups_are_never_shared() -> None:
    balance, placement = Balance(chunk=1), Placement(2, stacked=2)
    for _ in range(4):
        balance.asked([Advance(0, 10, 0)])
        for worker in range(6):
            balance.hear(placement, Outcome(worker, train_seconds=5.0))
        balance.waited(20.0)
        placement = balance.after(placement)
        assert not placement.shared


COSTS = st.floats(5, 30)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.lists(COSTS, min_size=2, max_size=16), st.integers(2, 24).map(lambda n: [10.0] * n)),
    st.sampled_from([0.0, 0.05, 0.3, 0.9]),
    st.lists(st.sampled_from([1.0, 1.0, 2.0]), min_size=2, max_size=5),
    st.sampled_from([0.0, 0.1, 1.0, 4.0]),
    st.integers(1, 5),
)
@example([10.0] * 5, 0.9, [2.0, 1.0, 1.0, 2.0, 1.0], 1.0, 3)  # who is shared must go there in the same interval
@example([10.0] * 8, 0.0, [2.0, 2.0, 1.0, 1.0, 1.0, 1.0], 1.0, 3)
@example([10.0] * 4, 0.9, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 4.0, 3)  # the way back takes longer than the way there
def test_sharing_pays_or_ends(
    train: list[float], evaluate: float, slowness: list[float], trip: float, intervals: int
) -> None:
    """Also where costs and speeds are uneven: over many readies next to nothing is lost by trying."""
    seconds = []
    for chunk in (None, 1):
        machine = Machine(train, [evaluate * t for t in train], slowness, trip, chunk=chunk, intervals=intervals)
        for _ in range(12):
            machine.ready()
        seconds.append(sum(sum(machine.ready()) for _ in range(24)))
    assert seconds[1] <= seconds[0] * 1.06


def test_the_model_is_the_machine() -> None:
    """What a plan is chosen by is what an interval then takes, on average of both ways."""
    train, slowness = [10.0, 4.0, 7.0, 12.0, 9.0], [1.0, 2.0, 1.0]
    machine = Machine(train, [1.0] * 5, slowness, 0.5)
    machine.placement = replace(machine.placement, shared={4: Share(2, 4, 6), 0: Share(1, 7, 3), 3: Share(2, 5, 5)})
    homes = {worker: machine.placement.process_of(worker) for worker in range(5)}
    work = {w: Work(train[w] * slowness[homes[w]], slowness[homes[w]]) for w in homes}
    model = Model(work, homes, 3, lambda old, new: slowness[new] / slowness[old], 10, 0.5)
    there, back = model.ends(dict(machine.placement.shared))
    assert (machine.interval(), machine.interval()) == pytest.approx((max(there), max(back)))


def test_a_shared_worker_goes_to_and_fro() -> None:
    placement = Placement(3, shared={4: Share(2, 7, 3)})
    assert placement.process_of(4) == 1
    there = placement.gone_on([4])
    assert (there.process_of(4), there.shared[4]) == (2, Share(1, 3, 7))
    back = there.gone_on([4])
    assert (back.process_of(4), back.shared[4]) == (1, Share(2, 7, 3))
    assert not list(trips(placement, back))


class Odd(Walk):
    """Raises late in an interval, or cannot be packed in the middle of one, as its hyperparameters say."""

    def train(self, steps: int) -> Any:
        if self.steps % 40 == 20 and self.values.get("late"):
            raise ArithmeticError
        return super().train(steps)

    def state(self) -> dict[str, Any]:
        if self.steps % 40 and self.values.get("whole"):
            raise ValueError("half an interval is no state")
        return super().state()


SPEC = LearnerSpec(Odd, {"folder": "."}, chunk=10)
TO_AND_FRO = {
    0: Share(1, 1, 3), 2: Share(1, 3, 1), 3: Share(0, 2, 2), 4: Share(1, 2, 2), 5: Share(0, 2, 2), 6: Share(1, 1, 3),
    7: Share(0, 3, 1), 8: Share(1, 2, 2), 9: Share(0, 2, 2),
}  # fmt: skip
ACTS: list[dict[str, Any]] = [
    {}, {}, {}, {"train": "raise"}, {"init": "raise"}, {}, {"evaluate": float("nan")}, {"late": True}, {"whole": True},
    {},
]  # fmt: skip
FAILURES = {3: "ZeroDivisionError", 4: "ZeroDivisionError", 6: "NaN", 7: "ArithmeticError", 9: "died"}


@pytest.mark.parametrize("name", ["local", "local, two on the device", "ray"])
def test_workers_that_are_shared_go_on_as_they_would_have(name: str) -> None:
    """Both ways at once. One fails in its first chunks, one in its last, one when it is evaluated; one has a failure to
    tell, one has killed its process before; one cannot travel; one does not train."""
    if name == "ray":
        pytest.importorskip("ray")
    spec = replace(SPEC, workers_per_device=2) if "device" in name else SPEC
    seen = []
    for shared in ({}, TO_AND_FRO):
        with contextlib.closing(make_engine(name.partition(",")[0] if shared else "inline", spec, 2, 60.0)) as engine:
            engine.create([Create(w, {"lr": 0.1 * (w + 1), **act}, 100 + w) for w, act in enumerate(ACTS)])
            placement = "placement" if name == "ray" else "_placement"
            if shared:
                setattr(engine, placement, replace(getattr(engine, placement), shared=shared))
            told: list[Any] = []
            for workers in ((0, 1, 2, 3, 4, 6, 7, 8, 9), (0, 1, 2, 8)):
                orders = [Advance(w, 40, 7 + w, died="before" if w == 9 else None) for w in workers]
                for outcome in engine.advance(orders, lambda _: None):
                    told.append((outcome.worker, outcome.objective, repr(outcome.metrics), outcome.failure))
                engine.transfer([Transfer(1, 2, {"lr": 0.7})])
            told += [files.digest(checkpoint.dumps(engine.weights(worker))) for worker in (0, 1, 2, 5, 8)]
            if shared:
                homes = getattr(engine, placement)
                assert [homes.process_of(worker) for worker in (0, 2, 8)] == [0, 0, 0]  # there and back
            seen.append(told)
    assert seen[0] == seen[1]
    assert {worker: failure for worker, *_, failure in seen[0][:9] if failure} == FAILURES


def test_one_that_cannot_travel_ends_its_interval_before_others_take_its_room() -> None:
    """Nobody asks for its state in the middle of its interval, and it fails in none of its calls."""
    whole, shared = (Host(replace(SPEC, workers_per_device=1)) for _ in range(2))
    for host in (whole, shared):
        host.create([Create(0, {"lr": 0.1, "whole": True}, 100)])
    [expected] = whole.advance([Advance(0, 40, 7)])
    assert expected.failure is None
    outcome = shared.begin(Advance(0, 40, 7), 1)
    assert isinstance(outcome, Outcome)
    for host in (whole, shared):
        host.create([Create(1, {"lr": 0.1}, 101)])
    told, due = ((one.objective, repr(one.metrics), one.failure) for one in (outcome, expected))  # nan is not nan
    assert told == due
    assert shared.weights([0]) == whole.weights([0])


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
    """Takes a while. With ``room`` there is memory for so many in a process."""

    space: ClassVar[Any] = {"lr": {"log_uniform": [0.01, 1.0]}}
    settings: ClassVar[Any] = {"folder": ".", "room": 99}
    eval_interval = 20
    alive: ClassVar[weakref.WeakSet[Slow]] = weakref.WeakSet()

    def __init__(self, settings: Any, hyperparameters: Any, seed: int, device: str):
        if multiprocess.current_process().name == "firerl-1" and len(self.alive) >= settings["room"]:
            raise MemoryError
        self.alive.add(self)
        super().__init__(settings, hyperparameters, seed, device)

    def train(self, steps: int) -> Any:
        time.sleep(0.002 * steps)
        return super().train(steps)


RUN: dict[str, Any] = {
    "population": [3], "evaluators": 0, "algo": "pbt", "steps": 200, "ready_interval": 40, "chunk": 5,
    "logger": "none", "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    run_dir = tmp_path_factory.mktemp("undisturbed") / "r"
    firerl.run(Slow, run_dir=run_dir, engine="inline", **RUN)
    return points(run_dir)


def points(run_dir: Path) -> list[str]:
    with closing(Journal.open(run_dir)) as journal:
        return [repr(point) for point in journal.points()]  # nan is not nan


def test_a_run_in_which_two_processes_share_a_worker_reports_what_one_process_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[str]
) -> None:
    shared, advance = list[Any](), LocalEngine.advance

    def spy(self: LocalEngine, *arguments: Any) -> Any:
        shared.append(dict(self._placement.shared))
        return advance(self, *arguments)

    monkeypatch.setattr(LocalEngine, "advance", spy)
    firerl.run(Slow, run_dir=tmp_path / "2", processes=2, **RUN)
    assert any(shared)
    assert points(tmp_path / "2") == undisturbed


def test_where_there_is_no_memory_for_one_more_nobody_is_shared_from_then_on(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    firerl.run(Slow, run_dir=tmp_path / "2", processes=2, settings={"room": 1}, **RUN)
    with closing(Journal.open(tmp_path / "2")) as journal:
        failures = [note for note in journal.notes() if "machine failure" in note]
    assert len(failures) == 1
    assert "out of memory" in failures[0]
    assert points(tmp_path / "2") == undisturbed

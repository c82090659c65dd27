from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from firerl.engine.balance.roster import Roster
from firerl.learner import Learner
from firerl.storage import checkpoint

alive: list[weakref.ref[Learner]] = []


class Counter(Learner):
    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.values, self.seed, self.count = hyperparameters, seed, 0
        self.me = self  # memory that only the garbage collector gives back
        alive.append(weakref.ref(self))

    def state(self) -> dict[str, Any]:
        return {"weights": self.count, "stream": self.seed}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        self.count, self.seed = weights, stream


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """The collector leaves alone what was there before."""
    gc.freeze()
    yield
    gc.unfreeze()


def roster_of(room: int | None) -> Roster:
    alive.clear()
    return Roster(
        lambda values, seed: Counter({}, values, seed, "cpu"),
        lambda _, learner: checkpoint.dumps(learner.state()),
        room,
        True,
    )


def use(roster: Roster, worker: int) -> Counter:
    if roster.waits(worker):
        roster.make_room()
        roster.wake(worker)
    learner = roster.get(worker)
    assert isinstance(learner, Counter)
    learner.count += 1
    return learner


def fill(roster: Roster, workers: int) -> None:
    for worker in range(workers):
        roster.make_room()
        roster.add(worker, {"lr": worker}, 10 + worker)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_no_more_are_in_memory_than_there_is_room_for(room: int) -> None:
    roster = roster_of(room)
    fill(roster, 5)
    for worker in (0, 1, 2, 3, 4, 4, 0, 2):
        use(roster, worker)
        assert roster.built == sum(reference() is not None for reference in alive) == room
        assert [other in roster for other in range(6)] == 5 * [True] + [False]
    assert [use(roster, worker).count for worker in range(5)] == [3, 2, 3, 2, 3]


def test_without_a_limit_all_stay() -> None:
    roster = roster_of(None)
    fill(roster, 5)
    assert [roster.built, *map(roster.waits, range(5))] == [5, *(5 * [False])]


def test_the_one_used_longest_ago_makes_way_and_keeps_its_newest_hyperparameters() -> None:
    roster = roster_of(2)
    fill(roster, 2)
    use(roster, 0)
    roster.retuned(1, {"lr": 0.5})
    roster.make_room()
    assert (roster.waits(0), roster.waits(1)) == (False, True)
    assert roster.packed(0) is None
    assert checkpoint.loads(roster.packed(1) or b"") == {"weights": 0, "stream": 11}
    woken = use(roster, 1)
    assert (woken.values, woken.seed, woken.count) == ({"lr": 0.5}, 11, 1)


def test_a_dropped_learner_is_gone_wherever_it_was() -> None:
    roster = roster_of(1)
    fill(roster, 2)
    for worker in (0, 1):
        roster.drop(worker)
        assert (worker in roster, roster.waits(worker)) == (False, False)
    roster.drop(0)
    assert roster.built == 0

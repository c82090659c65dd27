"""engine=ray as an engine: who hangs, who is blamed, where processes share workers or nobody waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from learners_for_tests import Walk

from firerl.engine import make_engine
from firerl.engine.interface import Advance, Create, Interval, LearnerSpec, MachineFailure
from firerl.engine.placement import Share

ray = pytest.importorskip("ray")


class Slow(Walk):
    """Takes as long for a step as its hyperparameters say."""

    def train(self, steps: int) -> Any:
        time.sleep(self.values.get("seconds", 0.0) * steps)
        return super().train(steps)


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Two actors, and how long they may be silent."""
    made = make_engine("ray", LearnerSpec(Slow, {"folder": str(tmp_path)}, chunk=10), 2, request.param)
    yield made
    made.close()
    ray.shutdown()


def create(engine: Any, *acts: dict[str, Any]) -> None:
    engine.create([Create(worker, {"lr": 0.1, **act}, worker) for worker, act in enumerate(acts)])


def share(engine: Any, shared: dict[int, Share]) -> None:
    engine.placement = replace(engine.placement, shared=shared)


@pytest.mark.parametrize("engine", [4.0], indirect=True)
def test_actors_that_begin_or_finish_one_worker_after_the_other_are_not_silent(engine: Any) -> None:
    create(engine, *[{"seconds": 0.05}] * 6)  # 2 s a worker, 6 s an actor
    share(engine, {worker: Share(1, 3, 1) for worker in (0, 2, 4)})
    outcomes = engine.advance([Advance(worker, 40, 7) for worker in range(6)], lambda _: None)
    assert [outcome.worker for outcome in outcomes] == list(range(6))


@pytest.mark.parametrize("engine", [4.0], indirect=True)
def test_an_actor_that_hangs_in_a_part_of_an_interval_is_found(engine: Any) -> None:
    create(engine, {"train": "sleep"}, {}, {}, {})
    share(engine, {0: Share(1, 2, 2), 3: Share(0, 1, 3)})
    with pytest.raises(MachineFailure, match="actor 0 has not answered for 4 s") as caught:
        engine.advance([Advance(worker, 40, 7) for worker in range(4)], lambda _: None)
    assert (caught.value.process, caught.value.suspects, caught.value.moving) == (0, (0,), True)


@pytest.mark.parametrize("engine", [60.0], indirect=True)
def test_who_kills_its_actor_in_the_first_part_is_blamed_there(engine: Any) -> None:
    create(engine, {}, {}, {"train": "die"}, {"seconds": 0.01})
    share(engine, {2: Share(1, 2, 2)})
    with pytest.raises(MachineFailure, match="actor 0 is lost") as caught:
        engine.advance([Advance(worker, 40, 7) for worker in range(4)], lambda _: None)
    assert (caught.value.process, caught.value.suspects, caught.value.moving) == (0, (2,), True)


@pytest.mark.parametrize("engine", [4.0], indirect=True)
def test_where_nobody_waits_a_hang_is_found_beside_others_that_report(engine: Any, tmp_path: Path) -> None:
    create(engine, {"seconds": 0.02}, {"train": "sleep"})
    engine.begin(Interval(Advance(1, 10, 7), tmp_path))
    begun = time.monotonic()

    def others_report() -> None:
        while time.monotonic() - begun < 30:
            engine.begin(Interval(Advance(0, 10, 7), tmp_path))
            done = engine.next()
            assert done.outcome.worker == 0
            assert (tmp_path / done.saved.name).stat().st_size == done.saved.size
            assert len(engine._waited) == 1  # what is done is let go, and its state with it

    with pytest.raises(MachineFailure, match="actor 1 has not answered for 4 s") as caught:
        others_report()
    assert caught.value.suspects == (1,)

"""Workers that train as one on every engine: who is in a group, who fails in it, and what the others get."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from learners_for_tests import Roped, Walk

import firerl
from firerl.config import compose, request
from firerl.config.run_config import RunConfig
from firerl.engine import make_engine
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, Engine, LearnerSpec, MachineFailure, Outcome, Transfer
from firerl.errors import SettingError

SPEC = LearnerSpec(Roped, {"folder": ".", "stacked": 3}, stacked=3)
ALONE = LearnerSpec(Roped, {"folder": ".", "stacked": 3})


@pytest.fixture(scope="module", params=["inline", "local-1", "local-2", "simulated-2"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name, _, processes = request.param.partition("-")
    engine = make_engine(name, SPEC, int(processes or 1), 60.0)
    yield engine
    engine.close()


def create(engine: Any, *acts: dict[str, Any]) -> None:
    engine.create([Create(worker, {"lr": 0.1 * (worker + 1), **act}, 100 + worker) for worker, act in enumerate(acts)])


def advance(engine: Any, *workers: int, steps: int = 10) -> dict[int, Outcome]:
    outcomes = engine.advance([Advance(worker, steps, 7) for worker in workers], lambda _: None)
    return {outcome.worker: outcome for outcome in outcomes}


def alone(acts: list[dict[str, Any]], rounds: int = 1) -> dict[int, Outcome]:
    """The last of so many rounds of the same learners, each for itself."""
    with make_engine("inline", ALONE) as engine:  # type: ignore[attr-defined]
        create(engine, *acts)
        for _ in range(rounds):
            outcomes = advance(engine, *range(len(acts)))
    return outcomes


def slots(outcomes: dict[int, Outcome]) -> dict[int, Any]:
    return {worker: outcome.metrics.get("slots") for worker, outcome in outcomes.items()}


def test_consecutive_workers_train_as_one_and_keep_their_slots(engine: Engine) -> None:
    create(engine, *[{}] * 5)
    heard: list[int] = []
    outcomes = engine.advance([Advance(w, 10, 7) for w in (4, 0, 2, 1, 3)], lambda o: heard.append(o.worker))
    assert sorted(heard) == [outcome.worker for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert slots({o.worker: o for o in outcomes}) == {0: 7, 1: 7, 2: 7, 3: 3, 4: 3}
    assert slots(advance(engine, 2, 4)) == {2: 4, 4: 2}
    usual = alone([{}] * 5)
    assert [o.objective for o in outcomes] == [usual[w].objective for w in range(5)]
    orders = [Advance(0, 10, 7), Advance(1, 20, 7), Advance(2, 10, 7)]
    mixed = engine.advance(orders, lambda _: None)
    assert [o.metrics["slots"] for o in mixed] == [5, 2, 5]
    assert [o.metrics["steps"] for o in mixed] == [20, 30, 30]


def test_an_exception_in_a_group_finds_its_worker_and_the_others_go_on(engine: Engine) -> None:
    acts: list[dict[str, Any]] = [{}, {"train": "raise"}, {}]
    create(engine, *acts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = advance(engine, 0, 1, 2)
    assert outcomes[1].failure == "ZeroDivisionError"
    assert "as the test wanted" in str(outcomes[1].traceback)
    usual = alone([{}, {}, {}])
    assert [outcomes[w].objective for w in (0, 2)] == [usual[w].objective for w in (0, 2)]
    assert slots(outcomes) == {0: None, 1: None, 2: None}
    assert slots(advance(engine, 0, 2)) == {0: 5, 2: 5}  # its slot rests
    engine.transfer([Transfer(0, 1, {"lr": 0.5}, seed=3)])
    after = advance(engine, 0, 1, 2)
    assert slots(after) == {0: 7, 1: 7, 2: 7}
    assert after[1].metrics["steps"] == after[0].metrics["steps"] == 30


def test_a_member_that_the_group_names_as_failed_costs_the_others_nothing(engine: Engine) -> None:
    create(engine, {}, {}, {"rope": "fail"})
    outcomes = advance(engine, 0, 1, 2)
    assert outcomes[2].failure == "ArithmeticError"
    assert slots(outcomes) == {0: 7, 1: 7, 2: None}
    usual = alone([{}, {}, {}])
    assert [outcomes[w].objective for w in (0, 1)] == [usual[w].objective for w in (0, 1)]


def test_copies_in_a_group_and_between_groups(engine: Engine) -> None:
    create(engine, *[{}] * 5)
    advance(engine, *range(5))
    engine.transfer([Transfer(0, 2, {"lr": 1.0}), Transfer(2, 4, {"lr": 2.0})])
    weights = [engine.weights(worker) for worker in (0, 2, 4)]
    assert weights[0]["position"].equal(weights[1]["position"])
    assert weights[0]["position"].equal(weights[2]["position"])
    assert slots(advance(engine, *range(5))) == {0: 7, 1: 7, 2: 7, 3: 3, 4: 3}


@pytest.mark.parametrize("rope", ["raise", "exit", "short"])
def test_where_only_the_group_raises_all_go_on_alone_and_a_warning_says_so(rope: str) -> None:
    acts: list[dict[str, Any]] = [{}, {"rope": rope}, {}]
    host = Host(SPEC)
    create(host, *acts)
    heard: list[Outcome] = []
    for _ in range(2):  # it raises each time
        heard.clear()
        with pytest.warns(
            UserWarning, match=r"workers \[0, 1, 2\] trained as one and raised .*: each trains for itself"
        ):
            heard.extend(host.advance([Advance(w, 10, 7) for w in range(3)]))
    usual = alone([{}] * 3, rounds=2)
    assert [(o.failure, o.objective) for o in heard] == [(None, usual[w].objective) for w in range(3)]


def test_who_does_not_take_the_old_state_back_fails_alone() -> None:
    host = Host(SPEC)
    create(host, {"rope": "raise"}, {"load": "raise"}, {})
    heard: list[Outcome] = []
    with pytest.warns(UserWarning, match="each trains for itself"):
        heard.extend(host.advance([Advance(w, 10, 7) for w in range(3)]))
    assert [o.failure for o in heard] == [None, "ZeroDivisionError", None]


def test_lack_of_memory_in_a_group_is_the_machines() -> None:
    host = Host(SPEC)
    create(host, {}, {"rope": "memory"}, {})
    with pytest.raises(MachineFailure, match="ran out of memory"):
        list(host.advance([Advance(w, 10, 7) for w in range(3)]))


def test_there_are_never_more_processes_than_groups() -> None:
    with make_engine("local", SPEC, 5, 60.0, workers=4) as engine:  # type: ignore[attr-defined]
        assert engine.processes == 2


# ---- settings


def resolved(learner: type, **more: Any) -> RunConfig:
    tree = {"learner": {"name": learner, **more.pop("settings", {})}, "space": {"lr": {"uniform": [0, 1]}}, **more}
    return request.resolve(compose.compose(settings={"run_dir": "r", "preset": "smoke", **tree}), learner)


def test_stacked_belongs_to_the_learners_settings_and_is_off_by_default() -> None:
    assert resolved(Roped).settings["stacked"] is None
    assert resolved(Roped, settings={"stacked": 4}).settings["stacked"] == 4


@pytest.mark.parametrize(
    ("learner", "more", "words"),
    [
        (Walk, {"settings": {"stacked": 4}}, r"learner.stacked=4: learner=\S+Walk has no stack\(\)"),
        (Roped, {"settings": {"stacked": 1}}, "learner.stacked=1: must be an integer >= 2"),
        (
            Roped,
            {"settings": {"stacked": 2}, "space": {"size": {"integer": [1, 4]}}},
            "learner.stacked=2: space.size changes the shapes",
        ),
    ],
)
def test_what_cannot_be_stacked_is_refused(learner: type, more: dict[str, Any], words: str) -> None:
    class Sized(Roped):
        settings = {**Roped.settings, "size": 1}  # noqa: RUF012

    with pytest.raises(SettingError, match=words):
        resolved(Sized if "size" in more["settings"] else learner, **more)


def test_a_run_says_that_processes_have_no_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = firerl.run(
        Roped, settings={"stacked": 4}, space={"lr": {"uniform": [0, 1]}}, algo="pbt", population=[3], evaluators=0,
        steps=20, eval_interval=10, ready_interval=10, engine="local", processes=2, run_dir=tmp_path / "r",
    )  # fmt: skip
    assert "3 workers are 1 group, each in one process: 1 of 2 processes are used" in capsys.readouterr().out
    assert len(result.journal)

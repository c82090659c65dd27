from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learners_for_tests import Roped, Walk

from firerl.engine.balance.chunks import averaged, sizes
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, Outcome


@given(st.integers(1, 500), st.none() | st.integers(1, 500))
def test_chunks_add_up_to_the_interval(steps: int, chunk: int | None) -> None:
    found = sizes(steps, chunk)
    assert sum(found) == steps
    assert all(size == chunk for size in found[:-1])
    assert 0 < found[-1] <= (chunk or steps)


def test_a_metric_is_the_mean_over_the_steps_of_the_chunks_that_have_it() -> None:
    parts = [(10, {"loss": 1.0, "first": 5.0}), (30, {"loss": 2.0}), (10, {"loss": 4.0, "last": -1.0})]
    assert averaged(parts) == {"loss": pytest.approx(110 / 50), "first": 5.0, "last": -1.0}


def test_what_is_the_same_in_all_chunks_is_kept_to_the_bit() -> None:
    assert averaged([(3, {"loss": 0.1}), (3, {"loss": 0.1}), (1, {"loss": 0.1})]) == {"loss": 0.1}
    assert averaged([(3, {"loss": 1e308}), (3, {"loss": 1.2e308})])["loss"] == pytest.approx(1.1e308)
    assert repr(averaged([(3, {"loss": float("nan")}), (3, {"loss": 1.0})])) == "{'loss': nan}"


def outcomes(chunk: int | None, stacked: int, acts: dict[str, Any], steps: int = 30) -> list[Outcome]:
    """What an interval of two workers gives; the first has ``acts``."""
    learner = Roped if stacked > 1 else Walk
    settings = {"folder": ".", "stacked": stacked} if stacked > 1 else {"folder": "."}
    host = Host(LearnerSpec(learner, settings, stacked=stacked, chunk=chunk))
    host.create([Create(0, {"lr": 0.1, **acts}, 5), Create(1, {"lr": 0.2}, 6)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the group trains one by one, where it does
        return list(host.advance([Advance(worker, steps, 7) for worker in (0, 1)]))


@pytest.mark.parametrize("stacked", [1, 2])
def test_chunks_change_metrics_alone(stacked: int) -> None:
    whole, in_parts = outcomes(None, stacked, {}), outcomes(10, stacked, {})
    assert [outcome.objective for outcome in whole] == [outcome.objective for outcome in in_parts]
    assert [outcome.metrics["steps"] for outcome in whole] == [30.0, 30.0]
    assert [outcome.metrics["steps"] for outcome in in_parts] == [20.0, 20.0]  # the mean of 10, 20 and 30


@pytest.mark.parametrize(("stacked", "acts"), [(1, {"train": "raise"}), (2, {"train": "raise"}), (2, {"rope": "fail"})])
def test_who_fails_in_a_chunk_trains_no_more(stacked: int, acts: dict[str, Any], monkeypatch: Any) -> None:
    trained, train = list[float](), Walk.train

    def spy(self: Walk, steps: int) -> Any:
        trained.append(self.values["lr"])
        return train(self, steps)

    monkeypatch.setattr(Walk, "train", spy)
    failed, other = outcomes(10, stacked, acts)
    assert failed.failure in ("ZeroDivisionError", "ArithmeticError")
    assert other.failure is None
    assert other.metrics["steps"] == 20.0
    assert trained.count(0.2) == 3
    assert trained.count(0.1) == (2 if stacked == 2 and "train" in acts else 1)  # in its group, then for itself


def test_a_group_whose_members_have_all_failed_trains_no_more() -> None:
    host = Host(LearnerSpec(Roped, {"folder": ".", "stacked": 2}, stacked=2, chunk=10))
    host.create([Create(worker, {"lr": 0.1, "rope": "fail"}, 5) for worker in (0, 1)])
    found = list(host.advance([Advance(worker, 30, 7) for worker in (0, 1)]))
    assert [outcome.failure for outcome in found] == ["ArithmeticError"] * 2

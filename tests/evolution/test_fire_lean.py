"""Lean FIRE: what a parent's own curve adds to its fitness."""

from __future__ import annotations

import pytest
from simulate import busy, make_setup, member

from firerl.errors import SettingError
from firerl.evolution.algorithms import fire, fire_lean
from firerl.evolution.evaluators import smoothed

FLAT, HIGH, RISING = [0.0] * 4, [10.0] * 4, [0.0, 1.0, 2.0, 3.0]


def fitness(*workers: object, prior: float = 1.0, recent: int = 12) -> dict[int, float | None]:
    by_id = {w.id: w for w in workers}  # type: ignore[attr-defined]
    made = smoothed([w for w in workers if w.evaluation])  # type: ignore[attr-defined, misc]
    return fire_lean.parent_fitness(by_id, made, 4, prior, recent)  # type: ignore[arg-type]


def test_parents_without_an_evaluator_rank_by_their_own_curves() -> None:
    """Member 3 rises to 3, member 2 stays at 0 from about the same start; of who lies wholly below nothing is known."""
    found = fitness(member(0), member(2, 2, FLAT), member(3, 2, RISING), member(4, 2, RISING[:3]))
    assert set(found) == {2, 3}  # member 4's curve is too short, member 0 is no parent
    assert found[2] == 0.0
    assert 2 < found[3] < 3.5  # type: ignore[operator]


def test_both_halves_add_up_and_the_prior_weighs_one() -> None:
    workers = (
        member(2, 2, RISING), member(3, 2, FLAT), member(4, 2, FLAT),
        busy(5, 2, 2, 0, FLAT), busy(6, 2, 3, 0, RISING),
    )  # fmt: skip
    seen = fitness(*workers, prior=1e-12)
    assert seen[3] > 2  # type: ignore[operator]
    assert [seen[2], seen[4]] == pytest.approx([0.0, 0.0], abs=1e-9)
    both, twice = fitness(*workers), fitness(*workers, prior=2.0)
    for id in both:
        assert twice[id] - both[id] == pytest.approx(both[id] - seen[id])  # type: ignore[operator]
    assert both[2] > seen[2]  # type: ignore[operator]


def test_only_recent_points_count() -> None:
    long = member(2, 2, [*HIGH, *RISING])
    assert fitness(long, member(3, 2, RISING), recent=4) == {2: 0.0, 3: 0.0}


def test_failed_parents_have_none_of_their_own() -> None:
    assert set(fitness(member(2, 2, RISING, failed=True), member(3, 2, RISING))) == {3}


def test_one_evaluator_is_enough_but_none_is_not() -> None:
    settings = fire_lean.Settings(max_eval_steps=100)
    fire_lean.validate(make_setup((6, 6), 1), settings)
    with pytest.raises(SettingError, match="evaluators=1: P2 gets 1 of them"):
        fire.validate(make_setup((6, 6), 1), settings)
    with pytest.raises(SettingError, match="evaluators=0: P2 gets 0 of them"):
        fire_lean.validate(make_setup((6, 6), 0), settings)

"""Sub-populations at different frequencies, with migration; examples worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from simulate import INTERVAL, LR, READY, Simulation, make_setup, member, of

from firerl.errors import SettingError
from firerl.evolution.algorithms import mfpbt, pbt
from firerl.evolution.population import Copy, Decision, Fail, Report, State, Values, Worker

RATES = {0: 0.01, 1: 0.02, 2: 0.03, 3: 0.04, 4: 0.05, 5: 0.06, 6: 0.07, 7: 0.08}


def at_ready(
    step: int, objectives: Mapping[int, float | str], sizes: tuple[int, ...] = (4, 4), **options: Any
) -> tuple[dict[int, Worker], list[Decision]]:
    """The ready at ``step``: who is in ``objectives`` reports (a text is a failure), worker i has RATES[i]."""
    population = [p for p, size in enumerate(sizes, start=1) for _ in range(size)]
    before = {"step": step - INTERVAL, "network_step": step - INTERVAL, "ready_step": step - READY}
    workers = tuple(
        member(i, p, [0.0], lr=RATES[i], **before, failed=i not in objectives) for i, p in enumerate(population)
    )
    reports = [
        Report(i, step, failure=told) if isinstance(told, str) else Report(i, step, told)
        for i, told in objectives.items()
    ]
    after, decisions = mfpbt.decide(make_setup(sizes), mfpbt.Settings(**options), State(workers), reports)
    return {w.id: w for w in after.workers}, decisions


def pairs(decisions: Sequence[Decision]) -> list[tuple[int, int]]:
    return [(d.worker, d.donor) for d in of(Copy, decisions)]


LEVEL = {i: float(-i) for i in range(8)}  # P1 is better than P2, each in falling order


def test_the_budget_becomes_up_to_four_sub_populations() -> None:
    assert mfpbt.arrange((8, 8), 6) == ((6, 6, 5, 5), 0)
    assert mfpbt.arrange((8, 8, 8, 8), 18) == ((13, 13, 12, 12), 0)
    assert mfpbt.arrange((4, 4), 2) == ((5, 5), 0)
    assert mfpbt.arrange((7,), 0) == ((7,), 0)
    assert mfpbt.arrange((10, 6, 3), 0) == ((10, 6, 3), 0)  # as given


@given(st.lists(st.integers(2, 30), min_size=1, max_size=5).map(tuple), st.integers(0, 20))
@hypothesis_settings(deadline=None, database=None, derandomize=True)
def test_no_worker_is_lost(sizes: tuple[int, ...], evaluators: int) -> None:
    arranged, none = mfpbt.arrange(sizes, evaluators)
    assert (sum(arranged), none) == (sum(sizes) + evaluators, 0)
    assert min(arranged) >= 2


def test_slow_sub_populations_wait() -> None:
    """P1 evolves at every ready, P2 at every second: at 20 only P1's loser copies."""
    same = {"migration": False}
    assert pairs(at_ready(20, LEVEL, **same)[1]) == [(3, 0)]
    assert pairs(at_ready(40, LEVEL, **same)[1]) == [(3, 0), (7, 4)]
    assert pairs(at_ready(60, LEVEL, **same)[1]) == [(3, 0)]
    assert pairs(at_ready(60, LEVEL, frequencies=(1, 3), **same)[1]) == [(3, 0), (7, 4)]
    assert pairs(at_ready(30, LEVEL, **same)[1]) == [(3, 0)]  # no ready of the schedule: after a failure, say


def test_greedy_hyperparameters_do_not_reach_a_slower_sub_population() -> None:
    """P1's best is better than member 6, P2's third: its weights migrate, its rate does not, nor does it explore."""
    after, decisions = at_ready(40, LEVEL)
    assert pairs(decisions) == [(3, 0), (7, 4), (6, 0)]
    migration = decisions[-1]
    assert isinstance(migration, Copy)
    assert (migration.donor_hyperparameters, migration.hyperparameters) == ({"lr": 0.01}, {"lr": 0.05})
    assert (migration.fitness, migration.donor_fitness, migration.network_step) == (-6.0, 0.0, 40)
    assert (after[6].hyperparameters, after[6].curve, after[6].replaced_step) == ({"lr": 0.05}, (), 40)


def test_hyperparameters_that_lasted_reach_a_faster_one() -> None:
    """P2 is the better one: member 2, P1's third, takes over its best with its rate."""
    _, decisions = at_ready(20, {i: float(i) for i in (7, 6, 5, 4)} | {i: float(-i) for i in range(4)})
    assert pairs(decisions) == [(3, 0), (2, 7)]
    assert of(Copy, decisions)[-1].hyperparameters == {"lr": 0.08}


def test_who_is_as_good_stays() -> None:
    assert pairs(at_ready(40, dict.fromkeys(range(8), 1.0), min_steps_before_ready=0)[1])[2:] == []
    assert pairs(at_ready(40, LEVEL, min_steps_before_ready=41)[1]) == []


def test_brackets_of_sizes_that_four_does_not_divide() -> None:
    """Of 7 at 29 %, k = 2: places 6 and 7 copy, 4 and 5 are open, best against best; nobody is in two brackets."""
    sizes, better = (2, 7), {0: 10.0, 1: 9.0}
    level = better | {i: float(-i) for i in range(2, 9)}
    state = [member(i, 1 + (i > 1), [0.0], step=30, network_step=30, ready_step=20) for i in range(9)]
    reports = [Report(i, 40, objective) for i, objective in level.items()]
    _, decisions = mfpbt.decide(make_setup(sizes), mfpbt.Settings(truncation=0.29), State(tuple(state)), reports)
    assert [d.worker for d in of(Copy, decisions)][:3] == [1, 7, 8]
    assert pairs(decisions)[3:] == [(5, 0)]  # 6 would take 1, but that one copies now itself


def test_one_sub_population_is_pbt() -> None:
    setup = make_setup((6,), seed=4)

    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        value += float(rng.normal(values["lr"], 1.0))
        return value, value

    options = {"explore_factors": (0.8, 1.25)}
    runs = [
        Simulation(mfpbt, setup, mfpbt.Settings(**options), learn),
        Simulation(pbt, setup, pbt.Settings(**options), learn),
    ]
    first, second = ([(t.after, t.decisions) for t in run.run(20)] for run in runs)
    assert first == second
    assert any(decisions for _, decisions in first)


def test_a_failed_member_does_not_wait_for_its_sub_population() -> None:
    _, decisions = at_ready(20, {**LEVEL, 5: "NaN"})
    assert [type(d) for d in decisions] == [Fail, Copy, Copy]
    assert pairs(decisions) == [(3, 0), (5, 4)]
    assert of(Copy, decisions)[-1].fresh


def test_a_dead_sub_population_lives_on_from_the_others() -> None:
    """P1, too: without evaluators it is one of several."""
    after, decisions = at_ready(20, {0: "NaN", **{i: float(i) for i in range(4, 8)}})
    assert sorted(worker for worker, _ in pairs(decisions)) == [0, 1, 2, 3]
    assert {donor for _, donor in pairs(decisions)} <= {4, 5, 6, 7}
    assert not any(w.failed for w in after.values())


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_a_rate_that_pays_late_where_greed_does_not(seed: int) -> None:
    """A rate costs itself at once and earns an eighth of itself an interval: the highest is best after eight intervals,
    the lowest at the first three readies, by which PBT has lost most others."""

    def learn(value: float, values: Values, rng: np.random.Generator) -> tuple[float, float]:
        earned = value + values["lr"] / 8
        return earned, earned - values["lr"]

    setup = make_setup((20,), seed=seed, spec={"lr": {"log_uniform": [1e-3, 1.0]}})
    own = replace(setup, sizes=mfpbt.arrange((20,), 0)[0])
    greedy = Simulation(pbt, setup, pbt.Settings(explore_factors=(0.8, 1.25)), learn).run(40)[-1].after.workers
    several = Simulation(mfpbt, own, mfpbt.Settings(), learn).run(40)[-1].after.workers
    assert max(w.hyperparameters["lr"] for w in greedy) < 0.05
    assert np.median([w.hyperparameters["lr"] for w in several]) > 0.2


@pytest.mark.parametrize("frequencies", [(1,), (1, 1, 2, 4), (4, 2, 1), (1, 10)])
def test_frequencies_that_do_not_fit(frequencies: tuple[int, ...]) -> None:
    setup = make_setup((4, 4, 4), spec=LR)
    mfpbt.validate(setup, mfpbt.Settings(frequencies=(1, 10, 25, 50)))
    with pytest.raises(SettingError, match=r"algo\.frequencies=.*one for each of the 3 sub-populations"):
        mfpbt.validate(setup, mfpbt.Settings(frequencies=frequencies))

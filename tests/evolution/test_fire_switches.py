"""Every switch of FIRE PBT changes what it should and nothing else.

Verdicts are compared on any pair of curves; whole decisions on the evaluation points of long runs, each decided again
with one setting changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from simulate import BEFORE, NOW, Scenario, Transition, busy, idle, make_setup, member, of, point, scenarios
from test_evaluators import BETTER, CHILD, judge, reason
from test_fire import check_order_and_records, check_stop_3

from firerl.evolution import curves, evaluators
from firerl.evolution.algorithms import fire
from firerl.evolution.population import Copy, Decision, Evaluation, Fail, Promote, StartEvaluator, StopEvaluator

RESTING: dict[str, Any] = {"ready_step": BEFORE}  # no ready at step 100
SWITCHES: dict[str, list[Any]] = {
    "smoothing": ["mean", "none"],
    "binom_test": [False],
    "patience": ["fixed"],
    "success_without_overlap": [False],
    "evaluator_pick": ["most_recent", "random"],
    "parent_fitness": ["objective"],
    "promotion": ["off"],
}


# Verdicts on any pair of curves


@dataclass(frozen=True)
class Case:
    """An evaluator's curve, its child's, and the time since the start."""

    eta: list[float]
    rho: list[float]
    elapsed: int
    settings: fire.Settings

    def verdict(self, **changes: Any) -> Promote | StopEvaluator | None:
        """What is decided with some settings changed."""
        settings = replace(self.settings, **changes)
        evaluator = busy(4, 2, 2, 0, self.eta, started=NOW - self.elapsed, step=NOW)
        child = member(0, curve=self.rho)
        made = evaluators.smoothed([evaluator, child], settings.smoothing)
        return evaluators.verdict(settings, evaluator, made[4], made[0], child)

    def overlap(self) -> curves.Overlap | None:
        """Where the two smooth curves overlap."""
        return curves.overlap(curves.smooth(self.eta), curves.smooth(self.rho))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Curves of different lengths; some overlap, some are apart."""
    apart = draw(st.sampled_from([0.0, 0.0, 30.0, -30.0]))
    trend = draw(st.sampled_from([0.0, 1.0, 3.0]))
    levels = st.lists(st.integers(-6, 6), min_size=1, max_size=12)
    eta = [apart + level + trend * i for i, level in enumerate(draw(levels))]
    settings = fire.Settings(
        significance=draw(st.sampled_from([0.01, 0.2, 0.4])),
        min_points=draw(st.integers(1, 4)),
        max_eval_steps=100,
    )
    return Case(eta, [float(level) for level in draw(levels)], draw(st.integers(1, 120)), settings)


any_case = hypothesis_settings(max_examples=300, deadline=None, database=None, derandomize=True)


@given(cases())
@any_case
def test_without_the_sign_test_the_better_best_decides_and_time(case: Case) -> None:
    base, off = case.verdict(), case.verdict(binom_test=False)
    over = case.elapsed >= case.settings.max_eval_steps
    if isinstance(base, Promote) and base.points >= case.settings.min_points:
        assert off == base
    elif isinstance(off, Promote):
        assert off.best_score_diff > 0
        assert off.points >= case.settings.min_points
    else:
        assert off is None or (over and off.reason == ("timeout" if case.overlap() else "no-overlap"))
        judged = base if base is not None else off
        assert judged is None or judged.points < case.settings.min_points or (judged.best_score_diff or 0) <= 0


def test_without_the_sign_test_by_hand() -> None:
    """One win of four, p = 15/16, but the better best: 5 to 2. With a worse best it goes on until its time is up."""
    eta, rho = [0.0, 1.0, 1.0, 1.0, 5.0], [0.0, 2.0, 2.0, 2.0, 2.0]
    options: dict[str, Any] = {"smoothing": "none", "max_eval_steps": 100}
    assert reason(eta, rho, NOW - 50, **options) == "no-improvement"
    _, promote = judge(eta, rho, NOW - 50, binom_test=False, **options)
    assert isinstance(promote, Promote)
    assert (promote.best_score_diff, promote.p_value) == (3.0, 15 / 16)
    assert reason(rho[:4], [*eta[:3], 9.0], NOW - 99, binom_test=False, **options) is None
    assert reason(rho[:4], [*eta[:3], 9.0], NOW - 100, binom_test=False, **options) == "timeout"
    assert reason([10.0, 11.0, 12.0], [0.0] * 3, binom_test=False) == "success"  # the sign test alone asks for more
    fire.validate(make_setup((2, 2), 2), fire.Settings(binom_test=False, max_eval_steps=40))


@given(cases())
@any_case
def test_fixed_patience_takes_the_early_stops_away_alone(case: Case) -> None:
    base, fixed = case.verdict(), case.verdict(patience="fixed")
    early = case.elapsed < case.settings.max_eval_steps
    stopped = isinstance(base, StopEvaluator) and base.reason == "no-improvement"
    assert fixed == (None if early and stopped else base)


def test_fixed_patience_by_hand() -> None:
    """Equal curves, p = 1: shrinking patience, 0.3 + 1 - T/100, ends after T = 30, fixed patience at T = 100."""
    for patience, last in (("shrinking", 30), ("fixed", 99)):
        options: dict[str, Any] = {"patience": patience, "max_eval_steps": 100}
        assert reason([0.0] * 3, [0.0] * 3, NOW - last, **options) is None
        assert reason([0.0] * 3, [0.0] * 3, NOW - last - 1, **options) == "no-improvement"


@given(cases())
@any_case
def test_success_without_overlap_can_be_ruled_out(case: Case) -> None:
    base, off = case.verdict(), case.verdict(success_without_overlap=False)
    if not (isinstance(base, Promote) and case.overlap() is None):
        assert off == base
    elif case.elapsed < case.settings.max_eval_steps:
        assert off is None
    else:
        assert isinstance(off, StopEvaluator)
        assert off.reason == "no-overlap"


def test_success_without_overlap_by_hand() -> None:
    eta, rho = [10.0 + i for i in range(7)], [0.0] * 12
    assert reason(eta, rho, significance=0.01) == "success"
    assert reason(eta, rho, significance=0.01, success_without_overlap=False) is None
    assert reason(BETTER, CHILD, success_without_overlap=False) == "success"


@given(cases())
@any_case
def test_without_promotion_a_success_is_a_stop(case: Case) -> None:
    base, off = case.verdict(), case.verdict(promotion="off")
    if isinstance(base, Promote):
        figures = (base.points, base.best_score_diff, base.p_value)
        assert off == StopEvaluator(4, 2, 0, NOW, "no-promotion", *figures)
    else:
        assert off == base


def test_without_promotion_the_child_keeps_its_weights_and_the_evaluator_begins_again() -> None:
    after, stop = judge(BETTER, CHILD, promotion="off")
    assert stop == StopEvaluator(4, 2, 0, NOW, "no-promotion", 3, 1.0, 0.25)
    assert (after[0].curve, after[0].network_step, after[0].replaced_step) == (tuple(CHILD), NOW, 0)
    assert after[4].evaluation == Evaluation(3, 0, NOW)


@given(cases(), st.sampled_from([0.01, 0.2, 0.4]))
@any_case
def test_a_larger_significance_promotes_more_and_stops_less(case: Case, other: float) -> None:
    low, high = (case.verdict(significance=p) for p in sorted([case.settings.significance, other]))
    if isinstance(low, Promote):
        assert high == low
    if isinstance(high, StopEvaluator) and high.reason == "no-improvement":
        assert low == high


@given(cases(), st.integers(10, 200))
@any_case
def test_more_time_takes_stops_away_alone(case: Case, other: int) -> None:
    short, long = (case.verdict(max_eval_steps=steps) for steps in sorted([100, other]))
    assert long is None or long == short
    assert not isinstance(short, Promote) or long == short or short.points < case.settings.min_points


@given(cases(), st.integers(1, 4))
@any_case
def test_where_curves_overlap_min_points_only_delays(case: Case, other: int) -> None:
    shared = case.overlap()
    points = shared.length if shared else len(case.eta)
    verdict = case.verdict(min_points=other)
    apart = not shared and other > case.settings.min_points  # offsets are then held to more points: seldom better
    if points >= max(other, case.settings.min_points) and not apart:
        assert verdict == case.verdict() or (not shared and isinstance(verdict, Promote))
    elif points < other and case.elapsed < case.settings.max_eval_steps:
        assert verdict is None


@pytest.mark.parametrize(
    ("smoothing", "seen"), [("none", (3, 3.0, 1 / 2)), ("mean", (5, 2 / 3, 15 / 16))], ids=["none", "mean"]
)
def test_smoothing_by_hand(smoothing: str, seen: tuple[int, float, float]) -> None:
    """As they are, eta first reaches rho's start 2 at index 2: [5, 1, 3] beside [2, 2, 2]: 5 - 2, two wins of three.

    Their means are [2, 1.75, 2, 2.5, 3] and [2, 2, 2.2, 2.25, 7/3]: both start at 2; 3 - 7/3, one win and one tie.
    """
    eta, rho = [0.0, 1.0, 5.0, 1.0, 3.0], [2.0, 2.0, 2.0, 2.0, 3.0]
    _, stop = judge(eta, rho, started=NOW - 100, max_eval_steps=100, smoothing=smoothing)
    assert isinstance(stop, StopEvaluator)
    assert (stop.points, stop.best_score_diff, stop.p_value) == (seen[0], pytest.approx(seen[1]), seen[2])


@given(st.lists(st.floats(-1e3, 1e3), max_size=30))
def test_running_mean(ys: list[float]) -> None:
    y = np.array(ys)
    mean = curves.running_mean(y)
    if len(y) < 4:
        assert np.array_equal(mean, y)
    else:
        np.testing.assert_allclose(mean, [y[max(0, i - 2) : i + 3].mean() for i in range(len(y))], atol=1e-9)
    assert np.array_equal(curves.running_mean([0.1] * 9), [0.1] * 9)


# Whole decisions


@cache
def log() -> list[Transition]:
    """The evaluation points of runs in which everything happens, two of them asynchronous."""
    points = []
    for sizes, count in (((6, 5, 5), 7), ((4, 6), 6)):
        for subset_seed in (None, 1):
            setup = replace(make_setup(sizes, count, seed=2), ready_interval=50)
            options = fire.Settings(significance=0.15, max_eval_steps=120)
            points += Scenario(setup, options, 120, 0.02, 0.05, False, subset_seed).simulate().log
    return points


def again(**changes: Any) -> Iterator[tuple[Transition, list[Decision], list[Decision]]]:
    """Each point of the log: what was decided, and what would have been with some settings changed."""
    for t in log():
        yield t, t.decisions, fire.decide(t.setup, replace(t.settings, **changes), t.before, t.reports)[1]


LATER = ("replaced", "failed")  # stops that are no verdicts


def verdicts(decisions: list[Decision]) -> list[Promote | StopEvaluator]:
    """Successes and stops 1, 2 and 4."""
    return [d for d in decisions if isinstance(d, Promote | StopEvaluator) and getattr(d, "reason", "") not in LATER]


def copies(t: Transition, decisions: list[Decision], populations: range) -> list[Copy]:
    """The copies in these sub-populations."""
    return [c for c in of(Copy, decisions) if t.after.workers[c.worker].population in populations]


@pytest.mark.parametrize(("switch", "value"), [(name, value) for name, values in SWITCHES.items() for value in values])
def test_a_switch_makes_a_difference_but_not_to_plain_pbt(switch: str, value: Any) -> None:
    assert any(before != after for _, before, after in again(**{switch: value}))
    setup = replace(make_setup((8,)), ready_interval=50)
    for t in Scenario(setup, fire.Settings(), 40, 0.05, 0.05, False, None).simulate().log:
        changed = fire.decide(setup, replace(t.settings, **{switch: value}), t.before, t.reports)
        assert changed == (t.after, t.decisions)


@pytest.mark.parametrize("value", SWITCHES["smoothing"])
def test_smoothing_matters_to_curves_of_four_points_and_more(value: str) -> None:
    short = 0
    for t, before, after in again(smoothing=value):
        assert of(Fail, before) == of(Fail, after)
        workers = t.reported()
        if all(len(w.curve) < 4 for w in workers.values() if w.evaluation):
            short += bool(before)
            last = range(len(t.setup.sizes), len(t.setup.sizes) + 1)  # ranked by these curves alone
            assert copies(t, before, last) == copies(t, after, last)
        if all(len(w.curve) < 4 for w in workers.values()):
            assert before == after
    assert short


@pytest.mark.parametrize("value", SWITCHES["evaluator_pick"])
def test_evaluator_pick_decides_whom_a_start_measures(value: str) -> None:
    for _, before, after in again(evaluator_pick=value):
        assert [d for d in before if not isinstance(d, StartEvaluator)] == [
            d for d in after if not isinstance(d, StartEvaluator)
        ]
        same = [
            [replace(d, parent=-1, network_step=0) for d in of(StartEvaluator, decisions)]
            for decisions in (before, after)
        ]
        assert same[0] == same[1]


def picked(pick: str, seed: int, explored: bool = False) -> int:
    """Of parents 2 to 5, evaluated at points 10, 40, never and 25, the next; with ``explored`` 3 and 4 have just
    explored."""
    workers = [*(member(id, **RESTING) for id in (0, 1))]
    for id, evaluated in zip(range(2, 6), (10, 40, -1, 25), strict=True):
        workers.append(member(id, 2, evaluated_point=evaluated, **RESTING))
    done = {3, 4} if explored else set()
    evaluator = idle(6)
    settings = fire.Settings(evaluator_pick=pick)
    by_id = {w.id: w for w in [*workers, evaluator]}
    begun = evaluators.Starts(make_setup((2, 4), 1, seed=seed), settings, by_id, {}, done).next(evaluator, NOW)
    assert begun is not None
    return begun.parent


def test_evaluator_pick_by_hand() -> None:
    assert {picked("least_recent", seed) for seed in range(10)} == {4}
    assert {picked("least_recent", seed, explored=True) for seed in range(10)} == {2}
    assert {picked("most_recent", seed) for seed in range(10)} == {3}
    assert {picked("most_recent", seed, explored=True) for seed in range(10)} == {5}
    drawn = Counter(picked("random", seed) for seed in range(400))
    assert set(drawn) == {2, 3, 4, 5}
    assert chisquare(list(drawn.values())).pvalue > 1e-3
    assert {picked("random", seed, explored=True) for seed in range(40)} == {2, 5}


def test_parent_fitness_decides_who_copies_among_parents() -> None:
    for t, before, after in again(parent_fitness="objective"):
        assert of(Fail, before) == of(Fail, after)
        assert verdicts(before) == verdicts(after)
        assert copies(t, before, range(1, 2)) == copies(t, after, range(1, 2))


@pytest.mark.parametrize(("value", "expected"), [("improvement", (3, -1.0, 2, 1.0)), ("objective", (2, 1.0, 4, 7.0))])
def test_parent_fitness_by_hand(value: str, expected: tuple[int, float, int, float]) -> None:
    """Parents 2, 3, 4 end at 1, 3, 7. Evaluators see 2 at a best of 2 and 3 at a best of 1; none measures 4."""
    workers = [
        *(member(id, **RESTING) for id in (0, 1)),
        *(member(id, 2) for id in (2, 3, 4)),
        busy(5, 2, 2, 0, BETTER[:-1]),
        busy(6, 2, 3, 0, CHILD[:-1]),
    ]
    objectives = {2: 1.0, 3: 3.0, 4: 7.0, 5: BETTER[-1], 6: CHILD[-1]}
    settings = fire.Settings(min_points=3, parent_fitness=value)
    [copy] = of(Copy, point(make_setup((2, 3), 2), settings, workers, objectives)[1])
    assert (copy.worker, copy.fitness, copy.donor, copy.donor_fitness) == expected


def test_promotion_off_leaves_verdicts_and_the_last_parents_as_they_are() -> None:
    for t, before, after in again(promotion="off"):
        assert not of(Promote, after)
        last = len(t.setup.sizes)  # nobody is promoted there
        assert copies(t, before, range(last, last + 1)) == copies(t, after, range(last, last + 1))
        if not of(Promote, before):
            assert before == after


@pytest.mark.parametrize(("switch", "value"), [("patience", "fixed"), ("success_without_overlap", False)])
def test_switches_of_the_verdict_leave_exploit_alone(switch: str, value: Any) -> None:
    for _, before, after in again(**{switch: value}):
        assert of(Fail, before) == of(Fail, after)
        if of(Promote, before) == of(Promote, after):
            assert of(Copy, before) == of(Copy, after)
        if verdicts(before) == verdicts(after):
            assert before == after


@given(scenarios(least_populations=2), st.fixed_dictionaries({k: st.sampled_from(v) for k, v in SWITCHES.items()}))
@hypothesis_settings(max_examples=25, deadline=None, database=None, derandomize=True)
def test_any_run_keeps_its_records_with_everything_switched(scenario: Scenario, switched: dict[str, Any]) -> None:
    settings = replace(scenario.settings, **switched)
    for t in scenario.simulate(settings=settings).log:
        check_order_and_records(t)
        check_stop_3(t)
        assert not t.of(Promote)

"""The sentences: every decision is told, and what is said is what the core knew."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from journals_by_hand import config_for
from scipy.stats import binomtest
from simulate import ALL_KINDS, LR, Scenario, Simulation, busy, make_setup, member, scenarios

import firerl
from firerl.base.settings import plain
from firerl.config.run_config import AlgoConfig, RunConfig
from firerl.errors import SettingError
from firerl.evolution import curves, winner
from firerl.evolution.algorithms import cosine, fire
from firerl.evolution.exploit import objective_fitness, ranking
from firerl.evolution.population import (
    Copy,
    Fail,
    Promote,
    Report,
    Setup,
    StartEvaluator,
    StopEvaluator,
    initial_state,
)
from firerl.insight.explain import story
from firerl.insight.explain.ranks import Ranks, after_failures
from firerl.insight.explain.verdict import chosen, evaluator_settings, outcome, seen
from firerl.insight.history.history import Measurement, read, result_of, tell
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal


def config_of(setup: Setup, settings: Any, algo: str = "fire") -> RunConfig:
    return dataclasses.replace(
        config_for(Path("r")),
        algo=AlgoConfig(algo, plain(settings)),
        sizes=setup.sizes,
        evaluators=setup.evaluators,
        space=setup.space.to_plain(),
        eval_interval=setup.eval_interval,
        ready_interval=setup.ready_interval,
        seed=setup.seed,
    )


def told(simulation: Simulation, algo: str = "fire", **options: Any) -> list[str]:
    """The lines of a simulated run."""
    history = tell(initial_state(simulation.setup), [Point(t.reports, t.decisions) for t in simulation.log])
    config = config_of(simulation.setup, simulation.settings, algo)
    return list(story.tell(config, history, **{"result": {}, **options}))


@given(scenarios())
@hypothesis_settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_every_decision_is_told_once(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    text = "\n".join(told(simulation))
    decisions = [d for t in simulation.log for d in t.decisions]

    def count(*kinds: type) -> int:
        return sum(isinstance(d, kinds) for d in decisions)

    assert len(re.findall(r"^  P\d: member \d+", text, re.MULTILINE)) == count(Copy)
    assert len(re.findall(r"^  evaluator \d+ had trained", text, re.MULTILINE)) == count(Promote, StopEvaluator)
    assert len(re.findall(r"takes its weights", text)) == count(Promote)
    assert len(re.findall(r"^  (?:member|evaluator) \d+ failed", text, re.MULTILINE)) == count(Fail)
    begun = re.findall(r"^  evaluators? (?:\d+ )?begins? with.*", text, re.MULTILINE)
    assert sum(max(1, len(re.findall(r"\d+ with member", line))) for line in begun) == count(StartEvaluator)


@given(scenarios(synchronous=True))
@hypothesis_settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_ranks_are_those_that_the_core_had(scenario: Scenario) -> None:
    """In sub-populations ranked by the objective losers are told from the end, donors from the front."""
    simulation = scenario.simulate()
    k = {p: max(1, int(scenario.settings.truncation * size + 1e-9)) for p, size in enumerate(scenario.setup.sizes, 1)}
    lines = [line for line in told(simulation) if re.match(r"  P\d: member", line)]
    copies = [d for t in simulation.log for d in t.decisions if isinstance(d, Copy)]
    for line, copy in zip(lines, copies, strict=True):
        if copy.fresh:  # it takes what there is
            continue
        population = int(line[3])
        pattern = r"(\d+)\w\w of (\d+)(?: ranked)? \((objective|improvement) "
        (loser, ranked, kind), (donor, *others) = re.findall(pattern, line)
        assert others == [ranked, kind]
        assert (
            kind == "objective" if population == 1 else kind == "improvement" or copy.fitness == 0 == copy.donor_fitness
        )
        assert int(loser) > int(ranked) - k[population]
        assert int(donor) <= k[population]


@given(scenarios(least_populations=2, synchronous=True))
@hypothesis_settings(max_examples=15, deadline=None, database=None, derandomize=True)
def test_what_is_said_of_a_verdict_is_counted_anew(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    history = tell(initial_state(simulation.setup), [Point(t.reports, t.decisions) for t in simulation.log])
    for m in history.measurements:
        if m.best_score_diff is None or m.p_value is None:
            continue
        said = seen(m, scenario.settings)
        shared = curves.overlap(curves.smooth(m.eta), curves.smooth(m.rho))
        if shared is None:
            assert "overlap, it was" not in said
            continue
        a = np.array(m.eta)[shared.f : shared.f + shared.length]
        b = np.array(m.rho)[shared.g : shared.g + shared.length]
        counts = {"better": int((a > b).sum()), "worse": int((a < b).sum()), "equal": int((a == b).sum())}
        untied = counts["better"] + counts["worse"]
        p = binomtest(counts["better"], untied, alternative="greater").pvalue if untied else 1.0
        assert m.p_value == pytest.approx(p)
        for word, n in counts.items():
            if n == shared.length > 2:
                assert f"it was {word} at all {n}" in said
            elif n and shared.length > 2:
                assert f"{word} at {n}" in said
            else:
                assert f"{word} at" not in said or shared.length == 2


def measured(eta: list[float], rho: list[float], **fields: Any) -> Measurement:
    base: dict[str, Any] = {"evaluator": 17, "parent": 11, "child": 2, "start": 180_000, "network_step": 180_000}
    base.update(hyperparameters={"lr": 0.1}, end=240_000, outcome="promotion", points=9)
    base.update(best_score_diff=41.3, p_value=0.5**9, eta=tuple(eta), rho=tuple(rho), **fields)
    return Measurement(**base)


def test_the_issues_sentence() -> None:
    rho = [100.0 + 10 * i for i in range(9)]
    m = measured([99.0, *(100.5 + 15 * (i + 1) for i in range(9))], [100.0, *rho[:8]])
    settings = fire.Settings(smoothing="none")
    said = "Over the 9 points where the curves overlap, it was better at all 9"
    assert seen(m, settings) == f"{said} (p = 0.002, best score difference +41.3)"
    assert outcome(m, fire.Settings()) == "Member 2 takes its weights"


def test_what_is_said_without_an_overlap() -> None:
    low, high = [1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]
    settings = fire.Settings()
    assert "4 points lay wholly above member 2's" in seen(_of(4, high, low), settings)
    assert "4 points lay wholly below member 2's" in seen(_of(4, low, high), settings)
    assert "had 0 points, member 2 had 4" in seen(_of(0, [], low), settings)
    assert "judged on 3 points" in seen(_of(3, low, high), settings)  # an algorithm with other rules


def _of(points: int, eta: list[float], rho: list[float]) -> Measurement:
    return dataclasses.replace(measured(eta, rho), points=points)


def test_ties_are_said() -> None:
    flat = [1.0, 1.0, 1.0, 1.0, 1.0]
    assert "equal at all 5" in seen(_of(5, flat, flat), fire.Settings(smoothing="none"))
    mixed = seen(_of(5, [1.0, 2.0, 1.0, 0.5, 1.0], flat), fire.Settings(smoothing="none"))
    assert "better at 1, worse at 1, equal at 3" in mixed


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no-improvement", "It gives up, because p is above the limit of its patience, which is 0.343 by then"),
        ("no-overlap", "It gives up, because its 90,000 steps are over"),
        ("timeout", "without a success"),
        ("no-promotion", "algo.promotion=off"),
        ("replaced", "exploit has replaced its parent or its child"),
        ("failed", "its learner failed"),
        ("tired", "It ends: tired"),
    ],
)
def test_every_reason_has_its_words(reason: str, words: str) -> None:
    m = dataclasses.replace(measured([1.0], [2.0]), outcome=reason)
    assert words in outcome(m, fire.Settings(max_eval_steps=90_000))


def test_the_measurement_that_says_most() -> None:
    a = dataclasses.replace(measured([1.0], [1.0]), outcome="timeout", p_value=0.3)
    b = dataclasses.replace(a, p_value=0.02)
    early = dataclasses.replace(a, outcome="promotion", end=190_000)
    late = dataclasses.replace(early, end=230_000)
    assert chosen([]) is None
    assert chosen([a, b]) == b
    assert chosen([early, b, late, a]) == late
    nothing = dataclasses.replace(a, p_value=None, eta=())
    assert chosen([nothing]) is None


def test_hyperparameters_that_change_together_share_a_sentence() -> None:
    setup = make_setup((3,), spec=LR)
    settings = cosine.Settings(hyperparameters={"lr": 0.1}, anneal="lr", anneal_steps=100)
    simulation = Simulation(cosine, setup, settings, lambda value, values, rng: (value + 1, value))
    simulation.state = cosine.initial(setup, settings)
    first = simulation.state
    simulation.run(4)
    history = tell(first, [Point(t.reports, t.decisions) for t in simulation.log])
    lines = list(story.tell(config_of(setup, settings, "cosine"), history, result={}))
    assert "  members 0 to 2: lr 0.1" in lines
    assert "step 10: 3 changes of hyperparameters" in lines
    assert "  members 0 to 2, weights kept: lr 0.1 -> 0.0976 (x 0.976)" in lines


def test_failures_and_what_comes_after_them() -> None:
    setup = make_setup((2,), spec=LR)
    fail = Fail(1, 10, "NaN")
    copy = Copy(1, 0, 20, 20, {"lr": 0.1}, {"lr": 0.2}, None, 3.0, fresh=True)
    points = [
        Point([Report(0, 10, 1.0), Report(1, 10, failure="NaN")], [fail]),
        Point([Report(0, 20, 3.0)], [copy]),
    ]
    lines = list(story.tell(config_of(setup, fire.Settings()), tell(initial_state(setup), points), result=None))
    assert "  member 1 failed: its objective was NaN; it rests until the next ready" in lines
    assert (
        "  P1: member 1, which had failed, comes back with the weights of member 0, 1st of 1 ranked (objective 3): "
        "lr 0.1 -> 0.2 (x 2)"
    ) in lines
    assert "The run has not finished: it is told up to its last generation, at step 20." in lines
    assert "so far, step 20: member 0 of P1 leads. It is ranked by its last evaluation, 3." in lines


def test_a_run_that_has_only_begun() -> None:
    setup = make_setup((2, 2), 2)
    history = tell(initial_state(setup), [])
    lines = list(story.tell(config_of(setup, fire.Settings()), history, result=None))
    assert sum(line.startswith("  member ") for line in lines) == 4
    assert lines[-1] == "so far, step 0: member 0 of P1 leads. It has no evaluation yet."


@given(scenarios())
@hypothesis_settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_the_end_names_the_winner(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    last = told(simulation)
    ending = next(line for line in last if line.startswith("the end"))
    best = winner.winner(simulation.state, simulation.log[-1].decisions, scenario.settings.fitness_window)
    if best is None:
        assert "no healthy member is left" in ending
    else:
        assert f"member {best.worker} of P" in ending


def test_narrowing_keeps_what_concerns_a_worker(told_run: Path) -> None:
    config, history = read(Journal.open(told_run))
    whole = list(story.tell(config, history, result={}))
    for worker in range(11):
        lines = list(story.tell(config, history, result={}, worker=worker))
        inside = [line for line in lines if line.startswith("  ") and not line.startswith("      ")]
        start = next(i for i, line in enumerate(lines) if line.startswith("the end"))
        for line in lines[:start]:
            if line.startswith("  "):
                assert re.search(rf"\b(?:evaluators?|members?)\b.*\b{worker}\b|members \d+ to \d+", line), line
        assert len(inside) < len(whole)
    child = next(d for d in history.decisions if isinstance(d, Promote)).child
    assert any("takes its weights" in line for line in story.tell(config, history, result={}, worker=child))


def test_narrowing_to_a_step(told_run: Path) -> None:
    config, history = read(Journal.open(told_run))
    promoted = next(d for d in history.decisions if isinstance(d, Promote))
    lines = list(story.tell(config, history, result={}, step=promoted.step))
    assert [line for line in lines if not line.startswith("  ")] == [lines[0]]
    assert lines[0].startswith(f"step {promoted.step:,}: ")
    assert "1 promotion" in lines[0]
    assert any(f"Member {promoted.child} takes its weights" in line for line in lines)
    assert next(story.tell(config, history, result={}, step=0)) == "step 0: the first hyperparameters"
    quiet = next(max(r.step for r in p.reports) for p in history.points if not p.decisions)
    assert list(story.tell(config, history, result={}, step=quiet)) == [f"step {quiet}: nothing was decided"]


@pytest.mark.parametrize("narrow", [{"worker": 11}, {"worker": -1}, {"step": 15}, {"step": 10_000}])
def test_an_unknown_worker_or_step(told_run: Path, narrow: dict[str, int]) -> None:
    config, history = read(Journal.open(told_run))
    ((name, value),) = narrow.items()
    with pytest.raises(SettingError, match=f"{name}={value}"):
        list(story.tell(config, history, result={}, **narrow))


def test_runs_without_evaluators(tmp_path: Path) -> None:
    for algo in ("pbt", "random", "mfpbt"):
        run_dir = tmp_path / algo
        options: dict[str, Any] = {"population": [4, 4], "steps": 120, "engine": "inline", "progress": False}
        firerl.run("quadratic", algo=algo, run_dir=run_dir, **options)
        journal = Journal.open(run_dir)
        config, history = read(journal)
        text = "\n".join(story.tell(config, history, result=result_of(journal)))
        assert "evaluator " not in text
        assert ("takes the weights" in text) == (algo != "random")
        assert "wins. It is ranked by its last evaluation, " in text


def test_a_failed_evaluator_ranks_nobody() -> None:
    setup, settings = make_setup((2, 2), 2), evaluator_settings({"min_points": 1, "other": 3})
    assert settings.min_points == 1
    workers = [member(0), member(1), member(2, 2), member(3, 2), busy(4, 2, 2, 0, [1.0, 2.0]), busy(5, 2, 3, 0, [0.0])]
    by_id = {w.id: w for w in workers}
    ranks = Ranks(setup, settings, 1, after_failures(by_id, {5}), lambda: by_id)
    assert ranks.improvement == {2: 0.0}


def test_all_kinds_of_hyperparameters_are_told() -> None:
    setup = make_setup((4,), spec=ALL_KINDS)
    simulation = Simulation(fire, setup, fire.Settings(), lambda value, values, rng: (value, float(rng.normal())))
    simulation.run(12)
    text = "\n".join(told(simulation))
    for name in ALL_KINDS:
        assert f"{name} " in text
    assert "1 - discount x" in text


def test_ranks_use_the_keyed_order_of_ties() -> None:
    setup = make_setup((4,))
    workers = {i: member(i, 1, [1.0]) for i in range(4)}
    order = [
        w.id for w in ranking(setup, list(workers.values()), {i: objective_fitness(workers[i], 1) for i in workers})
    ]
    ranks = Ranks(setup, fire.Settings(), 1, workers, lambda: workers)
    copy = Copy(order[-1], order[0], 100, 100, {"lr": 0.1}, {"lr": 0.2}, 1.0, 1.0)
    assert ranks.of_copy(copy) == ("4th of 4 (objective 1)", "1st of 4 (objective 1)")

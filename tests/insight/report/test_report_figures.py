"""The report's figures, on random runs and against the runs' own records."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from journals_by_hand import config_for
from simulate import ALL_KINDS, Scenario, Simulation, make_setup, scenarios

from firerl.evolution.algorithms import cosine
from firerl.evolution.population import Copy, Promote, StartEvaluator, initial_state
from firerl.evolution.space import Space
from firerl.evolution.winner import winner
from firerl.insight.history.history import Stretch, tell
from firerl.insight.report import figures as report_figures
from firerl.insight.report import lines as report_lines
from firerl.insight.report import style as report_style
from firerl.insight.report import words as report_words
from firerl.insight.report.lines import Scale, medians, stitched
from firerl.insight.report.run import EVALUATOR, Run, read
from firerl.storage.generation import Point

GROUPS = ["P1", "P2", "P3", "P4", "P5", EVALUATOR]


def run_of(simulation: Simulation) -> Run:
    """A simulated run as the report reads it."""
    setup, log = simulation.setup, simulation.log
    config = dataclasses.replace(
        config_for(Path("r")),
        sizes=setup.sizes,
        evaluators=setup.evaluators,
        space=setup.space.to_plain(),
        eval_interval=setup.eval_interval,
        ready_interval=setup.ready_interval,
    )
    history = tell(initial_state(setup), [Point(t.reports, t.decisions) for t in log])
    leader = winner(simulation.state, log[-1].decisions, 1)
    return Run(config, history, 1, leader, None, 0.0)


def figures_of(run: Run) -> dict[str, Any]:
    """All figures, as the page's script gets them."""
    made = {"objectives": report_figures.objectives(run), "lineage": report_figures.lineage(run)}
    if run.winner_path:
        made["winner"] = report_figures.winner(run)
    if EVALUATOR in run.groups:
        made["evaluators"] = report_figures.evaluators(run)
    made |= {f"space-{d.name}": report_figures.hyperparameter(run, d) for d in run.space.dimensions}
    return {name: json.loads(json.dumps(figure.to_plotly_json(), allow_nan=False)) for name, figure in made.items()}


def lives(figure: Any) -> dict[int, list[tuple[Any, Any]]]:
    """The points of every worker's own line."""
    own = [trace for trace in figure["data"] if trace["meta"]["kind"] == "life"]
    return {t["meta"]["worker"]: [p for p in zip(t["x"], t["y"], strict=True) if p[0] is not None] for t in own}


@given(scenarios())
@hypothesis_settings(max_examples=12, deadline=None, database=None, derandomize=True)
def test_figures_show_all_that_was_reported_and_decided(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    run = run_of(simulation)
    figures = figures_of(run)
    shown = lives(figures["objectives"])
    for worker in run.workers:
        told = [
            (r.step, pytest.approx(r.objective, rel=1e-5))
            for t in simulation.log
            for r in t.reports
            if r.worker == worker.id and r.objective is not None and r.failure is None
        ]
        assert shown[worker.id] == told
    if EVALUATOR in run.groups:
        bars = figures["evaluators"]["data"]
        assert {bar["name"]: len(bar["x"]) for bar in bars} == Counter(m.outcome for m in run.history.measurements)
        assert all(length >= 0 for bar in bars for length in bar["x"])
    for dimension in run.space.dimensions:
        assert set(lives(figures[f"space-{dimension.name}"])) == {w.id for w in run.workers}
    for words in (report_words.summary(run), [report_words.objectives(run)], [report_words.lineage(run)]):
        assert all(text.endswith(".") for text in words)


@given(scenarios())
@hypothesis_settings(max_examples=25, deadline=None, database=None, derandomize=True)
def test_the_winner_s_curve_is_what_its_network_reported(scenario: Scenario) -> None:
    simulation = scenario.simulate()
    run = run_of(simulation)
    if run.leader is None:
        return
    carried: dict[int, list[tuple[int, float]]] = {w.id: [] for w in run.workers}  # what each network has reported
    for t in simulation.log:
        for r in t.reports:
            if r.objective is not None and r.failure is None:
                carried[r.worker].append((r.step, r.objective))
        for d in t.decisions:
            if isinstance(d, Copy):
                carried[d.worker] = list(carried[d.donor])
            elif isinstance(d, StartEvaluator):
                carried[d.worker] = list(carried[d.parent])
            elif isinstance(d, Promote):
                carried[d.child] = list(carried[d.worker])
    assert stitched(run) == carried[run.leader.worker]


def test_metrics_are_shown_as_reported(told_run: Path) -> None:
    run = read(told_run)
    assert report_figures.metrics(run) == {"metric-0": "lr_used", "metric-1": "steps"}
    shown = lives(report_figures.metric(run, "lr_used").to_plotly_json())
    for worker in run.workers:
        reports = [r for point in run.history.points for r in point.reports if r.worker == worker.id and not r.failure]
        assert shown[worker.id] == [(r.step, pytest.approx(r.metrics["lr_used"], rel=1e-4)) for r in reports]


def test_very_many_metrics_are_thinned(told_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read(told_run)
    monkeypatch.setattr(report_lines, "METRIC_POINTS", 300)
    every = report_lines.bundle(run)
    assert every > 1
    drawn = [lives(report_figures.metric(run, name).to_plotly_json()) for name in ("lr_used", "steps")]
    stretches = sum(map(len, run.history.stretches.values()))  # each may end with fewer
    assert sum(len(points) for figure in drawn for points in figure.values()) <= 300 + 2 * stretches
    stretch = Stretch(
        0, "initial", None, 0, 0, [], metrics=[(10, {"a": 1.0}), (20, {}), (30, {"a": 2.0}), (40, {"a": 5.0})]
    )
    assert report_lines.metric_curve(stretch, "a", 2) == [(30, 1.5), (40, 5.0)]
    assert report_lines.metric_curve(stretch, "a", 1, 10, 30) == [(30, 2.0)]
    assert f"a point is the mean of {every} in a row" in report_words.metrics(run)


def test_hyperparameters_are_told_as_trained_with() -> None:
    """The cosine schedule sets the next value at every evaluation: the one after the end was never trained with."""
    setup = make_setup((2,), spec={"lr": {"log_uniform": [1e-4, 1e-2], "initial": [0.01, 0.01]}})
    settings = cosine.Settings(anneal_steps=30, hyperparameters={"lr": 0.01})
    simulation = Simulation(cosine, setup, settings, lambda value, _, rng: (value, 1.0))
    simulation.run(3)
    run = run_of(simulation)
    shown = lives(figures_of(run)["space-lr"])[0]
    assert shown == [(0, 0.01), (10, 0.01), (10, 0.0075), (20, 0.0075), (20, 0.0025), (30, 0.0025)]
    assert report_words.hyperparameter(run, "lr") == "P1: 0.01 → 2.5e-3, leader 2.5e-3"


def test_an_outcome_of_somebody_s_own_algorithm_is_shown() -> None:
    assert report_style.outcome_role("Gave up; }</style>") == "outcome-gave-up-----style-"
    assert report_style.outcome("Gave up").meaning == "the algorithm's own reason"
    assert set(report_style.palette(["P1"], ["no-overlap", "Gave up"])) >= {
        "P1",
        "outcome-no-overlap",
        "outcome-gave-up",
    }


def test_medians_need_half_of_a_group() -> None:
    stretches = {
        0: [type("S", (), {"steps": [10, 20], "objectives": [1.0, 2.0]})],
        1: [type("S", (), {"steps": [10], "objectives": [4.0]})],
        2: [type("S", (), {"steps": [], "objectives": []})],
    }
    run: Any = type("R", (), {"history": type("H", (), {"stretches": stretches})})
    assert medians(run, [0, 1, 2]) == [(10, 2.5)]


def test_every_kind_has_its_scale() -> None:
    scales = {d.name: Scale(d) for d in Space.parse(ALL_KINDS).dimensions}
    kinds = {name: scale.axis.get("type", "choice") for name, scale in scales.items()}
    assert kinds == {
        "lr": "log", "discount": "log", "entropy": "linear", "shift": "linear", "epochs": "linear",
        "optimiser": "choice", "nesterov": "choice", "batch": "choice",
    }  # fmt: skip
    discount = scales["discount"]
    assert discount.height(0.99) == pytest.approx(0.01)
    assert discount.axis["autorange"] == "reversed"  # 0.999 above 0.9
    assert discount.texts([(0, discount.height(0.99)), (None, None)]) == ["0.99", ""]
    named = dict(zip(discount.axis["tickvals"], discount.axis["ticktext"], strict=True))
    assert named[0.01] == "0.99"
    assert scales["optimiser"].texts([(0, scales["optimiser"].height("sgd"))]) == ["sgd"]
    markup = Scale(Space.parse({"a": {"choice": ["<b>x</b>", "y"]}}).dimensions[0])
    assert markup.axis["ticktext"][0] == "&lt;b>x&lt;/b>"


def test_nothing_hangs_on_colour_alone() -> None:
    looks = [report_style.look(group) for group in GROUPS]
    assert len({look.dash for look in looks}) == len({look.symbol for look in looks}) == len(GROUPS)
    outcomes = report_style.OUTCOMES.values()
    assert len({outcome.hatch for outcome in outcomes}) == len({outcome.sign for outcome in outcomes}) == len(outcomes)


@pytest.mark.parametrize("role", [*GROUPS, *report_style.ROLES])
def test_lines_stand_out_on_either_ground(role: str) -> None:
    look = report_style.look(role)
    assert contrast(look.light, "#ffffff") >= 3
    assert contrast(look.dark, "#15181c") >= 3


def contrast(one: str, other: str) -> float:
    """By WCAG 2: 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

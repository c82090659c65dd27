"""Groups, figures at equal steps, pairs and warnings, on runs made by hand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journals_by_hand import config_for

from firerl.errors import RunFolderError, SettingError
from firerl.evolution.population import Copy, Decision, Fail, StopEvaluator
from firerl.insight.compare.comparison import Comparison, Run, compare
from firerl.insight.compare.comparison_plot import picture
from firerl.insight.compare.comparison_text import as_csv, as_json, text
from firerl.insight.history.trajectory import Trajectory

COPY = Copy(0, 1, 20, 20, {"lr": 0.1}, {"lr": 0.2}, 0.0, 1.0)
STOP = StopEvaluator(4, 2, 0, 20, "timeout", 3, None, None)


def made(
    algo: str,
    seed: int,
    best: Sequence[float],
    each: int = 50,
    *,
    decisions: dict[int, list[Decision]] | None = None,
    finished: bool = True,
    fresh: dict[str, float] | None = None,
    **changes: Any,
) -> Run:
    """A run whose best member has these objectives, ``each`` steps of all workers apart."""
    steps = each * np.arange(1, len(best) + 1)
    values = np.array(best, dtype=float)
    told = tuple(tuple((decisions or {}).get(k, ())) for k in range(len(best)))
    path = Trajectory(steps, steps // 10, values, values - 1, 0.0 * values, told)
    config = replace(config_for(Path("unused"), algo, seed=seed), **changes)
    result = {"stopped": "steps", "fresh": fresh or {}} if finished else None
    return Run(f"{algo}-{seed}", config, path, 10 * len(best), result)


def pair_of(comparison: Comparison, figure: str = "best") -> Any:
    return next(pair for pair in comparison.pairs if pair.figure == figure)


def test_runs_are_compared_where_the_shortest_ends() -> None:
    # Of fire 50 steps an evaluation, of pbt 20: 80 steps are one and four evaluations.
    c = compare([made("fire", 0, [1.0, 2.0, 3.0]), made("pbt", 0, [1.0, 4.0, 5.0, 6.0], each=20)])
    assert (c.start, c.budget) == (50, 80)
    fire, pbt = (found.rows[0].figures for found in c.groups)
    assert (fire["best"], fire["median"], fire["area"], fire["evaluator_steps"]) == (1.0, 0.0, 1.0, 5.0)
    assert (pbt["best"], pbt["median"], pbt["evaluator_steps"]) == (6.0, 5.0, 8.0)
    assert pbt["area"] == pytest.approx((10 * 4.0 + 20 * 5.0) / 30)
    assert any("at 80 steps, because pbt-0 ends" in note and "fire-0 goes on to 150" in note for note in c.notes)


def test_only_what_happened_within_the_budget_is_counted() -> None:
    decisions: dict[int, list[Decision]] = {0: [COPY], 1: [COPY, STOP, Fail(1, 20, "NaN")], 2: [COPY, STOP]}
    c = compare([made("fire", 0, [1.0, 2.0, 3.0], decisions=decisions), made("pbt", 0, [1.0, 2.0])])
    figures = c.groups[0].rows[0].figures
    assert (figures["copies"], figures["stops.timeout"], figures["failures"]) == (2.0, 1.0, 1.0)


def test_a_reason_that_never_came_up_in_a_run_counts_as_0() -> None:
    decisions: dict[int, list[Decision]] = {0: [STOP, STOP]}
    runs = [made("fire", seed, [1.0], decisions=decisions if seed else None) for seed in range(3)]
    estimate = compare(runs).groups[0].medians["stops.timeout"]
    assert (estimate.value, estimate.n) == (2.0, 3)


def test_pairs_are_runs_of_one_seed() -> None:
    fire = [made("fire", seed, [float(value)]) for seed, value in ((4, 10), (1, 20), (2, 30))]
    pbt = [made("pbt", seed, [float(value)]) for seed, value in ((2, 25), (4, 7), (9, 40))]
    pair = pair_of(compare([*fire, *pbt]))
    assert (pair.a, pair.b) == ("fire", "pbt")
    assert (pair.paired.mean.value, pair.paired.mean.n) == (4.0, 2)  # 10 - 7 and 30 - 25
    assert pair.improvement.value == pytest.approx(4 / 9)  # 10 and 20 beat 7, 30 beats 7 and 25
    assert pair.paired.p_value == 0.5


def test_without_a_seed_in_common_there_is_no_difference() -> None:
    c = compare([made("fire", 0, [1.0]), made("fire", 1, [2.0]), made("pbt", 2, [3.0]), made("pbt", 3, [1.5])])
    assert pair_of(c).paired is None
    assert any("no seed in common" in note for note in c.notes)
    assert "0.25" in text(c)  # P(fire is better): of four pairs 2 > 1.5 alone


def test_few_runs_are_warned_about_and_shown_as_they_are() -> None:
    few = [made(algo, seed, [10.0 * (algo == "fire") + seed]) for algo in ("fire", "pbt") for seed in range(2)]
    shown = text(compare(few))
    assert "10.00 and 11.00" in shown
    assert "fire and pbt have fewer than 3 runs. The tables show the values without an interval." in shown
    three = [made(algo, seed, [10.0 * (algo == "fire") + seed]) for algo in ("fire", "pbt") for seed in range(3)]
    shown = text(compare(three))
    assert "11.00 [10.00, 12.00]" in shown
    assert "fire has 3 runs. An interval from so few values says little" in shown
    assert "With 3 pairs of runs p cannot fall below 0.25." in shown
    assert "not a certainty" in shown


def test_equal_runs_are_not_all_above() -> None:
    runs = [made(algo, seed, [5.0]) for algo in ("fire", "pbt") for seed in range(3)]
    assert pair_of(compare(runs)).improvement.value == 0.5
    assert "all runs of one group are above" not in text(compare(runs))


def test_six_seeds_each_are_enough_to_say_nothing_more() -> None:
    runs = [made(algo, seed, [(seed * 7) % 5 + 0.1 * (algo == "pbt")]) for algo in ("fire", "pbt") for seed in range(6)]
    assert compare(runs).notes == []


def test_an_unfinished_run_takes_part_and_is_named() -> None:
    c = compare([made("fire", 0, [1.0, 2.0], finished=False), made("pbt", 0, [1.0, 2.0, 3.0])])
    assert "fire-0 is unfinished: it has reached step 20 of 40." in c.notes
    assert c.budget == 100
    assert [row.finished for row in c.rows] == [False, True]


def test_a_run_that_ended_early_is_named() -> None:
    early = replace(made("fire", 0, [1.0, 2.0]), result={"stopped": "stop.objective", "fresh": {}})
    c = compare([early, made("pbt", 0, [1.0, 2.0, 3.0, 4.0])])
    assert "fire-0 ended early, at step 20, by stop.objective." in c.notes


def test_several_comparisons_are_told_to_be_several() -> None:
    runs = [made(algo, seed, [float(seed)]) for algo in ("fire", "pbt", "random") for seed in range(2)]
    assert any("not corrected for the 3 comparisons made" in note for note in compare(runs).notes)


def test_figures_of_the_winner_are_compared_where_runs_have_them() -> None:
    fire = [made("fire", seed, [1.0], fresh={"episodes": 20.0, "mean_return": 5.0 + seed}) for seed in range(3)]
    pbt = [made("pbt", seed, [1.0], fresh={"episodes": 20.0, "mean_return": 2.0}) for seed in range(2)]
    c = compare([*fire, *pbt, made("pbt", 2, [1.0], finished=False)])
    assert c.fresh == ["fresh.mean_return"]
    assert pair_of(c, "fresh.mean_return").paired.mean.value == pytest.approx(3.5)
    assert "mean_return" in text(c)
    assert "6.000 [5.000, 7.000]" in text(c)


def test_one_run_is_refused() -> None:
    with pytest.raises(SettingError, match="one run alone"):
        compare([made("fire", 0, [1.0])])


def test_a_run_that_has_nothing_yet_is_refused() -> None:
    with pytest.raises(RunFolderError, match="pbt-0 has committed no evaluation yet"):
        compare([made("fire", 0, [1.0]), made("pbt", 0, [])])
    with pytest.raises(RunFolderError, match="pbt-0 has no objective within 50 steps"):
        compare([made("fire", 0, [1.0]), made("pbt", 0, [float("nan"), 1.0])])


def test_json_and_csv_hold_every_run() -> None:
    settings = {"dimensions": 4, "kappa": 2.0, "noise": 0.3}
    other = made("fire", 0, [4.0], settings=settings)
    runs = [made("fire", 0, [1.0]), made("fire", 1, [2.0]), replace(other, name="other"), made("pbt", 0, [3.0])]
    c = compare(runs, ["learner.kappa"])
    data = json.loads(as_json(c))
    assert [g["name"] for g in data["groups"]] == ["fire learner.kappa=1.5", "fire learner.kappa=2.0", "pbt"]
    assert data["groups"][0]["medians"]["best"] == {"value": 1.5, "low": None, "high": None, "n": 2}
    assert [p["paired"]["mean"]["value"] for p in data["pairs"] if p["figure"] == "best"] == [-3.0, -2.0, 1.0]
    rows = list(csv.DictReader(io.StringIO(as_csv(c))))
    assert [(row["run"], float(row["best"]), row["learner.kappa"]) for row in rows] == [
        ("fire-0", 1.0, "1.5"),
        ("fire-1", 2.0, "1.5"),
        ("other", 4.0, "2.0"),
        ("pbt-0", 3.0, "1.5"),
    ]
    assert any("differ in learner.kappa, which --allow accepts" in note for note in c.notes)


def test_lines_are_aligned() -> None:
    runs = [made(algo, seed, [1000.0 + seed]) for algo in ("fire", "pbt") for seed in range(3)]
    table = text(compare(runs)).split("\n\n")[1].splitlines()
    at = [line.index("1,001 [") for line in table[1:]]
    assert len(table) == 3
    assert at == [table[0].index("best member")] * 2


@pytest.mark.parametrize(("format", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_picture_is_the_same_every_time(format: str, magic: bytes) -> None:
    runs = [made(algo, seed, [1.0, 2.0 + seed]) for algo in ("fire", "pbt", "random") for seed in range(3)]
    comparison, paths = compare(runs), {run.name: run.trajectory for run in runs}
    one, other = (picture(comparison, paths, format) for _ in range(2))
    assert one.startswith(magic)
    assert one == other


def test_a_picture_of_a_single_evaluation_can_be_drawn() -> None:
    runs = [made("fire", 0, [1.0]), made("pbt", 0, [1.0])]
    assert b"</svg>" in picture(compare(runs), {run.name: run.trajectory for run in runs}, "svg")

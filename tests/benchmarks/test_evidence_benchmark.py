"""The grids of evidence: which runs, what is kept, and tables against numbers worked out by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats


def module(name: str) -> Any:
    return importlib.import_module(name)


def row(arm: str, seed: int, score: float, **more: Any) -> dict[str, Any]:
    stops = {"no-improvement": 2, "timeout": 1}
    evolution = {"evaluator_starts": 4 if arm == "fire" else 0, "evaluator_successes": seed, "evaluator_stops": stops}
    return {"task": "t", "arm": arm, "seed": seed, "score": score, "evolution": evolution, **more}


ROWS = [row("fire", 0, 12.0), row("fire", 1, 16.0), row("pbt", 0, 10.0), row("pbt", 1, 11.0), row("pbt", 2, 90.0)]
FIGURES = {"score": lambda found: found["score"]}


def test_pairs_are_those_seeds_that_both_arms_have() -> None:
    tables = module("evidence_tables")
    differences, normalised = tables.paired(tables.group(ROWS)["t"], FIGURES["score"], "fire", "pbt")
    assert differences == [2.0, 5.0]
    spread = ((8.0 + 0.5) / 2) ** 0.5  # variances 8 of 12, 16 and 0.5 of 10, 11
    assert normalised == pytest.approx([2.0 / spread, 5.0 / spread])
    alone = tables.group([ROWS[0], ROWS[2]])["t"]
    assert tables.paired(alone, FIGURES["score"], "fire", "pbt") == ([2.0], [])


def test_tables_of_the_same_rows() -> None:
    tables = module("evidence_tables")
    task, other, pooled = tables.differences(
        tables.group([*ROWS, *({**r, "task": "u"} for r in ROWS)]), FIGURES, ("score",)
    )[2:]
    assert task.startswith("| score | t | +3.50 | 2 of 2 | 0.500 | ")  # one of four signs is as extreme, twice
    assert other.startswith("| score | u | +3.50 | 2 of 2 | 0.500 | ")
    spread = 4.25**0.5
    assert pooled.startswith(f"| score | all, in standard deviations | {3.5 / spread:+.2f} ")
    assert tables.differences(tables.group(ROWS), FIGURES, ("score",))[2:] == [task]  # one task is no pool
    pair = [{**r, "task": "v"} for r in (ROWS[0], ROWS[2])]  # a single one has no spread and pools nothing
    *_, first, third = tables.differences(tables.group([*ROWS, *pair]), FIGURES, ("score",))
    assert third.startswith("| score | v | +2.00 | 1 of 1 | ")
    assert first == task
    rows = [{**r, "evaluators_share": 0.25, "evaluators_in_lineage": 0.2 * r["seed"]} for r in ROWS]
    acted = tables.evolution(tables.group(rows))[2:]
    assert acted == ["| t | fire | 2 | 1 | 8 | 1 | 4 | 0 | 0 | 2 | 25 % | 1 of 2 | 10 % |"]


def test_the_smallest_difference_is_found_four_times_in_five() -> None:
    """By simulation: paired t-tests on differences with that mean and the same spread."""
    tables = module("evidence_tables")
    seen = np.array([1.0, 2.0, 4.0, 7.0, 1.5])
    least = tables.smallest(seen)
    draws = np.random.default_rng(0).normal(least, seen.std(ddof=1), size=(20_000, 5))
    share = np.mean(stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05)
    assert 0.72 < share < 0.84  # the usual formula is an approximation for so few


@pytest.mark.parametrize("value", [4614.6, 72.34, 0.123, -5.0])
def test_figures_have_three_digits_or_more(value: float) -> None:
    tables, statistics = module("evidence_tables"), importlib.import_module("firerl.insight.compare.statistics")
    shown = tables.show(statistics.Estimate(value, value - 1, value + 1, 2))
    assert shown.split()[0] == {4614.6: "4,615", 72.34: "72.3", 0.123: "0.12", -5.0: "-5.00"}[value]


def test_a_line_that_a_crash_cut_off_is_computed_again_and_spoils_none(tmp_path: Path) -> None:
    results, file = module("results_file"), tmp_path / "new" / "results.jsonl"
    results.append(file, {"key": "a", "x": 1})
    results.append(file, {"key": "b", "x": 2})
    file.write_text(file.read_text()[:-5])
    assert module("evidence").load(file) == {"a": {"key": "a", "x": 1}}
    results.append(file, {"key": "b", "x": 3})
    assert [row["x"] for row in results.read(file)] == [1, 3]


def test_what_is_missing_is_run_and_nothing_starts_after_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence, images, ran = module("evidence"), module("images_evidence"), []

    def run(cell: Any, *_: Any) -> dict[str, Any]:
        ran.append(cell.name)
        return {"key": cell.key()}

    monkeypatch.setattr(evidence, "run_cell", run)
    first, second, third = list(images.cells(1, 0))
    given = evidence.parser("", "x").parse_args(["--results", str(tmp_path / "r")])
    assert len(evidence.work_through([first], given, None, str)) == 1
    assert len(evidence.work_through([first, second], given, None, str)) == 2
    given.hours = -1.0
    assert len(evidence.work_through([first, second, third], given, None, str)) == 2
    assert ran == [first.name, second.name]


def test_grids_are_balanced_and_every_cell_is_another_run() -> None:
    images, rl = module("images_evidence"), module("rl_evidence_grid")
    cells = list(images.cells(5, 0))
    assert [(c.arm.name, c.seed) for c in cells[:4]] == [("fire", 0), ("pbt", 0), ("hand schedule", 0), ("fire", 1)]
    for grid in (cells, list(rl.cells([*rl.TASKS], [*rl.MAIN, *rl.EXTRA], 0, True))):
        assert len({c.key() for c in grid}) == len(grid) == len({c.name for c in grid})
        for c in grid:
            assert sum(c.options()["population"]) + c.options()["evaluators"] in (8, 14, 22, 33)
            assert c.options() == json.loads(c.key())


def test_a_schedule_is_drawn_as_it_was_trained() -> None:
    rates = module("images_evidence_figure").rates_at
    schedule = [
        {"from": 0, "to": 20, "hyperparameters": {"learning_rate": 0.3}},
        {"from": 20, "to": 60, "hyperparameters": {"learning_rate": 0.1}},
    ]
    assert rates(schedule, [20, 40, 60]) == [0.3, 0.1, 0.1]


def test_the_defaults_beside_what_was_tuned() -> None:
    winners = {"pbt": [5, 7, 30], "constant": [3]}
    rows = [row(arm, seed, 0.0, winner={"mean": m}) for arm, means in winners.items() for seed, m in enumerate(means)]
    rows[-1]["members"] = [{"mean": value} for value in (1, 4, 2, 3, 1.4)]
    lines = module("rl_evidence").defaults(module("evidence_tables").group(rows))
    assert lines[2:] == ["| t | 1, 1, 2, 3, 4 | 3 | - | 7 | - |"]


def test_pairs_in_which_no_evaluator_succeeded_are_left_out_where_fire_acted() -> None:
    scores = {"fire": [1.0, 4.0, 9.0], "pbt": [5.0, 2.0, 5.0]}
    rows = [row(arm, seed, 0.0, winner={"mean": v}) for arm, some in scores.items() for seed, v in enumerate(some)]
    line = module("rl_evidence").where_it_acted(module("evidence_tables").group(rows))  # seed 0 had no success
    spread = ((49 / 3 + 3) / 2) ** 0.5  # of all three pairs
    start = f"| mean action, where FIRE acted | all, in standard deviations | {3 / spread:+.2f} | 2 of 2 | "
    assert line.startswith(start)


def test_the_answer_has_every_task_and_all_of_them() -> None:
    scores = {"fire": [1.0, 4.0], "pbt": [5.0, 2.0]}  # no random search yet
    rows = [row(arm, seed, 0.0, winner={"mean": v}) for arm, some in scores.items() for seed, v in enumerate(some)]
    task, pooled = module("rl_evidence").answer(module("evidence_tables").group(rows))[2:]
    assert task == "| t | -1.00 | 1 of 2 | 1.000 | - | - | - | - | - | - |"
    assert pooled == f"| all, in standard deviations | {-1 / 4.5**0.5:+.2f} | 1 of 2 | 1.000 | - | - | - | - | - | - |"

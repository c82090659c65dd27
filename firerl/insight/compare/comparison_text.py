"""A comparison as a table for the terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from firerl.insight.compare.comparison import FIGURES, FRESH, Comparison, GroupFigures, Pair, Row
from firerl.insight.compare.grouping import settings_of, workers
from firerl.insight.compare.statistics import LEAST, Estimate


def text(comparison: Comparison) -> str:
    """The tables and the notes, for people."""
    c = comparison
    runs, groups = len(c.rows), len(c.groups)
    what = f"{runs} runs in {groups} group{'s' * (groups > 1)}"
    figures = (
        "The figures are objectives: medians over the runs of a group, with 95 % intervals."
        if any(len(found.rows) >= LEAST for found in c.groups)
        else "Each figure is the objective of one run."
    )
    parts = [
        [
            f"{c.task}: {what}, compared at {c.budget:,} steps of all workers together, evaluators included.",
            figures,
        ],
        _groups(c),
        *([_fresh(c)] if c.fresh else []),
        *([_pairs(c)] if any(pair.paired or pair.improvement.n > 1 for pair in c.pairs) else []),
        [f"- {note}" for note in c.notes],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def as_json(comparison: Comparison) -> str:
    """Everything, as one JSON object."""
    c = comparison
    data = {
        "task": c.task,
        "budget": c.budget,
        "start": c.start,
        "groups": [_group_as_data(found) for found in c.groups],
        "pairs": [asdict(pair) for pair in c.pairs],
        "notes": list(c.notes),
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def as_csv(comparison: Comparison) -> str:
    """One row a run; figures that a run does not have are empty."""
    rows = comparison.rows
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    differs = list(dict.fromkeys(name for found in comparison.groups for name in found.group.differs))
    lines = []
    for row in rows:
        settings = settings_of(row.config)
        given = {name: json.dumps(settings.get(name)) for name in differs}
        lines.append({**_run(row), "budget": comparison.budget, **row.figures, **given})
    file = io.StringIO()
    writer = csv.DictWriter(file, [*_run(rows[0]), "budget", *figures, *differs], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def _run(row: Row) -> dict[str, Any]:
    config = row.config
    return {
        "run": row.run,
        "group": row.group,
        "algo": config.algo.name,
        "task": config.task,
        "seed": config.seed,
        "workers": sum(config.sizes) + config.evaluators,
        "evaluators": config.evaluators,
        "finished": row.finished,
        "step": row.step,
        "total_steps": row.total,
    }


def _group_as_data(found: GroupFigures) -> dict[str, Any]:
    return {
        "name": found.group.name,
        "algo": found.group.algo,
        "differs": found.group.differs,
        "sizes": list(found.rows[0].config.sizes),
        "evaluators": found.rows[0].config.evaluators,
        "medians": {name: asdict(estimate) for name, estimate in found.medians.items()},
        "runs": [{**_run(row), "figures": dict(row.figures)} for row in found.rows],
    }


def _groups(c: Comparison) -> list[str]:
    """A group a line: medians over its runs."""
    counted = {"copies": "copies", "evaluator_successes": "promotions", "failures": "failures"}
    counted = {name: label for name, label in counted.items() if any(row.figures[name] for row in c.rows)}
    if any(row.figures.get("evaluation_steps") for row in c.rows):
        counted["evaluation_steps"] = "extra evaluation steps"
    lines = [["group", "workers", "evaluators' share", "runs", *FIGURES.values(), *counted.values()]]
    for found in c.groups:
        cells = [_cell(c, found, name) for name in FIGURES]
        counts = [f"{found.medians[name].value:,.1f}".removesuffix(".0") for name in counted]
        share = f"{found.medians['evaluator_steps'].value / c.budget:.0%}"
        lines.append([found.group.name, workers(found.rows[0].config), share, str(len(found.rows)), *cells, *counts])
    return _aligned(lines, right=(1, 2, 3, *range(4 + len(FIGURES), len(lines[0]))))


def _fresh(c: Comparison) -> list[str]:
    """What the learner says of the winners, a figure a line."""
    lines = [["winner, at the run's end", *(found.group.name for found in c.groups)]]
    for name in c.fresh:
        lines.append([name.removeprefix(FRESH), *(_cell(c, found, name) for found in c.groups)])
    return _aligned(lines)


def _pairs(c: Comparison) -> list[str]:
    """A pair of groups and a figure a line."""
    lines = [["difference", "figure", "mean over pairs of equal seed", "pairs", "p", "P(first is better)"]]
    before = ""
    for pair in c.pairs:
        if pair.figure in FIGURES:
            who = f"{pair.a} - {pair.b}"
            better = _interval(pair.improvement, 2) if pair.improvement.n > 1 else ""
            lines.append([who if who != before else "", FIGURES[pair.figure], *_paired(c, pair), better])
            before = who
    return _aligned(lines, right=(3, 4))


def _paired(c: Comparison, pair: Pair) -> list[str]:
    if pair.paired is None:
        return ["", "0", ""]
    mean = _interval(pair.paired.mean, _decimals(c, pair.figure), "+")
    n, p_value = pair.paired.mean.n, pair.paired.p_value
    return [mean, str(n), "" if n < 2 else f"{p_value:.3f}" if p_value >= 0.001 else "<0.001"]


def _cell(c: Comparison, found: GroupFigures, figure: str) -> str:
    """The median with its interval; of too few runs all values."""
    decimals = _decimals(c, figure)
    estimate = found.medians.get(figure)
    if estimate is None:
        return ""
    if estimate.n < LEAST:
        return " and ".join(f"{value:,.{decimals}f}" for value in found.by_seed(figure).values())
    some = f" of {estimate.n}" if estimate.n < len(found.rows) else ""
    return _interval(estimate, decimals) + some


def _interval(estimate: Estimate, decimals: int, sign: str = "") -> str:
    shown = f"{sign},.{decimals}f"
    if estimate.low is None or estimate.high is None:
        return format(estimate.value, shown)
    return f"{estimate.value:{shown}} [{estimate.low:{shown}}, {estimate.high:{shown}}]"


def _decimals(c: Comparison, figure: str) -> int:
    """Four digits of the largest value, no more than six behind the point."""
    largest = max((abs(row.figures[figure]) for row in c.rows if figure in row.figures), default=0.0)
    return min(6, max(0, 3 - math.floor(math.log10(largest)))) if largest else 0


def _aligned(lines: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]

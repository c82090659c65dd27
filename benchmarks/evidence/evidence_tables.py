"""The tables of a grid of evidence, from its results alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from firerl.insight.compare import statistics
from firerl.insight.compare.statistics import Estimate

Row = dict[str, Any]
Found = Mapping[str, Mapping[str, Mapping[int, Row]]]  # task -> arm -> seed -> row

Figure = Callable[[Row], float | None]
STOPS = ("no-improvement", "replaced", "no-overlap", "timeout")
POWER = 0.8


def group(rows: Sequence[Row]) -> dict[str, dict[str, dict[int, Row]]]:
    """By task, arm, seed, in the order of the rows."""
    found: dict[str, dict[str, dict[int, Row]]] = {}
    for row in rows:
        found.setdefault(row["task"], {}).setdefault(row["arm"], {})[row["seed"]] = row
    return found


def values(rows: Mapping[int, Row], figure: Figure) -> dict[int, float]:
    """The figure by seed, where the run has it."""
    read = {seed: figure(row) for seed, row in rows.items()}
    return {seed: value for seed, value in read.items() if value is not None}


def results(found: Found, figures: Mapping[str, Figure]) -> list[str]:
    """Every arm on every task: medians over seeds with 95 % bootstrap intervals."""
    lines = ["| task | arm | seeds | " + " | ".join(figures) + " | million steps | hours |"]
    lines.append("|---|---|--:|" + "--:|" * (len(figures) + 2))
    for task, arms in found.items():
        for arm, rows in arms.items():
            cells = [
                show(statistics.median(list(v.values()))) if (v := values(rows, f)) else "-" for f in figures.values()
            ]
            steps = np.median([row["steps_total"] + row["evaluation_steps"] for row in rows.values()]) / 1e6
            hours = np.median([row["seconds"] for row in rows.values()]) / 3600
            lines.append(f"| {task} | {arm} | {len(rows)} | {' | '.join(cells)} | {steps:.2f} | {hours:.2f} |")
    return lines


def differences(
    found: Found, figures: Mapping[str, Figure], tested: Sequence[str], ours: str = "fire", theirs: str = "pbt"
) -> list[str]:
    """``ours`` minus ``theirs``, paired by seed, and pooled over tasks on normalised scores."""
    columns = (
        "figure", "task", f"{ours} minus {theirs}", f"{ours} ahead", "p",
        "smallest difference that could have been found",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for figure in tested:
        pooled: list[list[float]] = []  # by task
        for task, arms in found.items():
            pairs, normalised = paired(arms, figures[figure], ours, theirs)
            if not pairs:
                continue
            if normalised:
                pooled.append(normalised)
            lines.append(difference(figure, task, pairs))
        if len(pooled) > 1:
            lines.append(difference(figure, "all, in standard deviations", [d for task in pooled for d in task]))
    return lines


def paired(
    arms: Mapping[str, Mapping[int, Row]], figure: Figure, ours: str, theirs: str
) -> tuple[list[float], list[float]]:
    """The differences by seed, and the same in standard deviations of the scores inside the two arms: [] for a single
    pair, which has no spread."""
    x, y = (values(arms.get(arm, {}), figure) for arm in (ours, theirs))
    seeds = sorted(x.keys() & y.keys())
    differences = [x[seed] - y[seed] for seed in seeds]
    if len(seeds) < 2:
        return differences, []
    spread = math.sqrt(np.mean([np.var([v[seed] for seed in seeds], ddof=1) for v in (x, y)])) or 1.0
    return differences, [d / spread for d in differences]


def difference(figure: str, task: str, d: Sequence[float]) -> str:
    """The line of paired differences."""
    least = f"{smallest(d):.3g}" if len(d) > 1 else "-"
    return f"| {figure} | {task} | {compared(d)} | {least} |"


def compared(d: Sequence[float]) -> str:
    """Three cells: the mean of paired differences, how many are above 0, p of the permutation test; - without any."""
    if not d:
        return "- | - | -"
    found = statistics.paired(d, np.zeros(len(d)))
    return f"{show(found.mean, sign=True)} | {sum(one > 0 for one in d)} of {len(d)} | {found.p_value:.3f}"


def smallest(differences: Sequence[float]) -> float:
    """The true mean difference that a paired t-test at 5 % finds four times in five, at the spread that was seen."""
    n = len(differences)
    t = stats.t.ppf(0.975, n - 1) + stats.t.ppf(POWER, n - 1)
    return float(t * np.std(differences, ddof=1) / math.sqrt(n))


def evolution(found: Found) -> list[str]:
    """What evaluators did, over all seeds of an arm."""
    columns = (
        "task", "arm", "runs", "runs in which FIRE acted", "started", "promoted", *STOPS, "share of steps",
        "winners with a promotion in their past", "its steps by evaluators",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for task, arms in found.items():
        for arm, rows in arms.items():
            if not any(row["evolution"]["evaluator_starts"] for row in rows.values()):
                continue
            counts: Counter[str] = Counter()
            for row in rows.values():
                counts.update(row["evolution"]["evaluator_stops"])
            starts = sum(row["evolution"]["evaluator_starts"] for row in rows.values())
            successes = [row["evolution"]["evaluator_successes"] for row in rows.values()]
            stops = [counts[reason] for reason in STOPS]
            means = [np.mean([row[f"evaluators_{what}"] for row in rows.values()]) for what in ("share", "in_lineage")]
            # A child may be replaced as soon as it is promoted: what an evaluator has trained is what remains.
            past = sum(row["evaluators_in_lineage"] > 0 for row in rows.values())
            acted = f"{sum(map(bool, successes))} | {starts} | {sum(successes)} | {' | '.join(map(str, stops))}"
            winners = f"{past} of {len(rows)} | {100 * means[1]:.0f} %"
            lines.append(f"| {task} | {arm} | {len(rows)} | {acted} | {100 * means[0]:.0f} % | {winners} |")
    return lines


def show(estimate: Estimate, sign: bool = False) -> str:
    """A figure with its interval, as precise as its size."""
    size = abs(estimate.value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2

    def form(value: float) -> str:
        return f"{value:{'+' if sign else ''},.{digits}f}"

    if estimate.low is None or estimate.high is None:
        return form(estimate.value)
    return f"{form(estimate.value)} [{form(estimate.low)}, {form(estimate.high)}]"

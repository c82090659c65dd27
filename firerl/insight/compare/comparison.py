"""Runs side by side: groups, figures at equal steps of the whole population, differences, and what to doubt."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

from firerl.config.run_config import RunConfig
from firerl.errors import RunFolderError, SettingError
from firerl.evolution.population import Fail, counts
from firerl.insight.compare import statistics
from firerl.insight.compare.grouping import Group, also_different, check_comparable, group, short
from firerl.insight.compare.statistics import LEAST, Estimate, Paired
from firerl.insight.history.trajectory import Trajectory
from firerl.summary.in_words import together

FIGURES = {  # of a run at the common budget
    "best": "best member",
    "median": "median member",
    "area": "area under the best",
}
FEW = 6  # runs: with fewer pairs no two-sided sign-flip p falls below 0.05
MUCH = 1.1  # times the budget: the run's end is another matter
FRESH = "fresh."  # the learner's own figures of the winner, at the run's end


@dataclass(frozen=True)
class Run:
    """One run as it was read."""

    name: str
    config: RunConfig
    trajectory: Trajectory
    step: int  # the largest that a worker has reached
    result: Mapping[str, Any] | None  # of result.json; None: unfinished

    @property
    def total(self) -> int:
        """Steps of all workers so far."""
        return int(self.trajectory.steps[-1]) if len(self.trajectory.steps) else 0


@dataclass(frozen=True)
class Row:
    """One run at the common budget."""

    run: str
    group: str
    config: RunConfig
    finished: bool
    step: int  # of a worker, at the run's end so far
    total: int  # steps of all workers, likewise
    figures: Mapping[str, float]  # by name: FIGURES, counts of evolution, evaluation_steps, fresh figures


@dataclass(frozen=True)
class GroupFigures:
    """A group's runs by seed, and the medians of their figures."""

    group: Group
    rows: Sequence[Row]
    medians: Mapping[str, Estimate]

    def by_seed(self, figure: str) -> dict[int, float]:
        """The values of those runs that have the figure."""
        return {row.config.seed: row.figures[figure] for row in self.rows if figure in row.figures}


@dataclass(frozen=True)
class Pair:
    """Group ``a`` against group ``b`` in one figure; differences are a - b."""

    a: str
    b: str
    figure: str
    paired: Paired | None  # None: no seed in common
    improvement: Estimate  # P(a > b)


@dataclass(frozen=True)
class Comparison:
    """All that the command shows."""

    task: str
    start: int  # steps of all workers at which every run has been evaluated: where areas begin
    budget: int  # steps of all workers at which runs are compared
    groups: Sequence[GroupFigures]
    pairs: Sequence[Pair]
    notes: Sequence[str]

    @property
    def rows(self) -> list[Row]:
        """One a run, group by group."""
        return [row for found in self.groups for row in found.rows]

    @property
    def fresh(self) -> list[str]:
        """The names of the learner's own figures, constants left out."""
        names = dict.fromkeys(name for row in self.rows for name in row.figures if name.startswith(FRESH))
        return [name for name in names if len({row.figures[name] for row in self.rows if name in row.figures}) > 1]


def compare(runs: Sequence[Run], allow: Collection[str] = ()) -> Comparison:
    """Compare two runs or more at the most steps of the whole population that all have reached.

    Raises SettingError where they are not comparable, RunFolderError where there is nothing to compare yet.
    """
    if len(runs) < 2:
        raise SettingError("one run alone cannot be compared: give two or more")
    names, configs = [run.name for run in runs], [run.config for run in runs]
    allowed = check_comparable(names, configs, allow)
    groups = group(names, configs)
    for run in runs:
        if not run.total:
            raise RunFolderError(f"{run.name} has committed no evaluation yet: there is nothing to compare")
    budget = min(run.total for run in runs)
    start = min(budget, max(int(run.trajectory.steps[0]) for run in runs))
    found = [_figures_of_group(runs, one, start, budget) for one in groups]
    draft = Comparison(configs[0].task, start, budget, found, [], [])
    pairs = [
        _pair(a, b, figure)
        for a, b in combinations(found, 2)
        for figure in (*FIGURES, *draft.fresh)
        if a.by_seed(figure) and b.by_seed(figure)
    ]
    notes = [*_notes_on_runs(runs, budget), *_notes_on_groups(groups, allowed), *_notes_on_numbers(draft, pairs)]
    return Comparison(draft.task, start, budget, found, pairs, notes)


def figures_at(run: Run, start: int, budget: int) -> dict[str, float]:
    """A run's figures when its whole population had done ``budget`` steps; what is not known is left out."""
    path = run.trajectory
    k = path.index(budget)
    evolution = counts(list(chain(*path.decisions[: k + 1])))
    stops = evolution.pop("evaluator_stops")
    figures = {
        "best": path.best[k],
        "median": path.median[k],
        "area": path.area(start, budget),
        "evaluator_steps": path.evaluator_steps[k],
        "evaluation_steps": path.evaluation_steps[k],
        **evolution,
        "failures": sum(isinstance(d, Fail) for d in chain(*path.decisions[: k + 1])),
        **{f"stops.{reason}": count for reason, count in stops.items()},
    }
    for name, value in ((run.result or {}).get("fresh") or {}).items():
        figures[f"{FRESH}{name}"] = value
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


def _figures_of_group(runs: Sequence[Run], one: Group, start: int, budget: int) -> GroupFigures:
    rows = []
    for run in (runs[i] for i in one.members):
        figures = figures_at(run, start, budget)
        if "best" not in figures:
            raise RunFolderError(f"{run.name} has no objective within {budget:,} steps: there is nothing to compare")
        rows.append(Row(run.name, one.name, run.config, run.result is not None, run.step, run.total, figures))
    medians = {}
    for name in dict.fromkeys(name for row in rows for name in row.figures):
        absent = 0.0 if name.startswith("stops.") else None  # a reason that never came up is a count of 0
        values = [row.figures.get(name, absent) for row in rows]
        medians[name] = statistics.median([value for value in values if value is not None])
    return GroupFigures(one, rows, medians)


def _pair(a: GroupFigures, b: GroupFigures, figure: str) -> Pair:
    x, y = a.by_seed(figure), b.by_seed(figure)
    seeds = sorted(x.keys() & y.keys())
    paired = statistics.paired([x[s] for s in seeds], [y[s] for s in seeds]) if seeds else None
    improvement = statistics.probability_of_improvement(list(x.values()), list(y.values()))
    return Pair(a.group.name, b.group.name, figure, paired, improvement)


def _notes_on_runs(runs: Sequence[Run], budget: int) -> list[str]:
    notes = []
    for run in runs:
        if run.result is None:
            notes.append(f"{run.name} is unfinished: it has reached step {run.step:,} of {run.config.steps:,}.")
        elif run.result["stopped"] != "steps":
            notes.append(f"{run.name} ended early, at step {run.step:,}, by {run.result['stopped']}.")
    longest = max(runs, key=lambda run: run.total)
    if longest.total > budget:
        first = min(runs, key=lambda run: run.total)
        notes.append(
            f"All runs are compared at {budget:,} steps, because {first.name} ends there. {longest.name} goes on to "
            f"{longest.total:,} steps."
        )
    if longest.total > MUCH * budget and any((run.result or {}).get("fresh") for run in runs):
        notes.append("The figures of the winner are from the end of each run, not from equal steps.")
    return notes


def _notes_on_groups(groups: Sequence[Group], allowed: Sequence[str]) -> list[str]:
    notes = []
    for algo in dict.fromkeys(one.algo for one in groups):
        kin = [one for one in groups if one.algo == algo]
        if len(kin) > 1:
            what = ", ".join(short(name) for name in kin[0].differs)
            notes.append(f"The runs of {algo} differ in {what}, so they form {len(kin)} groups.")
    if allowed:
        notes.append(f"The runs differ in {together(allowed)}, which --allow accepts.")
    if others := also_different(groups):
        notes.append(f"Besides the algorithm, the groups differ in {together(others)}.")
    return notes


def _notes_on_numbers(comparison: Comparison, pairs: Sequence[Pair]) -> list[str]:
    notes = []
    runs = {found.group.name: len(found.rows) for found in comparison.groups}
    if len(runs) > 1 and set(runs.values()) == {1}:
        notes.append("One seed each decides nothing: another seed may give the opposite order.")
    elif few := [name for name, n in runs.items() if n < LEAST]:
        have = "has" if len(few) == 1 else "have"
        notes.append(f"{together(few)} {have} fewer than {LEAST} runs. The tables show the values without an interval.")
    for name, n in runs.items():
        if LEAST <= n < FEW:
            notes.append(f"{name} has {n} runs. An interval from so few values says little and is too narrow.")
    best = [pair for pair in pairs if pair.figure == "best"]
    for pair in best:
        if pair.paired is None:
            notes.append(f"{pair.a} and {pair.b} have no seed in common, so there is no difference to test.")
    least = min((pair.paired.mean.n for pair in best if pair.paired and pair.paired.mean.n > 1), default=FEW)
    if least < FEW:
        notes.append(f"With {least} pairs of runs p cannot fall below {2 / 2**least:.2g}.")
    sure = (pair.improvement for pair in pairs if pair.improvement.value in (0.0, 1.0))
    if any(one.low is not None and one.low == one.high for one in sure):
        notes.append(
            "An interval of P has no width where all runs of one group are above all of the other. That is not a "
            "certainty."
        )
    tested = sum(pair.paired is not None and pair.paired.mean.n > 1 for pair in best)
    if tested > 1:
        notes.append(f"Each p is for its own comparison. It is not corrected for the {tested} comparisons made.")
    return notes

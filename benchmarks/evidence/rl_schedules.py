"""Does greed lose in reinforcement learning? V-MPO with a learning rate that is cut early, late or never.

    python benchmarks/evidence/rl_schedules.py              what results/rl_schedules.jsonl lacks; half an hour
    python benchmarks/evidence/rl_schedules.py --tasks Ant  one task
    python benchmarks/evidence/rl_schedules.py --list       the table of what is there; runs nothing
    python benchmarks/evidence/rl_schedules.py --quick      one task for a moment, kept nowhere

The hyperparameters are those of PBT's winner of seed 0 half-way through its run, so that a rate is asked about in the
place where the search is. Its learning rate at a quarter of the run is the low one, four times that the high one; six
networks begin with the high rate and are cut to the low one at a quarter, a half, three quarters of the run, or never.
With one seed two schedules give the same numbers up to the first cut. An interrupted run goes on. ``rl_evidence.py
--plot`` puts the table into docs/evidence.md. Last line: JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import evidence
import evidence_tables as tables
import numpy as np
from evidence_grid import Arm, options_of
from evidence_leaders import mean_between, told
from evidence_runs import commit, processor, run_or_resume, versions
from results_file import append, read
from rl_evidence_grid import SPACE, TASKS, Task

from firerl.insight.statistics import Paired, paired

HERE = Path(__file__).resolve().parents[1]  # benchmarks/
EVIDENCE, RESULTS = (HERE / "results" / f"{name}.jsonl" for name in ("rl_evidence", "rl_schedules"))
NETWORKS = 6
CUT = 4.0
LATEST = 0.75
CUTS = (0.25, 0.5, LATEST, None)  # at which part of the run; None: never
Values = dict[str, float]
Row = dict[str, Any]


@dataclass(frozen=True)
class Schedule:
    """One task with one cut."""

    task: str
    cut: float | None
    rows: tuple[tuple[int, int, Values], ...]  # from, to, hyperparameters
    seed: int = 0

    @property
    def name(self) -> str:
        """For folders and lines."""
        return f"{self.task}-{cut_name(self.cut).replace(' ', '-')}"

    def options(self) -> dict[str, Any]:
        """The run as ``firerl.run`` takes it."""
        task = TASKS[self.task]
        rows = [{"from": start, "to": end, "hyperparameters": values} for start, end, values in self.rows]
        arm = Arm("schedule", "retrace", (NETWORKS,), settings={"schedule": rows})
        learner = {"learner": "vmpo", "env": self.task, "settings": task.learner, "space": SPACE}
        return options_of(task, arm, self.seed) | learner

    def key(self) -> str:
        """What a finished run is found by."""
        return json.dumps(self.options(), sort_keys=True)


def cut_name(cut: float | None) -> str:
    """Of a cut, for people."""
    return "never" if cut is None else f"at {cut:g}"


def values_at(schedule: Sequence[Mapping[str, Any]], step: float) -> Values:
    """The hyperparameters with which a network trains right after ``step``."""
    return dict(next(row["hyperparameters"] for row in schedule if row["from"] <= step < row["to"]))


def schedules(name: str, task: Task, winner: Sequence[Mapping[str, Any]]) -> list[Schedule]:
    """The four schedules of a task, about the ``winner``'s hyperparameters."""
    low = values_at(winner, task.steps / 2) | {"learning_rate": values_at(winner, task.steps / 4)["learning_rate"]}
    high = low | {"learning_rate": CUT * low["learning_rate"]}
    made = []
    for cut in CUTS:
        step = task.steps if cut is None else round(cut * task.steps / task.ready_interval) * task.ready_interval
        rows = [(0, step, high), (step, task.steps, low)]
        made.append(Schedule(name, cut, tuple(row for row in rows if row[0] < row[1])))
    return made


def compute(schedule: Schedule, work: Path, processes: int | None) -> Row:
    """The run's line: the mean objective of every network over each ready interval."""
    folder, pause = work / schedule.name, work / "pause"
    config, run, figures = run_or_resume(schedule.name, schedule.options(), folder, processes, pause)
    interval, objectives = config.ready_interval, told(run)
    ends = range(interval, config.steps + 1, interval)
    curves = [[mean_between(objectives[n], end - interval, end) for end in ends] for n in sorted(objectives)]
    return {
        "task": schedule.task,
        "cut": schedule.cut,
        "cut_step": schedule.rows[0][1],
        "key": schedule.key(),
        "hash": figures["hash"],
        "commit": commit(),
        "versions": versions(),
        "processor": processor(),
        "interval": interval,
        "curves": [[None if value is None else float(f"{value:.5g}") for value in curve] for curve in curves],
    }


def table(rows: Sequence[Row]) -> list[str]:
    """Every schedule: its end, what the cut gained at once, and the end against *never* and the latest cut; paired by
    network."""
    columns = (
        "task", "cut", "end", "minus never, right after the cut", "minus never, at the end", "p",
        f"minus {cut_name(LATEST)}, at the end", "p",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    curves = {(row["task"], row["cut"]): row["curves"] for row in rows}
    for row in rows:
        task, cut = row["task"], row["cut"]
        cells = [f"{np.mean([curve[-1] for curve in row['curves']]):,.0f}", "", "", "", "", ""]
        if cut is not None and (task, None) in curves:
            after = row["cut_step"] // row["interval"]  # the index of the first interval after the cut
            cells[1] = tables.show(_minus(row["curves"], curves[task, None], after).mean, sign=True)
            cells[2:4] = _cells(_minus(row["curves"], curves[task, None], -1))
        if cut != LATEST and (task, LATEST) in curves:
            cells[4:6] = _cells(_minus(row["curves"], curves[task, LATEST], -1))
        lines.append(f"| {task} | {cut_name(cut)} | {' | '.join(cells)} |")
    return lines


def _minus(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], index: int) -> Paired:
    """The difference in one interval, network by network."""
    return paired([curve[index] for curve in ours], [curve[index] for curve in theirs])


def _cells(found: Paired) -> list[str]:
    return [tables.show(found.mean, sign=True), f"{found.p_value:.3f}"]


def wanted(names: Sequence[str], rows: Sequence[Row]) -> list[Schedule]:
    """The schedules of these tasks for which there is a winner of PBT."""
    winners = {row["task"]: row["schedule"] for row in rows if (row["arm"], row["seed"]) == ("pbt", 0)}
    return [s for name in names if name in winners for s in schedules(name, TASKS[name], winners[name])]


def kept(names: Sequence[str], results: Path = RESULTS) -> list[Row]:
    """The rows of these tasks that are there, in the order of the table."""
    there = evidence.load(results)
    return [there[s.key()] for s in wanted(names, read(EVIDENCE)) if s.key() in there]


def quick() -> list[Row]:
    """One schedule of a short task, twice: up to the cut both are the same."""
    TASKS["InvertedPendulum"] = task = Task(16_000, 1_000, 4_000, 8_000, 3, 1, 1)
    values = {"learning_rate": 1e-3, "eps_eta": 0.1, "eps_alpha_mu": 0.01, "eps_alpha_sigma": 1e-4}
    winner = [{"from": 0, "to": task.steps, "hyperparameters": values}]
    with tempfile.TemporaryDirectory() as folder:
        return [compute(s, Path(folder), None) for s in schedules("InvertedPendulum", task, winner)[-2:]]


def main() -> None:
    """Run what is missing, print the table and the JSON line."""
    parser = evidence.parser(__doc__, "rl_schedules")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    given = parser.parse_args()
    if given.quick:
        rows = quick()
    else:
        there = evidence.load(given.results)
        for schedule in wanted(given.tasks, read(EVIDENCE)):
            if schedule.key() not in there and not (given.plot or given.list):
                append(given.results, compute(schedule, given.work, given.processes))
        rows = kept(given.tasks, given.results)
    ends = {f"{row['task']} {cut_name(row['cut'])}": np.mean([curve[-1] for curve in row["curves"]]) for row in rows}
    if given.plot:
        evidence.put_tables({"rl schedules": table(rows)}, evidence.DOCS / "evidence.md")
    else:
        print("\n".join(table(rows)))
    print(json.dumps(ends))


if __name__ == "__main__":
    main()

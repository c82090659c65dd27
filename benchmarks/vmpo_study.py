"""What each setting of V-MPO gives: one change at a time from the defaults of a task, and what else was tried.

    python benchmarks/vmpo_study.py              runs what is missing (hours), then prints the table
    python benchmarks/vmpo_study.py --table      the table alone, from benchmarks/results/vmpo_study.jsonl
    python benchmarks/vmpo_study.py --quick      under two minutes: 10,000 steps of Hopper with and without a change

Every result is a line of JSON that holds its complete settings; the table names those that differ from the defaults as
they are now. ``last`` is the training return over the last fifth of the run, ``mean action`` the return of 20 whole
episodes at the end, per seed; seconds are the processor's. The last line is JSON: for each task the default's figure
and the best change's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from results_file import read
from training_runs import run_all

from firerl.agents.vmpo import VMPO

RESULTS = Path(__file__).parent / "results" / "vmpo_study.jsonl"
CHANGES: list[dict[str, Any]] = [  # from the defaults of every task
    {},
    {"control_variate": False},
    {"gae_lambda": 1.0},
    {"init_scale": 0.6},
    {"init_scale": 1.0},
    {"eps_alpha_mu": 0.05},
    {"eps_alpha_sigma": 5e-3},
    {"eps_eta": 0.3},
    {"epochs": 8},
    {"target_period": 5},
    {"max_grad_norm": 100.0},
]
STEPS = {"Humanoid": 150_000, "Ant": 200_000, "Hopper": 200_000}


def jobs(seeds: list[int]) -> list[dict[str, Any]]:
    """Seed by seed, change by change."""
    return [
        {"arm": "vmpo", "task": task, "seed": seed, "steps": steps, "marks": [steps], "given": change}
        for seed in seeds
        for change in CHANGES
        for task, steps in STEPS.items()
    ]


def difference(row: dict[str, Any]) -> str:
    """The settings that are not the task's defaults."""
    default = VMPO.resolve({"env": row["task"]})
    changed = {name: value for name, value in row["settings"].items() if default.get(name) != value}
    changed.pop("eval_interval", None)  # when to evaluate changes nothing in training
    return ", ".join(f"{name} {value}" for name, value in sorted(changed.items())) or "default"


def last(row: dict[str, Any]) -> float:
    """The training return over the last fifth."""
    points = [(mean, count) for step, mean, count, _ in row["curve"] if step > 0.8 * row["steps"] and count]
    means, counts = zip(*points, strict=True)
    return float(np.average(means, weights=counts))


def table(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Print it; the default's and the best change's mean action."""
    groups: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["task"], row["steps"]][difference(row)].append(row)
    figures: dict[str, float] = {}
    for (task, steps), changes in sorted(groups.items()):
        print(f"\n{task}, {steps:,} steps\n{'last':>8} {'mean action':>12} {'seconds':>8}  {'seeds':<18} change")
        lines = []
        for change, some in changes.items():
            finals = [row["evaluations"][-1]["return"] for row in some]
            seeds = " ".join(f"{value:.0f}" for value in finals)
            seconds = np.mean([row["curve"][-1][3] for row in some])
            lines.append((float(np.mean(finals)), float(np.mean([last(row) for row in some])), seconds, seeds, change))
        for final, training, seconds, seeds, change in sorted(lines, reverse=True):
            print(f"{training:8.0f} {final:12.0f} {seconds:8.0f}  {seeds:<18} {change}")
        figures[f"{task.lower()}_{steps}_best"] = round(max(lines)[0], 1)
        for final, *_, change in lines:
            if change == "default":
                figures[f"{task.lower()}_{steps}_default"] = round(final, 1)
    return figures


def main() -> None:
    """Run what is missing, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 steps of Hopper, two settings; keeps no results")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one core each")
    options = parser.parse_args()
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study.jsonl"
            some = [job for job in jobs([0]) if job["task"] == "Hopper"][:2]
            run_all([{**job, "steps": 10_000, "marks": [10_000]} for job in some], path, options.processes)
            print(json.dumps(table(read(path))))
        return
    if not options.table:
        run_all(jobs(options.seeds), RESULTS, options.processes)
    print(json.dumps(table(read(RESULTS))))


if __name__ == "__main__":
    main()

"""What an agent's settings give over millions of steps: one factor at a time, judged by late returns.

    python benchmarks/evidence/horizon.py                 every run that is missing; a day; goes on where it was killed
    python benchmarks/evidence/horizon.py --table         the tables alone, from benchmarks/results/horizon.jsonl
    python benchmarks/evidence/horizon.py --quick         half a minute: 28,000 steps of Hopper in two parts; keeps none
    chrt -i 0 nice -n 19 python benchmarks/evidence/horizon.py --processes 2   takes only time that nobody else wants
    python benchmarks/evidence/horizon.py --tasks Humanoid --names walks "kl rate" --seeds 100 101 --steps 4000000

Choosing by returns after 400,000 steps is greedy: what wins early may never walk. So nothing is dropped here before a
million steps, and no run below two million chooses a default of Humanoid. Seeds are 100 and up: those below are for
reports. Every finished run is a line of the results, with its complete settings, its commit, and curves of the return,
the scale of exploration, KL, eta, alphas and explained variance. A training return is the mean over the episodes that
ended in the 50,000 steps before; the mean action plays 20 whole fresh episodes every million steps and at the end. A
run that was killed goes on from its last state under ``--work``, and so does a longer one; one that is there is never
computed again.

The last line is JSON: for each task and name the median over seeds of the mean action's return at the last step that
all its seeds have.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import numpy as np
from horizon_settings import STUDY
from long_runs import Row, label, longest, passes, run_all, training_return
from results_file import read

HERE = Path(__file__).parents[1]  # benchmarks/
RESULTS = HERE / "results" / "horizon.jsonl"
MARKS = (100_000, 200_000, 400_000, 600_000, 1_000_000, 1_200_000, 1_600_000, 2_000_000, 3_000_000, 4_000_000)
SHOWN = ("return", "length", "scale", "kl_mu", "kl_sigma", "eta", "alpha_mu", "alpha_sigma", "explained_variance")


def jobs(tasks: Iterable[str], names: Sequence[str], seeds: Iterable[int], steps: int) -> list[Row]:
    """Seed by seed; all names where none are given."""
    return [
        {"task": task, "name": name, "arm": arm, "seed": seed, "steps": steps, "given": given}
        for seed in seeds
        for task in tasks
        for name, (arm, given) in STUDY[task].items()
        if not names or name in names
    ]


def groups(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Runs of the same task and name, by seed."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sorted(longest(rows).values(), key=lambda row: (row["task"], row["seed"])):
        found[row["task"], row["name"]].append(row)
    return found


def returns_table(rows: Iterable[Row]) -> list[str]:
    """Training returns at the marks, a line a run, and the mean action's."""
    heads = [f"{mark / 1e6:g}M" for mark in MARKS]
    lines = [f"| task | settings | seed | {' | '.join(heads)} | mean action | s |", "|---|---|--:|" + "--:|" * 12]
    for (task, name), some in groups(rows).items():
        for row in some:
            values = [training_return(row, mark) for mark in MARKS]
            cells = [f"{value:,.0f}" if value is not None else "" for value in values]
            played = ", ".join(f"{p['return']:,.0f} @{p['steps'] / 1e6:.2g}M" for p in row["played"])
            lines.append(f"| {task} | {name} | {row['seed']} | {' | '.join(cells)} | {played} | {row['seconds']:,} |")
    return lines


def curve_table(row: Row, every: int = 200_000) -> list[str]:
    """What a run's numbers were on the way."""
    shown = [name for name in SHOWN if any(name in point for point in row["curve"])]
    lines = [f"{label(row)}", f"| steps | {' | '.join(shown)} |", "|--:|" + "--:|" * len(shown)]
    before = 0
    for point in row["curve"]:
        if passes(before, point["steps"], every):
            cells = [f"{point[name]:.4g}" if name in point else "" for name in shown]
            lines.append(f"| {point['steps']:,} | {' | '.join(cells)} |")
        before = point["steps"]
    return lines


def summary(rows: Iterable[Row]) -> dict[str, float]:
    """<task> <name> <millions of steps>M: the mean action's return where all seeds have played, median over them."""
    figures = {}
    for (task, name), some in groups(rows).items():
        marks = [{round(p["steps"] / 1e6, 1): p["return"] for p in row["played"]} for row in some]
        common = set.intersection(*map(set, marks))
        if common:
            last = max(common)
            figures[f"{task} {name} {last:g}M"] = round(float(np.median([mark[last] for mark in marks])), 1)
    return figures


def quick() -> list[Row]:
    """A run, and the same for longer, which goes on from there."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "horizon.jsonl"
        for steps in (12_000, 28_000):
            run_all(jobs(["Hopper"], ["walks"], [100], steps), results, Path(folder), 1)
        return read(results)


def main() -> None:
    """Run what is missing, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="28,000 steps of Hopper; keeps no results")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--curves", action="store_true", help="a table of every run's curves besides")
    parser.add_argument("--tasks", nargs="+", choices=STUDY, default=list(STUDY))
    parser.add_argument("--names", nargs="+", default=[], help="settings of the study; all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[100, 101, 102], help="100 and up")
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one core each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a file of JSON lines")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "horizon", help="states of unfinished runs")
    options = parser.parse_args()
    if any(seed < 100 for seed in options.seeds):
        parser.error("--seeds: seeds below 100 are for reports, not for choosing")
    known = {name for task in options.tasks for name in STUDY[task]}
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"--names: {', '.join(unknown)} is none of {', '.join(sorted(known))}")
    wanted = jobs(options.tasks, options.names, options.seeds, options.steps)
    if not (options.quick or options.table):
        run_all(wanted, options.results, options.work, options.processes)
    rows = quick() if options.quick else read(options.results)
    print("\n".join(returns_table(rows)))
    for row in longest(rows).values() if options.curves else ():
        print("\n" + "\n".join(curve_table(row)))
    print(json.dumps(summary(rows)))


if __name__ == "__main__":
    main()

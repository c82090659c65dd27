"""Which parts of FIRE PBT matter? Measured on the noisy quadratic, 20 seeds, with 95 % bootstrap intervals.

    python benchmarks/evidence/quadratic.py                       what benchmarks/results/quadratic.jsonl lacks
    python benchmarks/evidence/quadratic.py --groups algorithms sizes  some of it (also: switches, lean, conditions)
    python benchmarks/evidence/quadratic.py --seeds 0             computes nothing: the tables of what is there
    python benchmarks/evidence/quadratic.py --plot                its page in docs/lab and the figures, from the results
    python benchmarks/evidence/quadratic.py --quick               two seeds of the algorithms, under 2 minutes

Three problems, (kappa, D, noise) = (1, 100, .3), (1.5, 100, .3), (2, 50, .1). A run is preset=quadratic: 3,600 steps,
an evaluation every 10, a ready every 60, 22 workers unless the arm says otherwise. Its score is the final objective,
-log10 of the loss, of the best member of P1. Every finished run is a line of the results file and never computed
again. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import numpy as np
from quadratic_arms import GROUPS, NOISES, READIES, arms_of, condition_name
from quadratic_runs import PROBLEMS, Arm, simulate
from quadratic_schedule import schedule_objective
from results_file import append, read

from firerl.insight.compare.statistics import bootstrap

HERE = Path(__file__).resolve().parents[1]  # benchmarks/
RESULTS = HERE / "results" / "quadratic.jsonl"
REFERENCE = "fire"  # the arm that others are compared with, seed by seed

Row = dict[str, Any]
Found = dict[str, dict[str, dict[int, Row]]]  # arm -> problem -> seed -> row


def key_of(arm: Arm, problem: str, seed: int) -> str:
    """What a finished run is found by: the arm's definition, not its name."""
    return json.dumps([arm.definition(), problem, seed], sort_keys=True)


def load(path: Path) -> dict[str, Row]:
    """The finished runs, by key. A last line that a crash cut off is left out."""
    return {json.dumps([r["definition"], r["problem"], r["seed"]], sort_keys=True): r for r in read(path)}


def compute(arm: Arm, problem: str, seed: int) -> Row:
    """One run as a row of the results file."""
    began = time.process_time()
    config = arm.config(problem)
    if arm.algo == "schedule":
        result: Row = {"objective": schedule_objective(config.settings, config.steps, seed), "workers": 1}
    else:
        result = {**simulate(config, seed, arm.noise), "workers": sum(config.sizes) + config.evaluators}
    row = {"arm": arm.name, "problem": problem, "seed": seed, "definition": arm.definition(), **result}
    return {**row, "cpu_seconds": round(time.process_time() - began, 3)}


def run(arms: Sequence[Arm], seeds: int, path: Path, processes: int) -> None:
    """Compute what the results file lacks, all arms of one seed before the next."""
    done = load(path)
    jobs = {key_of(arm, p, seed): (arm, p, seed) for seed in range(seeds) for p in PROBLEMS for arm in arms}
    jobs = {key: job for key, job in jobs.items() if key not in done}
    if not jobs:
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout
    path.parent.mkdir(parents=True, exist_ok=True)
    began = shown = time.time()
    with ProcessPoolExecutor(processes) as pool:
        pending = [pool.submit(compute, *job) for job in jobs.values()]
        try:
            for count, future in enumerate(as_completed(pending), start=1):
                append(path, {**future.result(), "commit": commit.strip()})
                if time.time() - shown > 1 or count == len(jobs):
                    shown = time.time()
                    minutes = (shown - began) / count * (len(jobs) - count) / 60
                    line = f"\r{count}/{len(jobs)} runs, {minutes:.1f} minutes left  "
                    print(line, end="", file=sys.stderr, flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    print(file=sys.stderr)


def collect(arms: Sequence[Arm], path: Path) -> Found:
    """What there is about these arms."""
    done = load(path)
    found: Found = {}
    for key, row in done.items():
        for arm in arms:
            if key == key_of(arm, row["problem"], row["seed"]):
                found.setdefault(arm.name, {}).setdefault(row["problem"], {})[row["seed"]] = row
    return {arm.name: found[arm.name] for arm in arms if arm.name in found}  # in the arms' order


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and its 95 % bootstrap interval (percentiles of resampled means)."""
    low, high = bootstrap(values, np.mean)
    return float(np.mean(values)), float(low), float(high)


def difference(rows: Mapping[int, Row], others: Mapping[int, Row]) -> tuple[float, float, float] | None:
    """The mean of rows minus others, paired by seed, and its interval; None without two seeds in common."""
    pairs = [row["objective"] - others[seed]["objective"] for seed, row in rows.items() if seed in others]
    return interval(pairs) if len(pairs) > 1 else None


def table(found: Found) -> list[str]:
    """The lines of a Markdown table: an arm a row; score, its interval and the difference to FIRE for each problem."""
    width, reference = max(map(len, found), default=0), found.get(REFERENCE, {})
    lines = [
        f"| {'arm':<{width}} | workers | seeds | "
        + " | ".join(f"{p:<21} | minus fire         " for p in PROBLEMS)
        + " | CPU s a run |",
        f"|{'-' * (width + 2)}|--:|--:|" + "---|---|" * len(PROBLEMS) + "--:|",
    ]
    for name, by_problem in found.items():
        rows = [row for by_seed in by_problem.values() for row in by_seed.values()]
        cells = []
        for problem in PROBLEMS:
            by_seed = by_problem.get(problem, {})
            scores = [row["objective"] for row in by_seed.values()]
            own = "{:.2f} [{:.2f}, {:.2f}]".format(*interval(scores)) if len(scores) > 1 else ""
            apart = difference(by_seed, reference.get(problem, {})) if name != REFERENCE else None
            cells += [f"{own:<21}", "{:+.2f} [{:+.2f}, {:+.2f}]".format(*apart) if apart else " " * 20]
        seeds = sorted({len(by_problem.get(problem, {})) for problem in PROBLEMS})  # problems may differ on the way
        counted = "-".join(str(n) for n in {seeds[0]: 0, seeds[-1]: 0})
        timed = [row["cpu_seconds"] for row in rows if "cpu_seconds" in row]
        seconds = f"{np.mean(timed):.1f}" if timed else ""
        lines.append(
            f"| {name:<{width}} | {rows[0]['workers']:>7} | {counted:>5} | " + " | ".join(cells) + f" | {seconds:>9} |"
        )
    return lines


def condition_table(found: Found) -> list[str]:
    """A condition a row: scores of FIRE and PBT, and FIRE minus PBT paired by seed, for each problem."""
    lines = ["| readies in a run | noise | seeds | " + " | ".join(f"{p}: fire, pbt | fire minus pbt" for p in PROBLEMS)]
    lines = [f"{lines[0]} |", "|--:|--:|--:|" + "---|---|" * len(PROBLEMS)]
    for readies in READIES:
        for noise in NOISES:
            fire, pbt = (found.get(condition_name(algo, readies, noise), {}) for algo in ("fire", "pbt"))
            cells, seeds = [], set()
            for problem in PROBLEMS:
                ours, theirs = fire.get(problem, {}), pbt.get(problem, {})
                apart = difference(ours, theirs)
                scores = [np.mean([row["objective"] for row in rows.values()]) for rows in (ours, theirs) if rows]
                cells += [", ".join(f"{score:.2f}" for score in scores)]
                cells += ["{:+.2f} [{:+.2f}, {:+.2f}]".format(*apart) if apart else ""]
                seeds.add(len(ours.keys() & theirs.keys()))
            counted = "-".join(str(n) for n in sorted({min(seeds), max(seeds)}))
            lines.append(f"| {readies} | {noise} | {counted} | {' | '.join(cells)} |")
    return lines


def evolution_table(found: Found) -> list[str]:
    """What evaluators did: starts, promotions, and how they ended, means over the runs."""
    lines = ["| arm | problem | copies | starts | promotions | stops |", "|---|---|--:|--:|--:|---|"]
    for name, by_problem in found.items():
        for problem, by_seed in by_problem.items():
            rows = [row for row in by_seed.values() if row.get("evaluator_starts")]
            if rows:
                reasons = sorted({reason for row in rows for reason in row["evaluator_stops"]})
                mean = {reason: np.mean([row["evaluator_stops"].get(reason, 0) for row in rows]) for reason in reasons}
                stops = ", ".join(f"{reason} {value:.0f}" for reason, value in mean.items())
                keys = ("copies", "evaluator_starts", "evaluator_successes")
                copies, starts, promotions = (np.mean([row[key] for row in rows]) for key in keys)
                lines.append(f"| {name} | {problem} | {copies:.0f} | {starts:.0f} | {promotions:.1f} | {stops} |")
    return lines


def lines_of(group: str, found: Found) -> list[str]:
    """A group's table."""
    return condition_table(found) if group == "conditions" else table(found)


def write_docs(groups: Mapping[str, Found]) -> None:
    """The figures, and the page's tables between ``<!-- table: group -->`` and ``<!-- end -->``."""
    from quadratic_figures import DOCS, write_figures

    for written in write_figures(groups):
        print(written)
    page = DOCS / "lab" / "evidence-parts.md"
    text = page.read_text()
    for group, found in groups.items():
        begin, end = f"<!-- table: {group} -->\n", "<!-- end -->"
        before, marked, after = text.partition(begin)
        if marked:
            text = before + begin + "\n".join(lines_of(group, found)) + "\n" + end + after.partition(end)[2]
    page.write_text(text)
    print(page)


def main() -> None:
    """Compute, print the tables and the JSON line, or plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="runs of each arm on each problem; 0: compute nothing")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="what to compare")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--evolution", action="store_true", help="a table of what evaluators did, besides")
    parser.add_argument("--plot", action="store_true", help="only write docs/, from the results file")
    parser.add_argument("--quick", action="store_true", help="two seeds of the algorithms, computed anew")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.groups = 2, ["algorithms"]
        options.results = Path(tempfile.mkdtemp(prefix="quadratic-")) / "quick.jsonl"

    groups = {group: arms_of(group) for group in options.groups}
    if options.plot:
        write_docs({group: collect(arms, options.results) for group, arms in groups.items()})
        return
    run([arm for arms in groups.values() for arm in arms], options.seeds, options.results, options.processes)

    figures: dict[str, Any] = {}
    for group, arms in groups.items():
        found = collect(arms, options.results)
        print(f"\n{group}: -log10 loss, mean [95 % interval]\n")
        print("\n".join([*lines_of(group, found), *(["", *evolution_table(found)] if options.evolution else [])]))
        for name, by_problem in found.items():
            for problem, by_seed in by_problem.items():
                mean, low, high = interval([row["objective"] for row in by_seed.values()])
                cell = {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4), "seeds": len(by_seed)}
                figures.setdefault(name, {})[problem] = cell
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

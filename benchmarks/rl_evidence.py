"""Does FIRE PBT win on MuJoCo? V-MPO on HalfCheetah, Humanoid and Ant: FIRE, PBT, random search, the defaults.

    python benchmarks/rl_evidence.py --hours 8           what benchmarks/results/rl_evidence.jsonl lacks; hours
    python benchmarks/rl_evidence.py --goal              more seeds than the least
    python benchmarks/rl_evidence.py --groups extra      other arms: fire_lean, larger populations, rivals, switches
    python benchmarks/rl_evidence.py --list              what is there and what is missing; runs nothing
    python benchmarks/rl_evidence.py --plot              tables and figures of docs/evidence.md, from the results alone
    python benchmarks/rl_evidence.py --quick             one short pair on InvertedPendulum, kept nowhere; two minutes

Every finished run is one line of the results file and never computed again; a run that was interrupted goes on from its
folder in ``--work``. The grid waits while a file ``pause`` lies there. Seed by seed over all cells: a partial grid is
balanced. Run it with ``nice`` beside other work. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import rl_evidence_grid as grid
from rl_evidence_grid import GROUPS, TASKS, Cell, cells
from rl_evidence_runs import run_cell

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "rl_evidence.jsonl"
ARMS = {arm.name: arm for arms in GROUPS.values() for arm in arms}
WORK = HERE.parent / "runs" / "rl-evidence"


def load(path: Path) -> dict[str, dict[str, Any]]:
    """The finished runs by key. A last line that a crash cut off is left out."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["key"]] = row
    return rows


def append(path: Path, row: dict[str, Any]) -> None:
    """One line more, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def run_missing(missing: Sequence[Cell], results: Path, work: Path, hours: float, processes: int | None) -> int:
    """Run the cells until the time is over; returns how many were finished."""
    end, done = time.monotonic() + 3600 * hours, 0
    for number, cell in enumerate(missing):
        if time.monotonic() > end:
            print(f"{hours:g} hours are over: {len(missing) - number} runs are left")
            break
        begun = time.monotonic()
        row = run_cell(cell, work, processes)
        append(results, row)
        done += 1
        print(f"{describe(row)}   {(time.monotonic() - begun) / 60:.1f} min", flush=True)
    return done


def describe(row: dict[str, Any]) -> str:
    """A finished run on one line."""
    retraces = ", ".join(f"{again['mean']:.0f}" for again in row.get("retraces", []))
    evolution = row["evolution"]
    starts, successes = evolution["evaluator_starts"], evolution["evaluator_successes"]
    return (
        f"{row['task']:<12} {row['arm']:<12} seed {row['seed']:<3} objective {row['objective']:>8.1f}  mean action "
        f"{row['winner']['mean']:>8.1f}  sampled {row['winner']['sample']:>8.1f}  retraces {retraces or '-':<20} "
        f"evaluators {successes}/{starts}"
    )


def plot(rows: Sequence[dict[str, Any]]) -> None:
    """Put the tables into docs/evidence.md at their marks, and draw the figures."""
    import rl_evidence_tables as tables
    from rl_evidence_figures import DOCS, write_figures

    found = tables.group(rows)
    page = DOCS / "evidence.md"
    text = page.read_text()
    for name, lines in (
        ("rl results", tables.results(found)),
        ("rl differences", tables.differences(found)),
        ("rl evolution", tables.evolution(found)),
    ):
        print(f"\n{name}\n" + "\n".join(lines))
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, marked, after = text.partition(begin)
        if marked:
            text = before + begin + "\n".join(lines) + "\n" + end + after.partition(end)[2]
    page.write_text(text)
    print("\n".join(map(str, write_figures(found))))


def quick(work: Path) -> dict[str, Any]:
    """A pair that takes two minutes in all, to see that the whole works."""
    short = grid.Task(24_000, 1_000, 4_000, 8_000, 3, 1, 1)
    TASKS["InvertedPendulum"] = short
    rows = [run_cell(Cell("InvertedPendulum", arm, 100), work, None) for arm in (grid.FIRE, grid.PBT)]
    for row in rows:
        print(describe(row))
    return {row["arm"]: row["winner"]["mean"] for row in rows}


def main() -> None:
    """Run what is missing, print a line a run and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1000.0, help="start no run after this time")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    parser.add_argument("--groups", nargs="+", choices=[*GROUPS], default=["main"])
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[], help="these alone, of any group")
    parser.add_argument("--goal", action="store_true", help="as many seeds as the goal says")
    parser.add_argument("--first-seed", type=int, default=0, help="pilots take 100 and up")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the runs under way")
    parser.add_argument("--processes", type=int, default=None, help="of a run; default: one a core")
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--plot", action="store_true", help="only write docs/, from the results file")
    parser.add_argument("--quick", action="store_true", help="one short pair, kept nowhere")
    arguments = parser.parse_args()
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(quick(Path(folder))))
        return
    rows = load(arguments.results)
    arms = [ARMS[name] for name in arguments.arms] or [arm for group in arguments.groups for arm in GROUPS[group]]
    wanted = list(cells(arguments.tasks, arms, arguments.first_seed, arguments.goal))
    missing = [cell for cell in wanted if cell.key() not in rows]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there")
    if arguments.plot:
        plot(
            [rows[cell.key()] for cell in cells([*TASKS], [*GROUPS], arguments.first_seed, True) if cell.key() in rows]
        )
    elif arguments.list:
        for cell in wanted:
            row = rows.get(cell.key())
            print(describe(row) if row else f"{cell.name:<30} missing")
    else:
        try:
            run_missing(missing, arguments.results, arguments.work, arguments.hours, arguments.processes)
        except KeyboardInterrupt:
            print("\ninterrupted: the same command goes on", file=sys.stderr)
    rows = load(arguments.results)
    there = sum(cell.key() in rows for cell in wanted)
    print(json.dumps({"runs": there, "missing": len(wanted) - there}))


if __name__ == "__main__":
    main()

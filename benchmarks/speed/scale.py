"""What firerl itself costs on Ray with 22 to 1,000 workers, whose learner does nothing but hold 1 MB of weights.

    python benchmarks/speed/scale.py             2 repetitions, some 20 minutes on 2 cores
    python benchmarks/speed/scale.py --quick     10 and 22 workers once

PBT, FIRE PBT in two sub-populations with a fifth of the workers as evaluators, and 4 workers whose states are as large
as ResNet-50's. All weights change in every round; each report holds 12 metrics, as V-MPO's. Every fifth round is a
ready: there the state of every worker is saved, a quarter of the members copies another quarter, and the journal is
committed. ``overhead`` is what all workers wait for there besides: decide, journal and copies. ``checkpoint`` is the
saving of the states and the removal of those that no generation needs any more; right after it, the same number of
bytes is written and fsynced in as many files by a plain loop, in the same folder. ``dispatch`` is a whole round without
a ready: the orders on their way to the actors, nearly no work there, and the reports on their way back.

A run's first generation, and the two rounds before and after its actors have warmed up, do not count. Each run is a
process of its own. The controller's share is its processor time by the time on the wall: how long it works itself, of a
run in which the learners do not.

The last line is a JSON object; ``controller_share_1000``, ``round_overhead_s_1000`` and ``checkpoint_s_1000`` are those
of the dearer algorithm.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from physics import progress

HERE = Path(__file__).resolve().parent
WORKERS = (22, 100, 500, 1000)
COMMON = {"megabytes": 1.0, "metrics": 12, "rounds": 20, "ready": 5, "cpus": 2}
HEAVY = {  # states as ResNet-50's with momentum
    "algo": "pbt", "sizes": [4], "evaluators": 0, **COMMON, "megabytes": 204.5, "rounds": 6, "ready": 2,
}  # fmt: skip
OVERHEAD = ("decide", "journal", "copies")
Row = dict[str, Any]


def cell_of(algo: str, workers: int) -> Row:
    """One run: its algorithm and its population."""
    if algo == "pbt":
        return {"algo": algo, "sizes": [workers], "evaluators": 0, **COMMON}
    evaluators = 6 if workers == 22 else workers // 5
    size = (workers - evaluators) // 2
    return {"algo": algo, "sizes": [size, workers - evaluators - size], "evaluators": evaluators, **COMMON}


def workers_of(cell: Mapping[str, Any]) -> int:
    """All of them."""
    return sum(cell["sizes"]) + int(cell["evaluators"])


def name_of(cell: Mapping[str, Any]) -> str:
    """For the table."""
    weight = "" if cell.get("megabytes", 1.0) == 1.0 else f" of {cell['megabytes']:.0f} MB"
    return f"{cell['algo']} {workers_of(cell)}{weight}"


def measure(cell: Mapping[str, Any], folder: Path | None) -> Row:
    """What ``scale_measure.py`` says of one run."""
    given = json.dumps({**cell, "folder": None if folder is None else str(folder)})
    done = subprocess.run(
        [sys.executable, str(HERE / "scale_measure.py"), given], stdout=subprocess.PIPE, text=True, check=True
    )
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def study(cells: Sequence[Row], repetitions: int, work: Path | None) -> list[Row]:
    """The rows of all runs."""
    todo = [(repetition, cell) for repetition in range(repetitions) for cell in cells]
    rows = []
    for number, (repetition, cell) in enumerate(todo, start=1):
        progress(f"run {number} of {len(todo)}: {cell['algo']}, {workers_of(cell)} workers")
        rows.append({"cell": cell, "repetition": repetition, **measure(cell, work)})
    progress("")
    return rows


def figures_of(runs: Sequence[Row]) -> dict[str, float]:
    """Medians over the rounds of all repetitions of one cell; seconds, MB, shares."""
    ready = [round for run in runs for round in [r for r in run["rows"] if r["ready"]][1:]]
    other = [round for run in runs for round in [r for r in run["rows"][2:] if not r["ready"]]]
    workers = workers_of(runs[0]["cell"])
    counted = [*ready, *other]
    overhead = [sum(round[part] for part in OVERHEAD) for round in ready]
    found = {
        "workers": workers,
        "rounds_a_second": len(counted) / sum(round["seconds"] for round in counted),
        "controller_share": sum(round["cpu"] for round in counted) / sum(round["seconds"] for round in counted),
        "controller_mb": max(run["controller_mb"] for run in runs),
        "dispatch_s": median(round["advance"] for round in other),
        "overhead_s": median(overhead), "overhead_s_most": max(overhead),
        "overhead_us_a_worker": 1e6 * median(overhead) / workers,
        **{f"{part}_s": median(round[part] for round in ready) for part in OVERHEAD},
        "journal_bytes_a_report": median(run["journal_bytes"] / run["cell"]["rounds"] for run in runs) / workers,
    }  # fmt: skip
    if "plain" in ready[0]:
        found |= {
            "checkpoint_s": median(round["save"] + round["remove"] for round in ready),
            "save_s": median(round["save"] for round in ready),
            "plain_s": median(round["plain"] for round in ready),
            "checkpoint_ratio": median((round["save"] + round["remove"]) / round["plain"] for round in ready),
        }
    if "store_bytes" in runs[0]:
        readies = sum(round["ready"] for round in runs[0]["rows"])
        found["store_mb_a_ready"] = median(run["store_bytes"] for run in runs) / 1e6 / readies
    return found


COLUMNS = {
    "rounds_a_second": ("rounds/s", ".2f"), "controller_share": ("share", ".2f"), "controller_mb": ("MB", ".0f"),
    "dispatch_s": ("dispatch", ".3f"), "decide_s": ("decide", ".3f"), "journal_s": ("journal", ".3f"),
    "copies_s": ("copies", ".3f"), "overhead_s": ("overhead", ".3f"), "overhead_us_a_worker": ("us a worker", ".0f"),
    "checkpoint_s": ("checkpoint", ".2f"), "plain_s": ("plainly", ".2f"), "checkpoint_ratio": ("ratio", ".2f"),
    "store_mb_a_ready": ("store MB", ".0f"), "journal_bytes_a_report": ("journal B", ".0f"),
}  # fmt: skip


def table(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A cell a row."""
    lines = ["| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for name, figures in found.items():
        cells = [format(figures[key], form) if key in figures else "" for key, (_, form) in COLUMNS.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def report(rows: Sequence[Row]) -> None:
    """The table and the JSON line."""
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(name_of(row["cell"]), []).append(row)
    found = {name: figures_of(of) for name, of in runs.items()}
    print("\n".join(table(found)))
    most = max(figures["workers"] for figures in found.values())
    large = [figures for figures in found.values() if figures["workers"] == most]
    keys = ("controller_share", "overhead_s", "checkpoint_s", "checkpoint_ratio", "controller_mb")
    dearer = {key: round(max(figures[key] for figures in large), 3) for key in keys}
    print(json.dumps({
        f"controller_share_{most:.0f}": dearer["controller_share"],
        f"round_overhead_s_{most:.0f}": dearer["overhead_s"],
        f"checkpoint_s_{most:.0f}": dearer["checkpoint_s"],
        f"checkpoint_ratio_{most:.0f}": dearer["checkpoint_ratio"],
        f"controller_mb_{most:.0f}": dearer["controller_mb"],
        **{name: {key: round(value, 4) for key, value in figures.items()} for name, figures in found.items()},
    }))  # fmt: skip


def main() -> None:
    """Run all cells, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--algos", nargs="+", default=("pbt", "fire"), choices=("pbt", "fire"))
    parser.add_argument("--work", type=Path, help="where the run folders lie meanwhile: 3 GB of a real disk")
    parser.add_argument("--quick", action="store_true", help="10 and 22 workers once")
    options = parser.parse_args()
    if options.quick:
        cells = [{**cell_of(algo, workers), "rounds": 15} for workers in (10, 22) for algo in ("pbt", "fire")]
        report(study(cells, 1, options.work))
        return
    cells = [cell_of(algo, workers) for workers in options.workers for algo in options.algos] + [HEAVY]
    report(study(cells, options.repetitions, options.work))


if __name__ == "__main__":
    main()

"""What firerl itself costs on Ray with 22 to 1,000 workers, whose learner does nothing but hold 1 MB of weights.

    python benchmarks/speed/scale.py             2 repetitions, some 20 minutes on 2 cores
    python benchmarks/speed/scale.py --quick     10 and 22 workers once, kept nowhere
    python benchmarks/speed/scale.py --long      400 rounds of 1,000 workers besides: what grows as a run gets older
    python benchmarks/speed/scale.py --plot      only the table and docs/scale.svg, from the results file

PBT, FIRE PBT in two sub-populations with a fifth of the workers as evaluators, and 4 workers whose states are as large
as ResNet-50's. All weights change in every round; each report holds 12 metrics, as V-MPO's. Every fifth round is a
ready: there the state of every worker is saved, a quarter of the members copies another quarter, and the journal is
committed. ``overhead`` is what all workers wait for
there besides: decide, journal and copies. ``checkpoint`` is the saving of the states and the removal of those that no
generation needs any more; right after it, the same number of bytes is written and fsynced in as many files by a plain
loop, in the same folder. ``dispatch`` is a whole round without a ready: the orders on their way to the actors, nearly
no work there, and the reports on their way back.

A run's first generation, and the two rounds before and after its actors have warmed up, do not count. Each run is a
process of its own, a finished one is a line of ``--results`` and is not done again. The controller's share is its
processor time by the time on the wall: how long it works itself, of a run in which the learners do not.

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
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

from physics import progress
from results_file import append, read

HERE = Path(__file__).resolve().parents[1]  # benchmarks/
WORKERS = (22, 100, 500, 1000)
COMMON = {"engine": "ray", "megabytes": 1.0, "metrics": 12, "rounds": 20, "ready": 5, "cpus": 2}
HEAVY = {  # states as ResNet-50's with momentum
    "algo": "pbt", "sizes": [4], "evaluators": 0, **COMMON, "megabytes": 204.5, "rounds": 6, "ready": 2,
}  # fmt: skip
LONG = {
    "algo": "pbt", "sizes": [1000], "evaluators": 0, "engine": "inline", "megabytes": 0.004, "metrics": 12,
    "rounds": 400, "ready": 20, "plain": False,
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


def study(cells: Sequence[Row], repetitions: int, results: Path, work: Path | None) -> list[Row]:
    """The rows of all runs; those that ``results`` holds are not done again."""
    rows = read(results)
    todo = [(repetition, cell) for repetition in range(repetitions) for cell in cells]
    for number, (repetition, cell) in enumerate(todo):
        if any(row["cell"] == cell and row["repetition"] == repetition for row in rows):
            continue
        progress(f"run {number + 1} of {len(todo)}: {cell['algo']}, {workers_of(cell)} workers")
        rows.append({"cell": cell, "repetition": repetition, **measure(cell, work)})
        append(results, rows[-1])
    progress("")
    return [row for row in rows if row["cell"] in cells and row["repetition"] < repetitions]


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


def ageing(run: Row) -> list[tuple[int, float, float]]:
    """Of a long run: (round, seconds of the journal, MB of the journal by then) at every ready."""
    last = len(run["rows"])
    return [
        (number, row["journal"], run["journal_bytes"] / 1e6 * number / last)
        for number, row in enumerate(run["rows"], start=1)
        if row["ready"]
    ]


def plot(found: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Cost of a ready for each worker, by part, against the number of workers."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update(
        {"svg.hashsalt": "firerl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
    parts = {"decide_s": "#1f5fa8", "journal_s": "#b23b3b", "copies_s": "#2f8f5b", "dispatch_s": "#888888"}
    for ax, algo in zip(axes, ("pbt", "fire"), strict=True):
        rows = [figures for name, figures in found.items() if name.split()[0] == algo and "MB" not in name]
        for part, colour in parts.items():
            at = [row["workers"] for row in rows]
            ax.plot(at, [1e3 * row[part] / row["workers"] for row in rows], "o-", color=colour, ms=4, label=part[:-2])
        ax.set(xscale="log", yscale="log", title=f"algo={algo}", xlabel="workers", xticks=at, xticklabels=at)
        ax.minorticks_off()
    axes[0].set_ylabel("ms a worker")
    axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def report(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
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
    return found


def main() -> None:
    """Compute what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--algos", nargs="+", default=("pbt", "fire"), choices=("pbt", "fire"))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "scale.jsonl")
    parser.add_argument("--work", type=Path, help="where the run folders lie meanwhile: 3 GB of a real disk")
    parser.add_argument("--long", action="store_true", help="how the journal of 1,000 workers ages, besides")
    parser.add_argument("--plot", action="store_true", help="only the table and docs/scale.svg")
    parser.add_argument("--quick", action="store_true", help="10 and 22 workers once, kept nowhere")
    options = parser.parse_args()
    if options.quick:
        cells = [{**cell_of(algo, workers), "rounds": 15} for workers in (10, 22) for algo in ("pbt", "fire")]
        with TemporaryDirectory() as folder:
            report(study(cells, 1, Path(folder) / "quick.jsonl", options.work))
        return
    cells = [cell_of(algo, workers) for workers in options.workers for algo in options.algos] + [HEAVY]
    if options.plot:
        plot(report([row for row in read(options.results) if row["cell"] in cells]), HERE.parent / "docs" / "scale.svg")
        return
    if options.long:
        for number, seconds, size in ageing(study([LONG], 1, options.results, options.work)[0]):
            print(f"round {number:4}: journal {seconds:6.2f} s, {size:6.0f} MB")
    report(study(cells, options.repetitions, options.results, options.work))


if __name__ == "__main__":
    main()

"""Where the best networks of FIRE's runs are, what becomes of them, and what a promotion brings.

    python benchmarks/evidence/evidence_leaders.py          the runs in --work that results/evidence_leaders.jsonl lacks

Journals are no part of the repository: this reads them where rl_evidence.py and images_evidence.py have left them and
keeps one line for each run of FIRE and PBT. ``rl_evidence.py --plot`` makes the tables of docs/evidence.md from those
lines. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import images_evidence
import numpy as np
from evidence_grid import Cell
from evidence_tables import Found, Row, group, show
from results_file import append, read
from rl_evidence_grid import EXTRA, FIRE, PBT, TASKS, cells

from firerl.evolution.population import Copy, Promote
from firerl.insight import history
from firerl.insight.history import History
from firerl.insight.probe import curve_noise
from firerl.insight.statistics import Estimate, median
from firerl.storage.journal_db import Journal

HERE = Path(__file__).resolve().parents[1]  # benchmarks/
RESULTS = HERE / "results" / "evidence_leaders.jsonl"
LIFE = 8  # points of a member's life, from which on its slope says something


def told(run: History, unit: float = 1.0) -> dict[int, dict[int, float]]:
    """All objectives of all members, times ``unit``."""
    members: dict[int, dict[int, float]] = {w.id: {} for w in run.initial.workers if not w.is_evaluator}
    for point in run.points:
        for report in point.reports:
            if report.worker in members and report.objective is not None and report.failure is None:
                members[report.worker][report.step] = unit * report.objective
    return members


def mean_between(objectives: Mapping[int, float], after: int, until: int) -> float | None:
    """The mean of a member's objectives in (after, until]; None: it has none."""
    values = [value for step, value in objectives.items() if after < step <= until]
    return float(np.mean(values)) if values else None


def leaders(run: History, interval: int, unit: float = 1.0) -> dict[str, list[Any]]:
    """At every ready, each ``interval`` steps, the best member of each sub-population, by its mean since the ready
    before, and who at the end of the run still descends from the network that it had then.

    ``P1``, ``P2``: the best one's mean, times ``unit``; ``P1 in P1``, ``P2 in P1``, ``P2 in P2``: numbers of
    descendants.
    """
    objectives = told(run, unit)
    groups: dict[int, list[int]] = {}
    for worker in run.initial.workers:
        if not worker.is_evaluator:
            groups.setdefault(worker.population, []).append(worker.id)
    ancestry = {member: run.ancestry(member) for members in groups.values() for member in members}
    result: dict[str, list[Any]] = {"steps": []}
    for step in range(interval, run.step + 1, interval):
        result["steps"].append(step)
        for number, members in groups.items():
            means = {m: mean_between(objectives[m], step - interval, step) for m in members}
            best = max(members, key=lambda m: -np.inf if (mean := means[m]) is None else mean)
            result.setdefault(f"P{number}", []).append(None if means[best] is None else round(means[best], 2))
            for heirs in range(1, number + 1):
                count = sum(
                    any(leg.stretch.worker == best and leg.start < step <= leg.end for leg in ancestry[member])
                    for member in groups[heirs]
                )
                result.setdefault(f"P{number} in P{heirs}", []).append(count)
    return result


def promotions(run: History, interval: int, unit: float = 1.0) -> list[dict[str, Any]]:
    """What each promotion brought: the child's mean over an interval after it minus that before it, and the median
    of the same over the other members of P1, which had the same time; times ``unit``."""
    objectives = told(run, unit)
    first = [w.id for w in run.initial.workers if not w.is_evaluator and w.population == 1]
    found = []
    for point in run.points:
        steps = {report.worker: report.step for report in point.reports}
        for child in [d.child for d in point.decisions if isinstance(d, Promote) and d.child in first]:
            gains = {m: gain(objectives[m], steps[child], interval) for m in first}
            others = [value for member, value in gains.items() if member != child and value is not None]
            if (own := gains[child]) is not None and others:
                siblings = round(float(np.median(others)), 2)
                found.append({"step": steps[child], "gain": round(own, 2), "siblings": siblings})
    return found


def copies(run: History) -> dict[str, int]:
    """How many copies there were inside P1, and how many of them from a member whose network came by a promotion: its
    hyperparameters spread, though the network was trained under others."""
    first = {w.id for w in run.initial.workers if not w.is_evaluator and w.population == 1}
    every, promoted = 0, 0
    holds: dict[int, str] = {}  # how a member of P1 came by its network; no donor is replaced at the same ready
    for point in run.points:
        holds |= {d.child: "promotion" for d in point.decisions if isinstance(d, Promote)}
        for copy in [d for d in point.decisions if isinstance(d, Copy) and d.worker in first]:
            every, promoted = every + 1, promoted + (holds.get(copy.donor) == "promotion")
            holds[copy.worker] = "copy"
    return {"all": every, "promoted": promoted}


def rises(run: History, steps: int) -> list[list[float] | None]:
    """Of each third of the run: the noise of one evaluation and what a curve gains from one to the next, in that noise.
    Medians over the lives of P1's members between two replacements, where these have enough points and any noise; None:
    none has. Where evaluations share episodes the noise is underrated (``firerl.insight.probe``).
    """
    found: list[list[tuple[float, float]]] = [[], [], []]
    for worker in run.initial.workers:
        if worker.is_evaluator or worker.population != 1:
            continue
        for life in run.stretches[worker.id]:
            if len(life.objectives) >= LIFE:
                if (noise := curve_noise(life.objectives)) == 0:  # a policy that always does the same, or one episode
                    continue
                slope = np.polyfit(np.arange(len(life.objectives)), life.objectives, 1)[0]
                middle = (life.steps[0] + life.steps[-1]) / 2
                found[min(2, int(3 * middle / steps))].append((noise, slope / noise))
    return [[float(f"{value:.3g}") for value in np.median(third, axis=0)] if third else None for third in found]


def gain(objectives: Mapping[int, float], step: int, interval: int) -> float | None:
    """The mean over an interval after ``step`` minus that over one before it."""
    before, after = (mean_between(objectives, start, start + interval) for start in (step - interval, step))
    return None if before is None or after is None else after - before


def facts(task: str, arm: str, folder: Path) -> Row:
    """The line that is kept of a finished run."""
    with closing(Journal.open(folder)) as journal:
        config, run = history.read(journal)
        result = journal.result()
    assert result is not None, f"{folder} is not finished"
    interval, unit = config.ready_interval, 100.0 if task in images_evidence.TASKS else 1.0  # accuracies in per cent
    kept = {
        "leaders": leaders(run, interval, unit),
        "promotions": promotions(run, interval, unit),
        "copies": copies(run),
        "rises": rises(run, config.steps),
    }
    return {"task": task, "arm": arm, "seed": config.seed, "hash": result["hash"], **kept}


def table(found: Found) -> list[str]:
    """How often P2's best network is ahead of P1's, and how many of the best leave descendants."""
    columns = (
        "task", "arm", "runs", "readies", "P2's best is ahead of P1's", "at the end by",
        "of P1's best leave descendants", "of P2's best, where ahead, in P1", "of P2's best, in P1", "in P2 alone",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for task, arms in found.items():
        for arm, rows in arms.items():
            kept = [row["leaders"] for row in rows.values()]
            readies = sum(len(run["steps"]) for run in kept)
            cells = [_share([heirs > 0 for run in kept for heirs in run["P1 in P1"]]), "-", "-", "-"]
            ahead, by = "-", "-"
            if "P2" in kept[0]:
                pairs = [pair for run in kept for pair in zip(run["P1"], run["P2"], strict=True) if None not in pair]
                ahead = _share([second > first for first, second in pairs])
                last = [(run["P1"][-1], run["P2"][-1]) for run in kept]
                by = ", ".join(
                    "-" if None in pair else show(Estimate(pair[1] - pair[0], None, None, 1), sign=True)
                    for pair in last
                )
                heirs = [pair for run in kept for pair in zip(run["P2 in P1"], run["P2 in P2"], strict=True)]
                leads = [heir > 0 for run in kept for heir in _of_those_ahead(run)]
                cells[1:] = [
                    _share(leads),
                    _share([a > 0 for a, _ in heirs]),
                    _share([b > 0 and not a for a, b in heirs]),
                ]
            lines.append(f"| {task} | {arm} | {len(rows)} | {readies} | {ahead} | {by} | {' | '.join(cells)} |")
    return lines


def _of_those_ahead(run: Mapping[str, Sequence[Any]]) -> list[int]:
    """The descendants in P1 of P2's best, at those readies where it is ahead of P1's."""
    readies = zip(run["P1"], run["P2"], run["P2 in P1"], strict=True)
    return [heirs for first, second, heirs in readies if None not in (first, second) and second > first]


def promotions_table(found: Found) -> list[str]:
    """What promotions brought, in the objective's unit."""
    columns = (
        "task", "arm", "promotions", "child gains", "siblings gain", "child minus siblings", "child gains more",
        "P1's copies of promoted networks",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for task, arms in found.items():
        for arm, rows in arms.items():
            done = [promotion for row in rows.values() for promotion in row["promotions"]]
            if done:
                of, every = (sum(row["copies"][key] for row in rows.values()) for key in ("promoted", "all"))
                spread = f"{of} of {every}"
                own, others = (np.array([p[key] for p in done]) for key in ("gain", "siblings"))
                gains = [show(median(x.tolist()), sign=True) for x in (own, others, own - others)]
                more = _share((own > others).tolist())
                lines.append(f"| {task} | {arm} | {len(done)} | {' | '.join(gains)} | {more} | {spread} |")
    return lines


def _share(values: Sequence[bool]) -> str:
    return f"{sum(values)} of {len(values)}"


def runs(work: Path) -> Iterator[tuple[Cell, Path, Path]]:
    """Every run of FIRE and PBT that may be there: itself, its folder, the results file of its grid."""
    results = HERE / "results"
    for cell in cells([*TASKS], [FIRE, PBT, *EXTRA], 0, goal=True):
        yield cell, work / "rl_evidence" / cell.name, results / "rl_evidence.jsonl"
    for image_cell in images_evidence.cells(images_evidence.SEEDS, 0):
        if image_cell.arm.algo in ("fire", "pbt"):
            yield image_cell, work / "images_evidence" / image_cell.name, results / "images_evidence.jsonl"


def main() -> None:
    """Read the run folders that are new."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs", help="folder of the grids' folders")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="runs computed again elsewhere, with another hash, too")
    given = parser.parse_args()
    there = {(row["task"], row["arm"], row["seed"]) for row in read(given.results)}
    for cell, folder, evidence in runs(given.work):
        if (cell.task, cell.arm.name, cell.seed) not in there and (folder / "result.json").exists():
            row = facts(cell.task, cell.arm.name, folder)
            if given.again or row["hash"] in {known["hash"] for known in read(evidence)}:
                append(given.results, row)
                print(cell.name, flush=True)
            else:
                print(f"{cell.name}: left out, {evidence.name} has another run of it")
    found = group(read(given.results))
    print("\n".join([*table(found), "", *promotions_table(found)]))
    print(json.dumps({"runs": sum(len(rows) for arms in found.values() for rows in arms.values())}))


if __name__ == "__main__":
    main()

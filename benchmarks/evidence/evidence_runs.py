"""One cell of a grid of evidence: the run, its winner on what nobody selected by, the retraces, the line that is kept.

``rl_evidence.py`` and ``images_evidence.py`` say what a cell is and how a winner is measured.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from evidence_grid import Cell

import firerl
from firerl.base.seeding import Purpose, integer_seed
from firerl.config.run_config import RunConfig
from firerl.insight.history.history import History, read
from firerl.session.watching.progress import Round, Silent
from firerl.storage.journal.journal_db import Journal

RETRACES = 3
POINTS = 100  # that a kept curve has at most
LIBRARIES = ("torch", "numpy", "mujoco", "gymnasium", "scipy", "scikit-learn")
Measure = Callable[[RunConfig, Mapping[str, Any], Any], dict[str, float]]  # config, hyperparameters, weights


class Watcher(Silent):
    """Progress on stderr: one line that is overwritten, in a file one line a minute. Waits while the file ``pause``
    exists, for the sake of timings elsewhere."""

    def __init__(self, title: str, steps: int, pause: Path):
        self.title, self.steps, self.pause = title, steps, pause
        self.told = -math.inf  # when the last line was written

    def round_done(self, round: Round) -> None:
        left = f"{round.eta_seconds / 60:5.1f} min left"
        line = f"{self.title:<40} {round.step:>9,}/{self.steps:,} {left}  "
        if sys.stderr.isatty():
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() > self.told + 60:
            self.told = time.monotonic()
            print(line, file=sys.stderr, flush=True)
        while self.pause.exists():
            time.sleep(5)


def run_cell(cell: Cell, work: Path, processes: int | None, measure: Measure) -> dict[str, Any]:
    """The cell's line; a run that was interrupted goes on from its folder."""
    pause = work / "pause"
    config, history, figures = run_or_resume(cell.name, cell.options(), work / cell.name, processes, pause)
    row = {
        "task": cell.task,
        "arm": cell.arm.name,
        "seed": cell.seed,
        "key": cell.key(),
        "settings": cell.options(),
        "hash": figures["hash"],
        "commit": commit(),
        "versions": versions(),
        "processor": processor(),
        **_figures(config, history, figures, work / cell.name, measure),
    }
    if cell.arm.algo == "constant":
        row["members"] = _all_measured(work / cell.name, measure)
    if cell.arm.retraced:
        row["retraces"] = _retrace(cell, work, processes, pause, measure)
    if sys.stderr.isatty():
        print(f"\r{'':90}\r", end="", file=sys.stderr)
    return row


def run_or_resume(
    title: str, options: Mapping[str, Any], folder: Path, processes: int | None, pause: Path
) -> tuple[RunConfig, History, Mapping[str, Any]]:
    """A run from its beginning, or from where it was interrupted: settings, history, figures of its result."""
    watcher = Watcher(title, options["steps"], pause)
    if (folder / "journal.sqlite").exists():
        done = firerl.resume(folder, progress=False, observer=watcher)
    else:
        more = {"run_dir": folder, "processes": processes, "progress": False, "observer": watcher}
        done = firerl.run(**options, **more)
    with closing(Journal.open(folder)) as journal:
        return *read(journal), done.figures


def _retrace(cell: Cell, work: Path, processes: int | None, pause: Path, measure: Measure) -> list[dict[str, float]]:
    """The winner's schedule again from scratch, with fresh seeds."""
    name = f"{cell.name}-retrace"
    options = cell.options() | {
        "algo": "retrace",
        "algo_settings": {"schedule": schedule_of(work / cell.name)},
        "population": [RETRACES],
        "evaluators": 0,
        "seed": integer_seed(cell.seed, Purpose.RETRACE),
    }
    run_or_resume(name, options, work / name, processes, pause)
    return _all_measured(work / name, measure)


def _all_measured(folder: Path, measure: Measure) -> list[dict[str, float]]:
    """Every member's last objective and its measurement; a member that failed is left out."""
    with closing(Journal.open(folder)) as journal:
        config, history = read(journal)
        last = journal.last()
        rows = []
        for worker in last.state.workers:
            if worker.failed or not worker.curve:
                continue
            weights = journal.read_file(last.files[worker.id].name)["weights"]
            measured = measure(config, worker.hyperparameters, weights)
            rows.append({"objective": history.curves[worker.id][-1], **measured})
    return rows


def _figures(
    config: RunConfig, history: History, figures: Mapping[str, Any], folder: Path, measure: Measure
) -> dict[str, Any]:
    """What is kept of a finished run beside its settings."""
    from firerl.storage import checkpoint

    best = checkpoint.read(folder / "best.pt")
    with closing(Journal.open(folder)) as journal:
        timings = journal.timings()
    curves = objective_curves(config, history)
    trained = {w.id: 0 for w in history.initial.workers}
    for point in history.points:
        for report in point.reports:
            trained[report.worker] += config.eval_interval
    by_evaluators = sum(trained[w.id] for w in history.initial.workers if w.is_evaluator)
    lineage = figures["lineage"]
    measured = sum(segment["end"] - segment["start"] for segment in lineage if segment["origin"] == "evaluator")
    return {
        "steps": config.steps,
        "steps_total": sum(trained.values()),
        "evaluation_steps": evaluation_steps(history),
        "evaluators_share": by_evaluators / sum(trained.values()),
        "seconds": sum(timing["seconds"] for timing in timings),
        "train_seconds": sum(timing.get("train", 0.0) for timing in timings),
        "objective": figures["objective"],
        "winner": measure(config, best["hyperparameters"], best["weights"]),
        "auc": float(np.mean([value for value in curves["best"] if value is not None])),
        "evolution": figures["evolution"],
        "evaluators_in_lineage": measured / config.steps,
        "schedule": schedule_of(folder),
        "curves": {name: thin(values) for name, values in curves.items()},
        "paths": paths(config, history),
        "measurements": [[m.start, m.end, m.outcome, m.points, m.p_value] for m in history.measurements],
    }


def schedule_of(folder: Path) -> Any:
    """The winner's schedule."""
    return yaml.safe_load((folder / "schedule.yaml").read_text())["schedule"]


def objective_curves(config: RunConfig, history: History) -> dict[str, list[float | None]]:
    """Best and median objective of those who may win and of all members, point by point; None: nobody reported."""
    contenders = config.sizes[0] if config.evaluators else sum(config.sizes)
    result: dict[str, list[float | None]] = {"steps": [], "best": [], "median": [], "median_all": []}
    for point in history.points:
        told = {r.worker: r.objective for r in point.reports if r.objective is not None and r.failure is None}
        first = [value for worker, value in told.items() if worker < contenders]
        members = [value for worker, value in told.items() if worker < sum(config.sizes)]
        result["steps"].append(max(report.step for report in point.reports))
        result["best"].append(max(first, default=None))
        result["median"].append(float(np.median(first)) if first else None)
        result["median_all"].append(float(np.median(members)) if members else None)
    return result


def paths(config: RunConfig, history: History) -> dict[str, dict[str, list[float]]]:
    """Quartiles of every hyperparameter over the members of each sub-population, at every ready."""
    result: dict[str, dict[str, list[float]]] = {}
    members = [w for w in history.initial.workers if not w.is_evaluator]
    for population in range(1, len(config.sizes) + 1):
        group = [w.id for w in members if w.population == population]
        for name in config.space:
            rows = result.setdefault(f"P{population} {name}", {"low": [], "median": [], "high": []})
            for step in range(0, config.steps + 1, config.ready_interval):
                low, median, high = np.quantile([value_at(history, id, name, step) for id in group], [0.25, 0.5, 0.75])
                for key, value in (("low", low), ("median", median), ("high", high)):
                    rows[key].append(float(f"{value:.4g}"))
    return result


def value_at(history: History, worker: int, name: str, step: int) -> float:
    """The hyperparameter of a member after the decisions at ``step``."""
    value = None
    for stretch in history.stretches[worker]:
        for start, settings in stretch.settings:
            if start <= step:
                value = settings[name]
    assert value is not None, "a member has hyperparameters from step 0 on"
    return float(value)


def evaluation_steps(history: History) -> int:
    """Environment steps that evaluations took besides training, where the learner counts them."""
    last: dict[int, float] = {}
    for point in history.points:
        for report in point.reports:
            last[report.worker] = report.metrics.get("evaluation_steps", 0.0)
    return int(sum(last.values()))


def thin(values: list[Any]) -> list[Any]:
    """At most POINTS of them, evenly spread, the last among them."""
    keep = np.unique(np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int))
    return [values[k] if values[k] is None or isinstance(values[k], int) else float(f"{values[k]:.5g}") for k in keep]


def versions() -> dict[str, str]:
    """Of what decides a run's numbers beside firerl."""
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def commit() -> str:
    """Of the working tree, with + where it has changes."""
    head, changed = (_git(*command) for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    return head + ("+" if changed else "")


def _git(*command: str) -> str:
    git = ["git", "-C", str(Path(__file__).parent), *command]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def processor() -> str:
    """The model's name, its family, model and stepping, since clouds give one name to several kinds, which round sums
    differently; and how many cores may be used."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        first = info.read_text().partition("\n\n")[0].splitlines()
        known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)}
        kind = [f"{key.split()[-1]} {known[key]}" for key in ("cpu family", "model", "stepping") if key in known]
        name = " ".join([known.get("model name", name), *kind])
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"

"""One cell of the RL evidence: the run, its winner on fresh episodes, the retraces, and the line that is kept."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rl_evidence_grid import Cell

import firerl
from firerl.config import RunConfig
from firerl.insight.history import History, read
from firerl.journal_db import Journal
from firerl.learners import find_learner
from firerl.progress import Round, Silent
from firerl.seeding import Purpose, integer_seed

EPISODES = 50
RETRACES = 3
POINTS = 100  # that a kept curve has at most
LIBRARIES = ("torch", "numpy", "mujoco", "gymnasium", "scipy", "scikit-learn")


class Watcher(Silent):
    """One line of progress on stderr; waits while the file ``pause`` exists, for the sake of timings elsewhere."""

    def __init__(self, title: str, steps: int, pause: Path):
        self.title, self.steps, self.pause = title, steps, pause

    def round_done(self, round: Round) -> None:
        left = f"{round.eta_seconds / 60:5.1f} min left"
        print(f"\r{self.title:<40} {round.step:>9,}/{self.steps:,} {left}  ", end="", file=sys.stderr, flush=True)
        while self.pause.exists():
            time.sleep(5)


def run_cell(cell: Cell, work: Path, processes: int | None) -> dict[str, Any]:
    """The cell's line; a run that was interrupted goes on from its folder."""
    pause = work / "pause"
    config, history, figures = _run(cell.name, cell.options(), work / cell.name, processes, pause)
    row = {
        "task": cell.task,
        "arm": cell.arm.name,
        "seed": cell.seed,
        "key": cell.key(),
        "settings": cell.options(),
        "hash": figures["hash"],
        "commit": commit(),
        "versions": {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
        "processor": processor(),
        **_figures(config, history, figures, work / cell.name),
    }
    if cell.arm.algo == "constant":
        row["members"] = _fresh_of_all(work / cell.name, policies=("mean",))
    if cell.arm.retraced:
        row["retraces"] = _retrace(cell, work, processes, pause)
    print(f"\r{'':90}\r", end="", file=sys.stderr)
    return row


def _run(
    title: str, options: Mapping[str, Any], folder: Path, processes: int | None, pause: Path
) -> tuple[RunConfig, History, Mapping[str, Any]]:
    watcher = Watcher(title, options["steps"], pause)
    if (folder / "journal.sqlite").exists():
        done = firerl.resume(folder, progress=False, observer=watcher)
    else:
        more = {"run_dir": folder, "processes": processes, "progress": False, "observer": watcher}
        done = firerl.run(**options, **more)
    with closing(Journal.open(folder)) as journal:
        return *read(journal), done.figures


def _retrace(cell: Cell, work: Path, processes: int | None, pause: Path) -> list[dict[str, float]]:
    """The winner's schedule again from scratch, with fresh seeds."""
    name = f"{cell.name}-retrace"
    options = cell.options() | {
        "algo": "retrace",
        "algo_settings": {"schedule": schedule_of(work / cell.name)},
        "population": [RETRACES],
        "evaluators": 0,
        "seed": integer_seed(cell.seed, Purpose.RETRACE),
    }
    _run(name, options, work / name, processes, pause)
    return _fresh_of_all(work / name)


def _fresh_of_all(folder: Path, policies: Sequence[str] = ("mean", "sample")) -> list[dict[str, float]]:
    """Every member's last objective and its fresh episodes; a member that failed is left out."""
    with closing(Journal.open(folder)) as journal:
        config, history = read(journal)
        last = journal.last()
        rows = []
        for worker in last.state.workers:
            if worker.failed or not worker.curve:
                continue
            weights = journal.read_file(last.files[worker.id].name)["weights"]
            fresh = fresh_episodes(config, worker.hyperparameters, weights, policies)
            rows.append({"objective": history.curves[worker.id][-1], **fresh})
    return rows


def fresh_episodes(
    config: RunConfig, hyperparameters: Mapping[str, Any], weights: Any, policies: Sequence[str] = ("mean", "sample")
) -> dict[str, float]:
    """Return over whole episodes that nobody selected by, for the mean action and for sampled ones."""
    seed = integer_seed(config.seed, Purpose.REPORT, 1)  # not the episodes of result.json
    learner: Any = find_learner(config.learner)(config.settings, hyperparameters, seed, "cpu")
    learner.load(weights=weights)
    figures = {}
    for policy in policies:
        returns = [value for value, _ in learner.episodes(EPISODES, seed, mean=policy == "mean")]
        figures[policy], figures[f"{policy}_sd"] = float(np.mean(returns)), float(np.std(returns, ddof=1))
    return figures


def _figures(config: RunConfig, history: History, figures: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What is kept of a finished run beside its settings."""
    from firerl import checkpoint

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
        "winner": fresh_episodes(config, best["hyperparameters"], best["weights"]),
        "auc": float(np.mean([value for value in curves["best"] if value is not None])),
        "evolution": figures["evolution"],
        "promotions_in_lineage": sum(segment["origin"] == "promotion" for segment in lineage),
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
    return [values[k] if values[k] is None or isinstance(values[k], int) else round(values[k], 2) for k in keep]


def commit() -> str:
    """Of the working tree, with + where it has changes."""
    head, changed = (_git(*command) for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    return head + ("+" if changed else "")


def _git(*command: str) -> str:
    git = ["git", "-C", str(Path(__file__).parent), *command]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def processor() -> str:
    """The model's name, and how many cores may be used."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next((x.partition(":")[2].strip() for x in info.read_text().splitlines() if "model name" in x), name)
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"

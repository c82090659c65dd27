"""One long training of ``horizon.py``: a row with its curves, saved on the way so that a killed run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
import torch
from training_runs import AGENTS, mean_action, versions

INTERVAL = 25_000  # steps between two points of a curve
SAVED = 200_000  # steps between two states on the disk
MARKS = (100_000, 200_000, 400_000, 600_000, 1_000_000, 1_200_000, 1_600_000, 2_000_000, 3_000_000, 4_000_000)
PLAYED = 1_000_000  # steps between two evaluations of the mean action; one at the end besides
COLUMNS = (
    "scale", "kl_mu", "kl_sigma", "approx_kl", "eta", "alpha_mu", "alpha_sigma", "explained_variance", "value_loss",
    "entropy", "rate", "clip_fraction",
)  # fmt: skip
Row = dict[str, Any]


class Curves:
    """Points every ``INTERVAL`` steps: of the episodes that ended in between, and means of the updates' numbers."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.episodes: list[tuple[float, int]] = []
        self.updates: list[Mapping[str, float]] = []

    def add(self, steps: int, ended: list[tuple[float, int]], metrics: Mapping[str, float], seconds: float) -> None:
        self.episodes += ended
        self.updates.append({name: metrics[name] for name in COLUMNS if name in metrics})
        if steps // INTERVAL > (self.points[-1]["steps"] // INTERVAL if self.points else 0):
            point: dict[str, Any] = {"steps": steps, "episodes": len(self.episodes), "seconds": round(seconds, 1)}
            if self.episodes:
                means = np.mean(np.array(self.episodes, dtype=float), axis=0)
                point |= {"return": rounded(means[0]), "length": rounded(means[1])}
            point |= {name: rounded(np.mean([u[name] for u in self.updates])) for name in self.updates[0]}
            self.points.append(point)
            self.episodes, self.updates = [], []


def rounded(number: float) -> float:
    """Four digits are enough for a curve."""
    return float(f"{number:.4g}")


def run(job: Row, work: Path, tell: Callable[[str], None] = print) -> Row:
    """Train from the start, or from the state that was saved last, to ``job["steps"]``; the finished row."""
    torch.set_num_threads(1)
    mujoco.set_mju_user_warning(lambda message: None)
    agent = AGENTS[job["arm"]]
    settings = agent.resolve({"env": job["task"], **job["given"]})
    learner, unit = agent(settings, {}, job["seed"]), agent.granularity_of(settings)
    curves, played, seconds, done = Curves(), [], 0.0, 0
    saved = work / f"{job['name']}.pt"
    if saved.exists():
        kept = torch.load(saved, weights_only=False)
        learner.load(**kept["state"])
        curves, played, seconds, done = kept["curves"], kept["played"], kept["seconds"], kept["done"]
    while done + unit <= job["steps"] + unit // 2:
        clock = time.process_time()
        metrics = learner.train(unit)
        seconds += time.process_time() - clock
        before, done = done, done + unit
        number = len(curves.points)
        curves.add(done, learner.rollout.ended, metrics, seconds)
        if len(curves.points) > number and number % 4 == 3:
            tell(words(job, curves.points[-1]))
        if before // PLAYED < done // PLAYED:
            played.append({"steps": done, **mean_action(job["task"], learner.act, 1000 + job["seed"])})
            tell(f"{job['name']}: {played[-1]}")
        if before // SAVED < done // SAVED:
            keep(saved, {"state": learner.state(), "curves": curves, "played": played, "seconds": seconds, "done": done})
    if not played or played[-1]["steps"] < done:
        played.append({"steps": done, **mean_action(job["task"], learner.act, 1000 + job["seed"])})
    learner.close()
    return {**job, "settings": settings, "played": played, "curve": curves.points, "seconds": round(seconds), "versions": versions()}


def keep(path: Path, state: Row) -> None:
    """Atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def words(job: Row, point: Row) -> str:
    """Where a run is."""
    shown = ("return", "length", "scale", "kl_mu", "kl_sigma", "eta", "alpha_mu", "alpha_sigma", "explained_variance")
    numbers = " ".join(f"{name} {point[name]:.4g}" for name in shown if name in point)
    return f"{job['name']}: {point['steps']:,} {numbers} {point['seconds']:.0f} s"

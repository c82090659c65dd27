"""One long training of ``horizon.py``: a row with its curves, saved on the way so that one that was killed goes on."""

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
from training_runs import AGENTS, mean_action, settings_of, versions

from firerl.agents.actor_critic.learner import ActorCritic

INTERVAL = 25_000  # steps between two points of a curve
WINDOW = 50_000  # steps that a training return is the mean of
SAVED = 200_000  # steps between two states on the disk
PLAYED = 1_000_000  # steps between two evaluations of the mean action; one at the end besides
COLUMNS = (
    "scale", "kl_mu", "kl_sigma", "approx_kl", "clip_fraction", "eta", "alpha_mu", "alpha_sigma",
    "explained_variance", "value_loss", "entropy", "rate",
)  # fmt: skip
Row = dict[str, Any]
Tell = Callable[[str], None]


class Progress:
    """How far a training is: its curve, and what the mean action returned on the way."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0  # seconds of the processor, evaluations left out
        self.curve: list[Row] = []
        self.played: list[Row] = []
        self.episodes: list[tuple[float, int]] = []  # (return, length), since the last point of the curve
        self.updates: list[Mapping[str, float]] = []

    def add(self, steps: int, ended: list[tuple[float, int]], metrics: Mapping[str, float], seconds: float) -> bool:
        """One more update; whether the curve got a point."""
        before, self.steps = self.steps, self.steps + steps
        self.seconds += seconds
        self.episodes += ended
        self.updates.append({name: metrics[name] for name in COLUMNS if name in metrics})
        if not passes(before, self.steps, INTERVAL):
            return False
        self.curve.append(self._point())
        self.episodes, self.updates = [], []
        return True

    def _point(self) -> Row:
        point: Row = {"steps": self.steps, "seconds": round(self.seconds), "episodes": len(self.episodes)}
        if self.episodes:
            mean_return, length = np.mean(np.array(self.episodes, dtype=float), axis=0)
            point |= {"return": rounded(mean_return), "length": rounded(length)}
        return point | {name: rounded(np.mean([update[name] for update in self.updates])) for name in self.updates[0]}


def passes(before: int, now: int, interval: int) -> bool:
    """Whether a multiple of ``interval`` lies in (before, now]."""
    return before // interval < now // interval


def rounded(number: float) -> float:
    """Four digits are enough for a curve."""
    return float(f"{number:.4g}")


def run(job: Row, work: Path, tell: Tell) -> Row:
    """Train to ``job["steps"]``, from the start or from the state that was saved last; the finished row."""
    torch.set_num_threads(1)
    mujoco.set_mju_user_warning(lambda message: None)
    settings, made_with = settings_of(job), versions()
    agent = AGENTS[job["arm"]]
    learner, unit = agent(settings, {}, job["seed"]), agent.granularity_of(settings)
    saved, progress = work / f"{label(job).replace(' ', '_')}.pt", Progress()
    kept = torch.load(saved, weights_only=False) if saved.exists() else {}
    if kept.get("settings") == settings and kept["progress"].steps <= job["steps"]:
        learner.load(**kept["state"])
        progress = kept["progress"]
        tell(f"{label(job)}: goes on at {progress.steps:,}")
    while progress.steps + unit <= job["steps"]:
        clock = time.process_time()
        metrics = learner.train(unit)
        before = progress.steps
        pointed = progress.add(unit, learner.rollout.ended, metrics, time.process_time() - clock)
        if pointed and passes(before, progress.steps, 4 * INTERVAL):
            tell(words(job, progress.curve[-1]))
        if passes(before, progress.steps, PLAYED):
            play(job, learner, progress, tell)
        if passes(before, progress.steps, SAVED):
            keep(saved, {"settings": settings, "state": learner.state(), "progress": progress})
    if not progress.played or progress.played[-1]["steps"] < progress.steps:
        play(job, learner, progress, tell)
    keep(
        saved, {"settings": settings, "state": learner.state(), "progress": progress}
    )  # a longer run goes on from here
    learner.close()
    figures = {"curve": progress.curve, "played": progress.played, "seconds": round(progress.seconds)}
    return {**job, "settings": settings, **figures, "versions": made_with}


def play(job: Row, learner: ActorCritic, progress: Progress, tell: Tell) -> None:
    """Twenty fresh episodes with the mean action."""
    progress.played.append({"steps": progress.steps, **mean_action(job["task"], learner.act, 1000 + job["seed"])})
    tell(f"{label(job)}: {progress.steps:,} mean action {progress.played[-1]}")


def keep(path: Path, state: Row) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    torch.save(state, new)
    new.replace(path)


def label(job: Row) -> str:
    """A run's short name."""
    return f"{job['task']} {job['name']} seed {job['seed']}"


def words(job: Row, point: Row) -> str:
    """Where a run is."""
    numbers = " ".join(f"{name} {value:.4g}" for name, value in point.items() if name not in ("steps", "seconds"))
    return f"{label(job)}: {point['steps']:,} {numbers}, {point['seconds']} s"


def training_return(row: Row, steps: int) -> float | None:
    """Mean of the episodes that ended in the last ``WINDOW`` steps before ``steps``; None if the run is shorter."""
    if not row["curve"] or row["curve"][-1]["steps"] < steps - INTERVAL:
        return None
    points = [p for p in row["curve"] if steps - WINDOW < p["steps"] - p["steps"] % INTERVAL <= steps and p["episodes"]]
    total = sum(point["episodes"] for point in points)
    return sum(point["return"] * point["episodes"] for point in points) / total if total else None

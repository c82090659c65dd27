"""Long trainings of one agent each, ours or a rival's: rows with curves, resumable, a finished one never run again.

Seconds are the processor's, with one torch thread and without evaluations, so that other work on the machine does not
count. An agent of ours that was killed goes on from its last state; a rival begins again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import mujoco
import numpy as np
import torch
from results_file import append, read

from firerl import envs
from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.ppo import PPO
from firerl.agents.vmpo import VMPO

INTERVAL = 25_000  # steps between two points of a curve
WINDOW = 50_000  # steps that a training return is the mean of
SAVED = 200_000  # steps between two states on the disk
PLAYED = 1_000_000  # steps between two evaluations of the mean action; one at the end besides
EPISODES = 20  # whole episodes of an evaluation
AGENTS: dict[str, type[ActorCritic]] = {"vmpo": VMPO, "ppo": PPO}
COLUMNS = (
    "scale", "kl_mu", "kl_sigma", "approx_kl", "clip_fraction", "eta", "alpha_mu", "alpha_sigma",
    "explained_variance", "value_loss", "entropy", "rate",
)  # fmt: skip
Array = np.ndarray
Row = dict[str, Any]  # of a job: task, name, arm, seed, steps, given; a finished one has settings, curve, played, ...
Tell = Callable[[str], None]


class Progress:
    """How far a training is: its curve, and what the mean action returned on the way."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self.curve: list[Row] = []
        self.played: list[Row] = []
        self.episodes: list[tuple[float, int]] = []  # (return, length), since the last point of the curve
        self.updates: list[Mapping[str, float]] = []

    def add(self, steps: int, ended: Sequence[tuple[float, int]], metrics: Mapping[str, float], seconds: float) -> bool:
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


class Watch:
    """What is told and noted while a training goes on."""

    def __init__(self, job: Row, progress: Progress, tell: Tell):
        self.job, self.progress, self.tell = job, progress, tell

    def add(
        self,
        steps: int,
        ended: Sequence[tuple[float, int]],
        metrics: Mapping[str, float],
        seconds: float,
        act: Callable[[Array], Array],
    ) -> None:
        """One more update; every million steps ``act`` plays."""
        before = self.progress.steps
        pointed = self.progress.add(steps, ended, metrics, seconds)
        if pointed and passes(before, self.progress.steps, 4 * INTERVAL):
            self.tell(words(self.job, self.progress.curve[-1]))
        if passes(before, self.progress.steps, PLAYED):
            self.play(act)

    def play(self, act: Callable[[Array], Array]) -> None:
        """Twenty fresh episodes with the mean action."""
        played = {"steps": self.progress.steps, **mean_action(self.job["task"], act, 1000 + self.job["seed"])}
        self.progress.played.append(played)
        self.tell(f"{label(self.job)}: {self.progress.steps:,} mean action {played}")

    def end(self, act: Callable[[Array], Array]) -> None:
        """Play once more, unless that has just been done."""
        if not self.progress.played or self.progress.played[-1]["steps"] < self.progress.steps:
            self.play(act)


def ours(job: Row, work: Path, tell: Tell) -> Progress:
    """Train an agent of ours, from the start or from the state that was saved last."""
    settings, agent = settings_of(job), AGENTS[job["arm"]]
    learner, unit = agent(settings, {}, job["seed"]), agent.granularity_of(settings)
    saved, progress = work / f"{label(job).replace(' ', '_')}.pt", Progress()
    kept = torch.load(saved, weights_only=False) if saved.exists() else {}
    if kept.get("settings") == settings and kept["progress"].steps <= job["steps"]:
        learner.load(**kept["state"])
        progress = kept["progress"]
        tell(f"{label(job)}: goes on at {progress.steps:,}")
    watch = Watch(job, progress, tell)
    while progress.steps + unit <= job["steps"]:
        before, clock = progress.steps, time.process_time()
        metrics = learner.train(unit)
        watch.add(unit, learner.rollout.episodes.since, metrics, time.process_time() - clock, learner.act)
        if passes(before, progress.steps, SAVED):
            keep(saved, {"settings": settings, "state": learner.state(), "progress": progress})
    watch.end(learner.act)
    keep(saved, {"settings": settings, "state": learner.state(), "progress": progress})  # for a longer run
    learner.close()
    return progress


def rival(job: Row, work: Path, tell: Tell) -> Progress:
    """Train an agent of another library."""
    import rivals

    progress = Progress()
    watch = Watch(job, progress, tell)
    rivals.ARMS[job["arm"]].train(job["task"], job["seed"], job["steps"], settings_of(job), watch)
    return progress


def run(job: Row, work: Path, tell: Tell) -> Row:
    """A job with its result."""
    torch.set_num_threads(1)
    mujoco.set_mju_user_warning(lambda message: None)
    made_with = versions()
    progress = (ours if job["arm"] in AGENTS else rival)(job, work, tell)
    figures = {"curve": progress.curve, "played": progress.played, "seconds": round(progress.seconds)}
    return {**job, "settings": settings_of(job), **figures, "versions": made_with}


def run_all(wanted: Sequence[Row], results: Path, work: Path, processes: int) -> None:
    """Run what is missing; each finished run is a line at once."""
    there = longest(read(results))
    left = [job for job in wanted if there.get(key(job), {"steps": 0})["steps"] < job["steps"]]
    tell(f"{len(wanted) - len(left)} of {len(wanted)} runs are there already")
    begun = time.time()
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        for number, row in enumerate(pool.imap_unordered(partial(run, work=work, tell=tell), left), 1):
            append(results, row)
            ahead = (time.time() - begun) / number * (len(left) - number) / 60
            tell(f"{number} of {len(left)}: {label(row)} ended at {row['played'][-1]['return']}; {ahead:.0f} min to go")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def settings_of(job: Row) -> dict[str, Any]:
    """The complete settings of a job: when a default changes, an old result is another run's."""
    if job["arm"] in AGENTS:
        return AGENTS[job["arm"]].resolve({"env": job["task"], **job["given"]})
    import rivals

    return {**rivals.ARMS[job["arm"]].settings, **job["given"]}


def key(run: Row) -> str:
    """What makes two runs the same: of a job, or of a row. A setting that a row does not know stood at its default."""
    settings = run["settings"] if "settings" in run else settings_of(run)
    if run["arm"] in AGENTS:
        settings = {**AGENTS[run["arm"]].settings, **settings}
    return json.dumps([settings, *(run[name] for name in ("arm", "task", "seed"))], sort_keys=True, default=list)


def longest(rows: Iterable[Row]) -> dict[str, Row]:
    """Of the runs that are the same but for their length."""
    best: dict[str, Row] = {}
    for row in rows:
        if row["steps"] >= best.get(key(row), {"steps": 0})["steps"]:
            best[key(row)] = row
    return best


def mean_action(task: str, act: Callable[[Array], Array], seed: int) -> dict[str, float]:
    """20 whole episodes, one an environment: return, length and, where the task tells, metres forward."""
    vector = envs.make(task, EPISODES, seed)
    observations, _ = vector.reset()
    returns, lengths = np.zeros(EPISODES), np.zeros(EPISODES)
    distances = np.full(EPISODES, np.nan)
    running = np.ones(EPISODES, dtype=bool)
    while running.any():
        observations, rewards, terminated, truncated, infos = vector.step(act(observations))
        returns += rewards * running
        lengths += running
        ended = (terminated | truncated) & running
        if ended.any() and "x_position" in infos.get("final_info", {}):
            distances[ended] = infos["final_info"]["x_position"][ended]
        running &= ~ended
    vector.close()
    figures = {"return": returns.mean(), "std": returns.std(ddof=1), "length": lengths.mean()}
    if not np.isnan(distances).any():
        figures["metres"] = distances.mean()
    return {name: round(float(value), 2) for name, value in figures.items()}


def training_return(row: Row, steps: int) -> float | None:
    """Mean of the episodes that ended in the last ``WINDOW`` steps before ``steps``; None if the run is shorter."""
    if not row["curve"] or row["curve"][-1]["steps"] < steps - INTERVAL:
        return None
    points = [p for p in row["curve"] if steps - WINDOW < p["steps"] - p["steps"] % INTERVAL <= steps and p["episodes"]]
    total = sum(point["episodes"] for point in points)
    return sum(point["return"] * point["episodes"] for point in points) / total if total else None


def passes(before: int, now: int, interval: int) -> bool:
    """Whether a multiple of ``interval`` lies in (before, now]."""
    return before // interval < now // interval


def rounded(number: float) -> float:
    """Four digits are enough for a curve."""
    return float(f"{number:.4g}")


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


def versions() -> dict[str, str]:
    """Of what decides results and speed, and the processor."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cpu = [line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    libraries = {name: metadata.version(name) for name in ("torch", "mujoco", "gymnasium")}
    return {
        "commit": commit.stdout.strip(),
        **libraries,
        "processor": (cpu or [platform.processor()])[0].strip(),
    }

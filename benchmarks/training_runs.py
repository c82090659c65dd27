"""One training from start to end, as a plain dictionary: our agents, or PPO of Stable-Baselines3. For returns, studies.

Seconds are seconds of the processor, with one torch thread, so that other work on the machine does not count; those
of the evaluations of the mean action are left out.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import mujoco
import numpy as np
import torch
from results_file import append, read

from firerl import envs
from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.ppo import PPO
from firerl.agents.vmpo import VMPO

Array = np.ndarray
EPISODES = 20  # whole episodes of an evaluation
PPO_ENVS, PPO_STEPS = 8, 256
AGENTS: dict[str, type[ActorCritic]] = {"vmpo": VMPO, "ppo_firerl": PPO}
PPO_USUAL = {"n_steps": PPO_STEPS, "batch_size": 64, "n_epochs": 10}  # and VecNormalize


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


class Curve:
    """The training return every 5,000 steps: (steps, mean of the episodes that ended since the last point, how many
    they were, seconds of training so far)."""

    INTERVAL = 5000

    def __init__(self) -> None:
        self.points: list[tuple[int, float | None, int, float]] = []
        self.returns: list[float] = []

    def add(self, steps: int, returns: Iterable[float], seconds: float) -> None:
        self.returns += returns
        if steps // self.INTERVAL > (self.points[-1][0] // self.INTERVAL if self.points else 0):
            mean = round(float(np.mean(self.returns)), 2) if self.returns else None
            self.points.append((steps, mean, len(self.returns), round(seconds, 2)))
            self.returns = []


def ours(
    agent: type[ActorCritic], task: str, seed: int, steps: int, marks: Sequence[int], settings: dict[str, Any]
) -> dict[str, Any]:
    """Train an agent of ours with these settings; evaluate at ``marks``."""
    learner, unit = agent(settings, {}, seed), agent.granularity_of(settings)
    curve, evaluations, seconds, last = Curve(), [], 0.0, {}
    for done in range(unit, steps + 1, unit):
        clock = time.process_time()
        last = learner.train(unit)
        seconds += time.process_time() - clock
        curve.add(done, [value for value, _ in learner.rollout.ended], seconds)
        if any(done - unit < mark <= done for mark in marks):
            evaluations.append({"steps": done, **mean_action(task, learner.act, 1000 + seed)})
    learner.close()
    return {"curve": curve.points, "evaluations": evaluations, "last_update": last}


def ppo(task: str, seed: int, steps: int, marks: Sequence[int], settings: dict[str, Any]) -> dict[str, Any]:
    """Train SB3's PPO: as people run it, or, without settings, with the library's defaults on one environment."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    curve, evaluations, pauses, usual = Curve(), [], [0.0], bool(settings)
    vector: Any = make_vec_env(envs.resolve(task), PPO_ENVS if usual else 1, seed=seed)
    vector = VecNormalize(vector) if usual else vector
    model = stable_baselines3.PPO("MlpPolicy", vector, seed=seed, device="cpu", **settings)
    begun = time.process_time()

    def act(observations: Array) -> Array:
        normal = vector.normalize_obs(observations.copy()) if usual else observations
        return model.predict(normal, deterministic=True)[0]

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            count = vector.num_envs
            ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            curve.add(self.num_timesteps, ended, time.process_time() - begun - pauses[0])
            if any(self.num_timesteps - count < mark <= self.num_timesteps for mark in marks):
                clock = time.process_time()
                evaluations.append({"steps": self.num_timesteps, **mean_action(task, act, 1000 + seed)})
                pauses[0] += time.process_time() - clock
            return True

    model.learn(steps, callback=Watch())
    vector.close()
    return {"curve": curve.points, "evaluations": evaluations}


ARMS: dict[str, Callable[..., dict[str, Any]]] = {
    **{name: partial(ours, agent) for name, agent in AGENTS.items()},
    "ppo": ppo,
    "ppo_defaults": ppo,
}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """A job {arm, task, seed, steps, marks, given} with its result; ``given`` are settings over the task's own."""
    torch.set_num_threads(1)
    mujoco.set_mju_user_warning(lambda message: None)
    settings = settings_of(job)
    result = ARMS[job["arm"]](job["task"], job["seed"], job["steps"], job["marks"], settings)
    return {**job, "settings": settings, **result, "versions": versions()}


def run_all(jobs: Sequence[dict[str, Any]], path: Path, processes: int) -> None:
    """Run the jobs whose results are not in the file yet, and add each to it as a line of JSON."""
    done = [key(row) for row in read(path)]
    left = [job for job in jobs if key(job) not in done]
    print(f"{len(jobs) - len(left)} of {len(jobs)} runs are there already", file=sys.stderr, flush=True)
    if not left:
        return
    begun = time.time()
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        for number, row in enumerate(pool.imap_unordered(run, left), 1):
            append(path, row)
            ahead = (time.time() - begun) / number * (len(left) - number) / 60
            what = f"{row['arm']} {row['task']} seed {row['seed']} {row['given'] or ''}".strip()
            words = f"{number} of {len(left)}: {what}, {last_point(row)}; {ahead:.0f} min to go"
            print(words, file=sys.stderr, flush=True)


def last_point(row: dict[str, Any]) -> str:
    """Where a run ended, in words."""
    values = [value for _, value, _, _ in row["curve"] if value is not None]
    words = f"training return {values[-1]:.0f}" if values else "no episode ended"
    return words + (f", mean action {row['evaluations'][-1]['return']:.0f}" if row["evaluations"] else "")


def settings_of(job: dict[str, Any]) -> dict[str, Any]:
    """The complete settings of a job: when a default changes, an old result is another run's."""
    if job["arm"] in AGENTS:
        return AGENTS[job["arm"]].resolve({"env": job["task"], **job["given"]})
    return PPO_USUAL if job["arm"] == "ppo" else {}


def key(run: dict[str, Any]) -> str:
    """What makes two runs the same run: of a job, or of a result."""
    settings = run["settings"] if "settings" in run else settings_of(run)
    return json.dumps([settings, *(run[name] for name in ("arm", "task", "seed", "steps"))], sort_keys=True)


def versions() -> dict[str, str]:
    """Of what decides results and speed, and the processor."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cpu = [line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "commit": commit.stdout.strip(),
        "torch": torch.__version__,
        "mujoco": mujoco.__version__,
        "gymnasium": gymnasium.__version__,
        "processor": (cpu or [platform.processor()])[0].strip(),
    }

"""Does ``learner=sb3`` learn as plain Stable-Baselines3 does: same algorithm, same settings, same seed, no evolution?

    python benchmarks/evidence/sb3_returns.py [--quick] [--algorithms PPO SAC] [--seeds 0 1 2] [--steps 100000]

Plain: the library's own ``learn()`` on Gymnasium's environments in its DummyVecEnv and Monitor. Ours: ``learner=sb3``,
trained interval by interval. Both get the same seeds, also those of each episode, so the returns of all episodes must
be equal. The table shows the mean of the last tenth of them, how many there were, how many are equal from the first
on, how many ours had, and the steps of both in a second of the processor.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from firerl import envs
from firerl.agents.adapters import sb3_algorithm
from firerl.agents.adapters.sb3_learner import SB3
from firerl.envs.state.remembering import Kept

TASKS = {"PPO": "Hopper", "A2C": "InvertedPendulum", "SAC": "Hopper", "TD3": "Hopper", "DQN": "CartPole"}
INTERVALS = 10  # calls of train()
QUICK = {"PPO": 4_096, "A2C": 2_000, "SAC": 600, "TD3": 600, "DQN": 2_000}


def settings_of(algorithm: str) -> dict[str, Any]:
    return SB3.resolve({"algorithm": algorithm, "env": TASKS[algorithm]})


def ours(settings: Mapping[str, Any], seed: int, steps: int) -> tuple[list[float], float]:
    """Returns of all episodes, and seconds of the processor."""
    learner, unit, found = SB3(settings, {}, seed), SB3.granularity_of(settings), list[float]()
    began = time.process_time()
    for done in range(0, steps, part := max(steps // INTERVALS // unit, 1) * unit):
        learner.train(min(part, steps - done))
        found += [value for value, _ in learner.env.ended.since]
    return found, time.process_time() - began


def plain(settings: Mapping[str, Any], seed: int, steps: int) -> tuple[list[float], float]:
    """The same with the library alone."""
    environments, own = (int(s) for s in np.random.SeedSequence(seed).generate_state(2, np.uint32))
    env_id = envs.resolve(settings["env"]["name"])
    env = gymnasium.make(env_id)
    if "mujoco" not in str(env.spec and env.spec.entry_point):
        env = Kept(env)  # which gives each episode a seed, as ours have them
    vector = DummyVecEnv([lambda: Monitor(env)])
    model = sb3_algorithm.build(settings, vector, own)
    vector.seed(envs.env_seeds(environments, 1)[0])  # ours has been reset with it once
    vector.reset()
    began = time.process_time()
    model.learn(steps, log_interval=None)
    return vector.envs[0].get_episode_rewards(), time.process_time() - began


def row(algorithm: str, seed: int, steps: int) -> dict[str, Any]:
    """Both on one seed, for so many steps or a little less."""
    settings = settings_of(algorithm)
    unit = SB3.granularity_of(settings)
    steps = max(steps // unit, 1) * unit
    (mine, my_seconds), (theirs, their_seconds) = ours(settings, seed, steps), plain(settings, seed, steps)
    last = slice(-max(len(theirs) // 10, 1), None)
    return {
        "algorithm": algorithm, "task": settings["env"]["name"], "seed": seed, "steps": steps,
        "plain": float(np.mean(theirs[last])), "firerl": float(np.mean(mine[last])),
        "episodes": len(theirs), "equal": _alike(mine, theirs), "ours": len(mine),
        "plain steps/s": steps / their_seconds, "firerl steps/s": steps / my_seconds,
    }  # fmt: skip


def _alike(one: Sequence[float], other: Sequence[float]) -> int:
    """How many episodes have the same return, but for the rounding of a sum, from the first on."""
    same = [math.isclose(a, b, rel_tol=1e-12) for a, b in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, a few updates: a minute")
    parser.add_argument("--algorithms", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100_000)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    ours(settings_of("A2C"), 0, 500)  # what is loaded lazily counts for nobody
    rows: list[dict[str, Any]] = []
    for algorithm in arguments.algorithms:
        for seed in arguments.seeds[: 1 if arguments.quick else None]:
            rows.append(row(algorithm, seed, QUICK[algorithm] if arguments.quick else arguments.steps))
            if len(rows) == 1:
                print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
            print(f"| {' | '.join(_shown(value) for value in rows[-1].values())} |", flush=True)
    print(json.dumps(rows))


def _shown(value: Any) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()

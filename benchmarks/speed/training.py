"""How near whole training comes to physics and bare arithmetic, against SB3's PPO, and what a population adds.

    python benchmarks/speed/training.py             Ant and Humanoid, then a population of 22 workers, about 12 minutes
    python benchmarks/speed/training.py --quick     some two and a half minutes
    python benchmarks/speed/training.py --skip-population

One member of V-MPO trains with its task's default settings, the ones whose returns are reported. Beside it run:

- the limit: the bare loop of ``physics.py`` over the very same motion. A first training writes down actions and
  starts of episodes; the second one, which is timed, repeats it bit for bit (that is checked at the end).
- bare arithmetic: the same networks in plain ``torch.nn``, with the same batch sizes and counts. For acting a forward
  pass of the policy a step, in learning forward, backward and fused Adam. No losses, no clipping, no values of the
  unroll, no normalisation, no random numbers.
- SB3's PPO as people run it, where it is installed: VecNormalize, 8 environments, n_steps 256, minibatches of 64,
  10 epochs. Null otherwise.

ideal = limit + arithmetic. All take turns, an unroll each (PPO once a round: a rollout and its learning), the order
rotates, torch has one thread. Figures are medians over rounds.

``population_overhead`` and ``barrier_idle`` are shares of two processes' time in a real run of FIRE PBT with 22
workers: what decisions, copies, checkpoints, journal, curves and TensorBoard take, and what processes wait for each
other and for messages.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
import torch
from physics import TASKS, Motion, progress, spread
from torch import Tensor, nn

import firerl
from firerl import envs
from firerl.agents.actor_critic.networks import ACTIVATIONS
from firerl.agents.vmpo import VMPO
from firerl.session.watching.progress import Round, Silent

SB3 = importlib.util.find_spec("stable_baselines3") is not None
PPO_ENVS, PPO_STEPS = 8, 256


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    unrolls: int  # of a round
    warm: int  # unrolls before the first round
    evaluations_per_ready: int
    readies: int


FULL = Plan(rounds=9, unrolls=5, warm=10, evaluations_per_ready=4, readies=3)
QUICK = Plan(rounds=3, unrolls=3, warm=2, evaluations_per_ready=1, readies=2)


def member(task: str) -> VMPO:
    """A learner as a population builds it, with default settings."""
    return VMPO(VMPO.resolve({"env": task}), {}, 0, "cpu")


class Training(Motion):
    """The motion of a member's first ``unrolls`` unrolls, for the bare loop to repeat."""

    def __init__(self, task: str, unrolls: int):
        self.learner = member(task)  # not Motion's own environments: these act by their policy
        env: Any = self.learner.rollout.env
        self.env = env
        self.num_envs = self.learner.config["num_envs"]
        self.steps = unrolls * self.learner.config["unroll"]
        self.actions = np.zeros((self.steps, *env.action_space.shape), dtype=np.float32)
        self.starts = []
        size = env.model.nq + env.model.nv
        began = np.ones(self.num_envs, dtype=bool)
        step = env.step

        def noted(actions: np.ndarray) -> Any:
            self.actions[len(self.starts)] = actions
            self.starts.append([(int(i), self._state(int(i), size)) for i in np.flatnonzero(began)])
            result = step(actions)
            began[:] = result[2] | result[3]
            return result

        with patch.object(env, "step", noted):
            self.learner.train(unrolls * self.num_envs * self.learner.config["unroll"])


class Arithmetic:
    """The matrix products of one unroll and what they cannot do without, in plain torch."""

    def __init__(self, learner: VMPO):
        self.config, spec = learner.config, learner.spec
        self.trunks = [self._trunk(spec.observation_size) for _ in range(2)]
        width, size = self.config["hidden"][-1], spec.action_size
        self.mean, self.scale, self.last = (nn.Linear(width, outputs) for outputs in (size, size, 1))
        networks = nn.ModuleList([*self.trunks, self.mean, self.scale, self.last])
        self.optimiser = torch.optim.Adam(networks.parameters(), lr=1e-9, fused=True)
        count, parts = self.config["num_envs"] * self.config["unroll"], self.config["minibatches"]
        self.minibatches = torch.randn(count, spec.observation_size).chunk(parts)
        self.few = torch.randn(self.config["num_envs"], spec.observation_size)
        self.gradients = [torch.randn(count // parts, outputs) for outputs in (size, size, 1)]

    def _trunk(self, inputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for outputs in self.config["hidden"]:
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[self.config["activation"]].module()]
            inputs = outputs
        return nn.Sequential(*layers)

    def _policy(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunks[0](observations)
        return self.mean(features), nn.functional.softplus(self.scale(features))

    def unroll(self) -> float:
        """Seconds of one unroll."""
        clock = time.perf_counter()
        with torch.inference_mode():
            for _ in range(self.config["unroll"]):
                self._policy(self.few)
        for _ in range(self.config["epochs"]):
            for minibatch in self.minibatches:
                outputs = (*self._policy(minibatch), self.last(self.trunks[1](minibatch)))
                self.optimiser.zero_grad()
                torch.autograd.backward(outputs, self.gradients)
                self.optimiser.step()
        return time.perf_counter() - clock


class PPO:
    """SB3's PPO in the form in which people train MuJoCo tasks with it."""

    def __init__(self, task: str):
        import stable_baselines3
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import VecNormalize

        env = VecNormalize(make_vec_env(envs.resolve(task), PPO_ENVS, seed=0))
        self.ppo = stable_baselines3.PPO(
            "MlpPolicy", env, n_steps=PPO_STEPS, batch_size=64, n_epochs=10, seed=0, device="cpu"
        )
        self.rollout()  # the first call builds what later ones use

    def rollout(self) -> float:
        """Seconds of one rollout and the learning on it."""
        clock = time.perf_counter()
        self.ppo.learn(PPO_ENVS * PPO_STEPS, reset_num_timesteps=False)
        return time.perf_counter() - clock


def measure(task: str, plan: Plan) -> np.ndarray:
    """Steps a second, [rounds, 4]: ours, the limit, the ideal, PPO (NaN without SB3)."""
    total = plan.warm + plan.rounds * plan.unrolls
    progress(f"{task}: a training to repeat")
    motion = Training(task, total)
    learner, limit, arithmetic = member(task), motion.bare(), Arithmetic(motion.learner)
    length, unit = learner.config["unroll"], learner.granularity_of(learner.config)

    def ours(_: int) -> float:
        clock = time.perf_counter()
        learner.train(unit)
        return time.perf_counter() - clock

    runners = [ours, lambda k: limit(k * length, (k + 1) * length), lambda _: arithmetic.unroll()]
    _turns(runners, range(plan.warm))
    ppo = PPO(task) if SB3 else None
    speeds = []
    for number in range(plan.rounds):
        progress(f"{task}: round {number + 1} of {plan.rounds}")
        first = plan.warm + number * plan.unrolls
        own, bare, sums = _turns(runners, range(first, first + plan.unrolls))
        steps = unit * plan.unrolls
        ppo_speed = PPO_ENVS * PPO_STEPS / ppo.rollout() if ppo else np.nan
        speeds.append((steps / own, steps / bare, steps / (bare + sums), ppo_speed))
    if not np.array_equal(learner.rollout.observation, motion.learner.rollout.observation):
        raise RuntimeError(f"{task}: two trainings with one seed differ, so the limit moved other bodies")
    progress("")
    return np.array(speeds)


def _turns(runners: Sequence[Callable[[int], float]], unrolls: range) -> list[float]:
    """Seconds of each runner over these unrolls, unroll by unroll; the order rotates."""
    seconds = [0.0] * len(runners)
    for k in unrolls:
        for turn in range(len(runners)):
            i = (k + turn) % len(runners)
            seconds[i] += runners[i](k)
    return seconds


class Watch(Silent):
    """Where the time of a population went, in seconds of all processes; what lies between rounds is overhead."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.rounds = 0.0
        self.steps = self.count = 0
        self.processes = 1
        self.begun = self.last = 0.0

    def started(self, config: Any, journal: Any, step: int, processes: int) -> None:
        self.processes = processes

    def worker_done(self, done: int, of: int) -> None:
        progress(f"population: round {self.count + 1}, {done} of {of} workers")

    def round_done(self, round: Round) -> None:
        now = time.perf_counter()
        self.begun = self.begun or now - round.seconds
        self.last = now
        self.count += 1
        self.steps += round.trained_steps
        self.rounds += round.seconds
        for name, share in round.parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + share * round.seconds

    def shares(self) -> dict[str, float]:
        """Of the wall time from the first round's begin to the last one's end."""
        wall = self.last - self.begun
        shares = {name: seconds / wall for name, seconds in self.parts.items()}
        return {**shares, "between rounds": 1 - self.rounds / wall}


def population(plan: Plan) -> dict[str, float]:
    """A run of 22 workers on two processes; prints where its time went."""
    watch = Watch()
    interval = VMPO.eval_interval_of(VMPO.resolve({"env": "Humanoid"}))
    ready = interval * plan.evaluations_per_ready
    progress("population: starting")
    with tempfile.TemporaryDirectory() as folder:
        firerl.run(
            env="Humanoid",
            population=[8, 8],
            evaluators=6,
            eval_interval=interval,
            ready_interval=ready,
            steps=ready * plan.readies,
            processes=2,
            run_dir=Path(folder) / "run",
            progress=False,
            observer=watch,
        )
    progress("")
    shares = watch.shares()
    wall = watch.last - watch.begun
    print(
        f"\r\npopulation of 22 on {watch.processes} processes, Humanoid: {watch.steps:,} steps in {wall:.0f} s, "
        f"{watch.steps / wall:,.0f} steps/s\nan evaluation every {interval:,} steps, a generation every {ready:,}"
    )
    print("  ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    overhead = sum(shares[name] for name in ("decide", "copy", "save", "between rounds"))
    return {"population_overhead": overhead, "barrier_idle": shares["idle"]}


def row(task: str, speeds: np.ndarray) -> str:
    """One line of the table."""
    own, limit, ideal, ppo = speeds.T
    medians = " ".join(f"{np.median(column):>8,.0f}" for column in (limit, ideal, own))
    last = spread(own / ppo) if SB3 else "not installed"
    return f"{task:<10} {medians} {spread(own / ideal):>24} {spread(own / limit):>24} {last:>24}"


def main() -> None:
    """Run, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 short rounds, a short population run")
    parser.add_argument("--skip-population", action="store_true", help="one member only; its two figures are null")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="of these tasks only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    mujoco.set_mju_user_warning(lambda message: None)  # Gymnasium's model files are called deprecated, at length
    plan = QUICK if arguments.quick else FULL
    figures: dict[str, float | None] = {}
    print(f"one member, median (quartiles) of {plan.rounds} rounds; speeds in steps a second\n")
    header = f"{'task':<10} {'limit':>8} {'ideal':>8} {'ours':>8} {'ours of ideal':>24} {'ours of limit':>24}"
    print(f"{header} {'ours / PPO of SB3':>24}", flush=True)
    for task in arguments.tasks:
        speeds = measure(task, plan)
        own, limit, ideal, ppo = speeds.T
        print(f"\r{row(task, speeds)}", flush=True)
        name = task.lower()
        figures[f"{name}_training_of_ideal"] = float(np.median(own / ideal))
        figures[f"{name}_training_of_limit"] = float(np.median(own / limit))
        figures[f"sb3_{name}_ratio"] = float(np.median(own / ppo)) if SB3 else None
    empty: dict[str, float | None] = {"population_overhead": None, "barrier_idle": None}
    figures.update(empty if arguments.skip_population else population(plan))
    sys.stdout.flush()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

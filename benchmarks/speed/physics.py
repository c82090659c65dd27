"""How near stepping comes to the physics: our environments and Gymnasium's against a bare loop of MuJoCo.

    python benchmarks/speed/physics.py              Ant and Humanoid, 8 environments, a few minutes
    python benchmarks/speed/physics.py --quick      under two minutes

The physical limit is ``frame_skip`` x ``mj_step`` and one ``mj_rnePostConstraint`` for every step, and the writing of
the controls, nothing else: a loop that replays the episodes of the measured run, so it moves the same bodies the same
way (one that lies on the ground costs 2.6 times one in the air). Its clock stands while an episode begins; the clocks
of the environments go on. All three go through the same uniform actions in short turns, so that other work on the
machine meets them alike. A figure is the median over rounds of limit's time / environment's time.

``two_process_gain``: steps a second of two processes at once over those of one, beside the bare loop's own gain.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import mujoco
import numpy as np

from firerl import envs

TASKS = ("Ant", "Humanoid")
TURN = 100  # vector steps of one turn


class Motion:
    """The same ``steps`` vector steps again and again, for whoever moves the bodies."""

    def __init__(self, task: str, num_envs: int, steps: int):
        self.task, self.num_envs, self.steps = task, num_envs, steps
        self.env = envs.make(task, num_envs, 0)
        space = self.env.single_action_space
        rng = np.random.default_rng(1)
        self.actions = rng.uniform(space.low, space.high, (steps, num_envs, *space.shape)).astype(np.float32)
        self.seeds = envs.env_seeds(0, num_envs)
        self.starts = self._record()

    def _record(self) -> list[list[tuple[int, np.ndarray]]]:
        """For every step the environments that begin an episode before it, with qpos and qvel."""
        size = self.env.model.nq + self.env.model.nv
        starts: list[list[tuple[int, np.ndarray]]] = []
        self.env.reset(seed=self.seeds)
        began = np.ones(self.num_envs, dtype=bool)
        for action in self.actions:
            starts.append([(int(i), self._state(int(i), size)) for i in np.flatnonzero(began)])
            _, _, terminated, truncated, _ = self.env.step(action)
            began = terminated | truncated
        return starts

    def _state(self, i: int, size: int) -> np.ndarray:
        state = np.empty(size)
        kind = mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_QVEL
        mujoco.mj_getState(self.env.model, self.env.datas[i], state, int(kind))
        return state

    def bare(self) -> Callable[[int, int], float]:
        """The limit: seconds of steps start .. stop."""
        model, frame_skip = self.env.model, self.env.frame_skip
        datas = [mujoco.MjData(model) for _ in range(self.num_envs)]
        cells = [(data, data.ctrl) for data in datas]
        controls = self.actions.astype(np.float64)

        def run(start: int, stop: int) -> float:
            seconds = 0.0
            for t in range(start, stop):
                for i, state in self.starts[t]:
                    mujoco.mj_resetData(model, datas[i])
                    datas[i].qpos[:], datas[i].qvel[:] = np.split(state, [model.nq])
                    mujoco.mj_forward(model, datas[i])
                clock = time.perf_counter()
                for (data, control), values in zip(cells, controls[t], strict=True):
                    control[...] = values
                    mujoco.mj_step(model, data, frame_skip)
                    mujoco.mj_rnePostConstraint(model, data)
                seconds += time.perf_counter() - clock
            return seconds

        return run

    def ours(self) -> Callable[[int, int], float]:
        """firerl's environments."""
        return self._of(self.env)

    def gymnasium(self) -> Callable[[int, int], float]:
        """Gymnasium's SyncVectorEnv."""
        mode = gymnasium.vector.AutoresetMode.SAME_STEP
        return self._of(
            gymnasium.make_vec(
                envs.resolve(self.task),
                self.num_envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": mode},
                disable_env_checker=True,
            )
        )

    def _of(self, env: Any) -> Callable[[int, int], float]:
        def run(start: int, stop: int) -> float:
            if start == 0:
                env.reset(seed=self.seeds)
            clock = time.perf_counter()
            for action in self.actions[start:stop]:
                env.step(action)
            return time.perf_counter() - clock

        return run


def progress(text: str) -> None:
    """One line on the terminal, overwritten by the next."""
    print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


def interleaved(runners: Sequence[Callable[[int, int], float]], steps: int) -> list[float]:
    """Seconds of each over the whole motion, turn by turn; the order of a turn rotates."""
    seconds = [0.0] * len(runners)
    for turn, start in enumerate(range(0, steps, TURN)):
        for k in range(len(runners)):
            i = (k + turn) % len(runners)
            seconds[i] += runners[i](start, min(start + TURN, steps))
    return seconds


def one_process(task: str, num_envs: int, steps: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of the limit, [rounds, 2] (ours, Gymnasium's), and the limit's steps a second [rounds]."""
    motion = Motion(task, num_envs, steps)
    runners = [motion.bare(), motion.ours(), motion.gymnasium()]
    fractions, speeds = [], []
    for number in range(rounds):
        progress(f"{task}: round {number + 1} of {rounds}")
        bare, ours, gym = interleaved(runners, steps)
        fractions.append((bare / ours, bare / gym))
        speeds.append(steps * num_envs / bare)
    return np.array(fractions), np.array(speeds)


def _worker(pipe: Connection, task: str, num_envs: int, steps: int) -> None:
    """A process that runs turns on demand: (which, start) -> seconds."""
    motion = Motion(task, num_envs, steps)
    runners = [motion.bare(), motion.ours()]
    pipe.send("ready")
    while (order := pipe.recv()) is not None:
        which, start = order
        pipe.send(runners[which](start, min(start + TURN, steps)))


def two_processes(task: str, num_envs: int, steps: int, rounds: int) -> np.ndarray:
    """Gain of two processes over one, [rounds, 2] (bare, ours)."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for _ in range(2):
        near, far = context.Pipe()
        workers.append(context.Process(target=_worker, args=(far, task, num_envs, steps), daemon=True))
        workers[-1].start()
        pipes.append(near)
    for pipe in pipes:
        pipe.recv()
    gains = []
    for number in range(rounds):
        progress(f"{task}, two processes: round {number + 1} of {rounds}")
        gains.append([_gain(pipes, which, steps) for which in (0, 1)] if number % 2 else
                     [_gain(pipes, which, steps) for which in (1, 0)][::-1])  # fmt: skip
    for pipe, worker in zip(pipes, workers, strict=True):
        pipe.send(None)
        worker.join()
    return np.array(gains)


def _gain(pipes: Sequence[Connection], which: int, steps: int) -> float:
    """Speed of both together over the mean speed of each alone, turn by turn."""
    together, alone = np.zeros(2), np.zeros(2)
    for start in range(0, steps, TURN):
        for pipe in pipes:
            pipe.send((which, start))
        together += [pipe.recv() for pipe in pipes]
        for i, pipe in enumerate(pipes):
            pipe.send((which, start))
            alone[i] += pipe.recv()
    return float((1 / together).sum() / (1 / alone).mean())


def resident_mb() -> float:
    """Memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def spread(values: np.ndarray) -> str:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def compare(num_envs: int, rounds: int, scale: float) -> dict[str, float]:
    """The table of fractions and gains, and its figures."""
    figures: dict[str, float] = {}
    gains = {}
    print(f"{num_envs} environments, median (quartiles) of {rounds} rounds\n")
    print(f"{'task':<10} {'limit, steps/s':>16} {'ours of limit':>24} {'Gymnasium of limit':>24}")
    for task in TASKS:
        fractions, speeds = one_process(task, num_envs, int(800 * scale), rounds)
        progress("")
        row = f"{task:<10} {np.median(speeds):>16,.0f} {spread(fractions[:, 0]):>24} {spread(fractions[:, 1]):>24}"
        print(f"\r{row}")
        figures[f"{task.lower()}_of_limit"] = float(np.median(fractions[:, 0]))
        figures[f"gymnasium_{task.lower()}_of_limit"] = float(np.median(fractions[:, 1]))
    print(f"\n{'task':<10} {'bare, two over one':>24} {'ours, two over one':>24} {'ours / bare':>24}")
    for task in TASKS:
        gain = gains[task] = two_processes(task, num_envs, int(400 * scale), rounds)
        progress("")
        print(f"\r{task:<10} {spread(gain[:, 0]):>24} {spread(gain[:, 1]):>24} {spread(gain[:, 1] / gain[:, 0]):>24}")
    bare, ours = (float(np.mean([np.median(gains[task][:, k]) for task in TASKS])) for k in (0, 1))
    return {**figures, "two_process_gain": ours, "bare_two_process_gain": bare}


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=8, help="environments (8)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (9)")
    parser.add_argument("--quick", action="store_true", help="5 short rounds")
    arguments = parser.parse_args()
    mujoco.set_mju_user_warning(lambda message: None)  # Gymnasium's model files are called deprecated, at length
    rounds, scale = (5, 0.5) if arguments.quick else (arguments.rounds, 1.0)
    print(json.dumps(compare(arguments.envs, rounds, scale)))


if __name__ == "__main__":
    main()

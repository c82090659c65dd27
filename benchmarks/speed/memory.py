"""What a further member costs in memory, and whether a run keeps on taking more.

    python benchmarks/speed/memory.py            three processes, about four minutes
    python benchmarks/speed/memory.py --quick    one process, half a minute

A child process, such as an engine's, builds 1, 2, 4 and then 8 Humanoid members with default settings. At each of
these numbers every member trains two unrolls, is evaluated and gives its checkpoint, so that all that is made lazily
exists; then resident memory is read. ``mb_per_member`` is what the 7 members beside the first have added, by 7.
The 8 go on for some rounds of an unroll, an evaluation and a checkpoint each; ``growth_mb_over_run`` is what the
process has grown in these rounds, for all 8 together. Both are medians over processes. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
from multiprocessing import get_context
from multiprocessing.connection import Connection

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from physics import progress, resident_mb

TASK = "Humanoid"
COUNTS = (1, 2, 4, 8)


def child(pipe: Connection, rounds: int) -> None:
    """Send resident MB at each of ``COUNTS``, then after each of ``rounds`` rounds of all members."""
    import mujoco
    import torch

    from firerl.agents.vmpo import VMPO
    from firerl.storage import checkpoint

    mujoco.set_mju_user_warning(lambda message: None)  # Gymnasium's model files are called deprecated, at length
    torch.set_num_threads(1)
    settings = VMPO.resolve({"env": TASK})
    unit = VMPO.granularity_of(settings)
    members: list[VMPO] = []

    def train_all() -> None:
        for member in members:
            member.train(unit)
            member.evaluate(0)
            checkpoint.dumps(member.state())

    for count in COUNTS:
        members += [VMPO(settings, {}, seed, "cpu") for seed in range(len(members), count)]
        train_all()
        train_all()
        pipe.send(resident_mb())
    for _ in range(rounds):
        train_all()
        pipe.send(resident_mb())


def measure(rounds: int, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Of one process: resident MB at ``COUNTS`` [4], and over the rounds after, the last of ``COUNTS`` included."""
    context = get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=child, args=(far, rounds), daemon=True)
    process.start()
    far.close()  # so that a child that dies ends the wait
    sizes: list[float] = []
    for number in range(len(COUNTS) + rounds):
        progress(f"{label}: {number} of {len(COUNTS) + rounds} readings")
        sizes.append(near.recv())
    process.join()
    return np.array(sizes[: len(COUNTS)]), np.array(sizes[len(COUNTS) - 1 :])


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=3, help="one after the other (3)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of all 8 members (20)")
    parser.add_argument("--quick", action="store_true", help="one process, 5 rounds")
    arguments = parser.parse_args()
    processes, rounds = (1, 5) if arguments.quick else (arguments.processes, arguments.rounds)
    print(f"{TASK}, resident MB of a process with so many members\n")
    titles = "".join(f"{count:>9}" for count in COUNTS)
    print(f"{'process':<10}{titles} {'MB a member':>14} {f'grown in {rounds} rounds':>22}", flush=True)
    per_member, growth = [], []
    for number in range(1, processes + 1):
        sizes, run = measure(rounds, f"process {number} of {processes}")
        per_member.append(float(sizes[-1] - sizes[0]) / (COUNTS[-1] - COUNTS[0]))
        growth.append(float(run[-1] - run[0]))
        progress("")
        cells = "".join(f"{size:>9.1f}" for size in sizes)
        print(f"\r{number:<10}{cells} {per_member[-1]:>14.1f} {growth[-1]:>22.1f}", flush=True)
    figures = {"mb_per_member": float(np.median(per_member)), "growth_mb_over_run": float(np.median(growth))}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""What stacked members gain: 8 classifiers that train as one computation, against the same 8 one after the other.

    python benchmarks/speed/stacked.py             digits and shapes, MLP and CNN; some five minutes on a quiet core
    python benchmarks/speed/stacked.py --quick     the MLP on digits alone, half a minute

Batches of 32, default settings but for the model, everything in one process with one thread. Times are this process's
processor time; both ways are measured in turn, and a gain is the median of the ratios of the rounds. ``train`` is the
training alone, ``interval`` what an engine does in an evaluation interval: it keeps the states for the case that the
group raises, trains the learner's own number of steps and evaluates each member.

Memory is that of fresh processes (Linux), in which one member has trained before, so that all libraries are there. They
build and train 8 members, then 56 more in groups of 8. *the first eight*: the most resident memory that the 8 have
added at any time, by 8. *further ones*: what each of the 56 has added in the end. ``stacked_gain`` is the training of
MLPs on digits.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from physics import progress

MEMBERS = 8
CASES = [("digits", "mlp"), ("digits", "cnn"), ("shapes", "mlp"), ("shapes", "cnn")]
MB = 2**20


def values(i: int) -> dict[str, float | bool]:
    """Different hyperparameters for every member."""
    return {
        "learning_rate": 0.01 * (i % MEMBERS + 1), "momentum": 0.5 + 0.05 * (i % MEMBERS), "nesterov": i % 2 == 0,
        "weight_decay": 1e-4 * i, "label_smoothing": 0.01 * (i % MEMBERS),
    }  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def speed(data: str, model: str, rounds: int) -> dict[str, float]:
    """Milliseconds a step of all members, and of an interval, both ways; and the gains."""
    from firerl.agents.classifier import Classifier
    from firerl.engine.base import Advance, Create, LearnerSpec
    from firerl.engine.host import Host

    settings = Classifier.resolve({"data": data, "model": model, "stacked": MEMBERS})
    steps = 50  # the evaluation interval on digits, half of that on shapes
    members = [[Classifier(settings, values(i), i, "cpu") for i in range(MEMBERS)] for _ in range(2)]
    stack = Classifier.stack(settings, MEMBERS, "cpu")
    hosts = [Host(LearnerSpec(Classifier, settings, stacked=stacked), durable=False) for stacked in (MEMBERS, 1)]
    for host in hosts:
        host.create([Create(i, values(i), i) for i in range(MEMBERS)])
    orders = [Advance(i, steps, 0) for i in range(MEMBERS)]
    ways: list[Callable[[], object]] = [
        lambda: stack.train(members[0], steps),
        lambda: [member.train(steps) for member in members[1]],
        lambda: list(hosts[0].advance(orders)),
        lambda: list(hosts[1].advance(orders)),
    ]
    times = np.zeros((rounds + 1, len(ways)))
    for number in range(rounds + 1):  # the first is not counted
        progress(f"{data} {model}: round {number} of {rounds}")
        times[number] = [seconds(way) for way in ways]
    progress("")
    counted = 1000 * times[1:]
    train, alone, interval, interval_alone = np.median(counted, axis=0)
    return {
        "train_ms": train / steps, "train_alone_ms": alone / steps, "gain": np.median(counted[:, 1] / counted[:, 0]),
        "interval_ms": interval, "interval_alone_ms": interval_alone,
        "interval_gain": np.median(counted[:, 3] / counted[:, 2]),
    }  # fmt: skip


def status(name: str) -> float:
    """A size from this process's status, in MB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024 / MB


def trim() -> None:
    """Give memory that is free inside this process back to the system: what comes later shall not hide in it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def measure_memory(pipe: Connection, data: str, model: str, stacked: int) -> None:
    """Send MB of each of the first 8 members, and of each further one."""
    from firerl.agents.classifier import Classifier
    from firerl.engine.base import Advance, Create, LearnerSpec
    from firerl.engine.host import Host

    settings = Classifier.resolve({"data": data, "model": model, "stacked": MEMBERS})
    warm = Host(LearnerSpec(Classifier, settings, stacked=stacked), durable=False)

    def go_on(host: Host, first: int, last: int) -> None:
        host.create([Create(i, values(i), i) for i in range(first, last)])
        for _ in range(2):
            list(host.advance([Advance(i, 20, 0) for i in range(first, last)]))

    go_on(warm, 0, 1)  # loads the libraries and the data
    host = Host(LearnerSpec(Classifier, settings, stacked=stacked), durable=False)
    trim()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    go_on(host, 0, MEMBERS)
    first = status("VmHWM") - before
    trim()
    now = status("VmRSS")
    for group in range(1, 8):
        go_on(host, group * MEMBERS, (group + 1) * MEMBERS)
    trim()
    pipe.send((first / MEMBERS, (status("VmRSS") - now) / (7 * MEMBERS)))


def memory(data: str, model: str, stacked: int, processes: int) -> tuple[float, float]:
    """Medians over fresh processes."""
    found = []
    for number in range(processes):
        progress(f"{data} {model}, memory {'stacked' if stacked > 1 else 'alone'}: process {number + 1} of {processes}")
        near, far = get_context("spawn").Pipe()
        process = get_context("spawn").Process(target=measure_memory, args=(far, data, model, stacked), daemon=True)
        process.start()
        far.close()
        found.append(near.recv())
        process.join()
    progress("")
    eight, further = np.median(found, axis=0)
    return float(eight), float(further)


def main() -> None:
    """Run, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of each way, in turn (7)")
    parser.add_argument("--processes", type=int, default=3, help="fresh ones for each figure of memory (3)")
    parser.add_argument("--quick", action="store_true", help="the MLP on digits, 5 rounds, 1 process")
    arguments = parser.parse_args()
    cases, rounds, processes = CASES, arguments.rounds, arguments.processes
    if arguments.quick:
        cases, rounds, processes = CASES[:1], 5, 1
    from firerl.engine.threads import one_thread

    one_thread()
    figures: dict[str, float] = {}
    print(f"{MEMBERS} members, one process, one thread; alone -> stacked")
    print(f"{'':12} {'ms a step of all':>18} {'gain':>6} {'ms an interval':>18} {'gain':>6}", flush=True)
    for data, model in cases:
        found = speed(data, model, rounds)
        train = f"{found['train_alone_ms']:>8.2f} -> {found['train_ms']:>6.2f} {found['gain']:>6.2f}"
        interval = f"{found['interval_alone_ms']:>8.0f} -> {found['interval_ms']:>6.0f} {found['interval_gain']:>6.2f}"
        print(f"\r{data + ' ' + model:12} {train} {interval}", flush=True)
        name = "stacked" if (data, model) == CASES[0] else f"{data}_{model}"
        figures |= {f"{name}_gain": found["gain"], f"{name}_interval_gain": found["interval_gain"]}
    print(f"\n{'MB a member':12} {'of the first eight':>20} {'of 56 further ones':>20}", flush=True)
    for data, model in cases[:2]:
        alone, stacked = (memory(data, model, way, processes) for way in (1, MEMBERS))
        cells = [f"{a:>8.2f} -> {s:>8.2f}" for a, s in zip(alone, stacked, strict=True)]
        print(f"\r{data + ' ' + model:12} {cells[0]} {cells[1]}", flush=True)
        figures |= {f"memory_{model}_eight": stacked[0] / alone[0], f"memory_{model}_further": stacked[1] / alone[1]}
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

"""What stacked members gain: 8 classifiers that train as one computation, against the same 8 one after the other.

    python benchmarks/speed/stacked.py             digits and shapes, MLP and CNN; some five minutes on a quiet core
    python benchmarks/speed/stacked.py --quick     the MLP on digits alone, half a minute

Batches of 32, default settings but for the model, everything in one process with one thread. Times are this process's
processor time; both ways are measured in turn, and a gain is the median of the ratios of the rounds. ``train`` is the
training alone, ``interval`` what an engine does in an evaluation interval: it keeps the states for the case that the
group raises, trains the learner's own number of steps and evaluates each member.

``stacked_gain`` is the training of MLPs on digits.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from physics import progress

MEMBERS = 8
CASES = [("digits", "mlp"), ("digits", "cnn"), ("shapes", "mlp"), ("shapes", "cnn")]


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
    from firerl.engine.host.host import Host
    from firerl.engine.interface import Advance, Create, LearnerSpec

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


def main() -> None:
    """Run, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of each way, in turn (7)")
    parser.add_argument("--quick", action="store_true", help="the MLP on digits, 5 rounds")
    arguments = parser.parse_args()
    cases, rounds = (CASES[:1], 5) if arguments.quick else (CASES, arguments.rounds)
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
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

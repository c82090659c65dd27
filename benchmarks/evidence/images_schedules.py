"""What the schedule of the learning rate decides: final accuracy of one classifier under schedules known in advance.

    python benchmarks/evidence/images_schedules.py --steps 2000 --schedules constant:0.1 late:0.1 early:0.1

One line a schedule: the objective over the last quarter of the training and at its end, then the accuracy of the
report half at the end. Schedules that begin alike share that part.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import Any

from firerl.agents.classifier import Classifier
from firerl.engine.threads import one_thread

INTERVALS = 20  # pieces of constant rate
SCHEDULES = ("constant", "cosine", "late", "early")


def rates(kind: str, rate: float) -> list[float]:
    """The rate of each interval: late cuts it tenfold at 60 % and 85 % of the training, early at 20 % and 40 %."""
    if kind == "cosine":
        return [rate * (1 + math.cos(math.pi * (i + 0.5) / INTERVALS)) / 2 for i in range(INTERVALS)]
    cuts = {"constant": (), "late": (0.6, 0.85), "early": (0.2, 0.4)}[kind]
    return [rate * 0.1 ** sum(i >= round(cut * INTERVALS) for cut in cuts) for i in range(INTERVALS)]


def final(settings: dict[str, Any], steps: int, schedule: Sequence[float], seed: int, known: dict[Any, Any]) -> Any:
    """The learner at the end, and its objectives over the last quarter. ``known`` holds states by rates so far."""
    learner = Classifier(settings, {"learning_rate": schedule[0]}, seed, "cpu")
    done = max((k for k in range(INTERVALS) if (seed, *schedule[:k]) in known), default=0)
    if done:
        learner.load(**known[(seed, *schedule[:done])])
    objectives = []
    for i in range(done, INTERVALS):
        learner.set_hyperparameters({"learning_rate": schedule[i]})
        learner.train(steps // INTERVALS)
        known[(seed, *schedule[: i + 1])] = learner.state()
        if i + 1 > 0.75 * INTERVALS:
            objectives.append(learner.evaluate(0))
    return learner, objectives


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--schedules", nargs="+", default=[f"{kind}:0.1" for kind in SCHEDULES])
    given = parser.parse_args()
    one_thread()
    settings, known = Classifier.resolve({"data": given.data}), {}  # type: ignore[var-annotated]
    for name in given.schedules:
        kind, _, rate = name.partition(":")
        for seed in range(given.seeds):
            start = time.process_time()
            learner, last = final(settings, given.steps, rates(kind, float(rate)), seed, known)
            told = f"{name:14} seed {seed}: last quarter {min(last):.3f} to {max(last):.3f}, end {last[-1]:.3f}, "
            print(
                f"{told}report {learner.report(0)['accuracy']:.3f}, {time.process_time() - start:.1f} CPU s", flush=True
            )


if __name__ == "__main__":
    main()

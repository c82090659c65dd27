"""The real measurement of benchmarks/evidence/asynchronous.py: real processes, learners that are slow.

A learner sleeps 0.2 s an interval at mean speed, its speed uniform in 0.5 to 1.5, drawn from its seed: so a small
machine hosts eight processes that work at once. 3 + 3 members, 2 evaluators, 600 steps; from the first report on.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import numpy as np
from results_file import append, read

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.config import RunConfig, window_of
from firerl.evolution.winner import winner
from firerl.progress import Round, Silent
from firerl.storage.journal_db import Journal

RESULTS = Path(__file__).resolve().parents[1] / "results" / "asynchronous_real.jsonl"
NAP = 0.2  # seconds
OBJECTIVE = 1.0
SEEDS = 5


class Slow(Quadratic):
    """Sleeps in proportion to its slowness."""

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        super().__init__(settings, hyperparameters, seed, device)
        self.nap = NAP / np.random.default_rng([seed, 1]).uniform(0.5, 1.5)

    def train(self, steps: int) -> dict[str, float]:
        time.sleep(self.nap)
        return super().train(steps)


class Watch(Silent):
    """When the winner-to-be has reached the objective, and when the last report has come."""

    def __init__(self) -> None:
        self.begun = self.end = 0.0
        self.reached: float | None = None

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        self.config, self.begun = config, time.monotonic()

    def round_done(self, round: Round) -> None:
        self.end = time.monotonic() - self.begun
        leader = winner(round.state, round.point.decisions, window_of(self.config))
        if self.reached is None and leader and leader.objective is not None and leader.objective >= OBJECTIVE:
            self.reached = self.end


def measure(sync: bool, seed: int, steps: int) -> dict[str, Any]:
    """One run."""
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="asynchronous-") as folder:
        result = firerl.run(
            Slow, population=[3, 3], evaluators=2, steps=steps, seed=seed, sync=sync, processes=8, logger="none",
            run_dir=Path(folder) / "run", progress=False, observer=watch,
        )  # fmt: skip
    row = {"sync": sync, "seed": seed, "steps": steps, "reached": watch.reached, "end": watch.end}
    return {**row, "objective": result.objective}


def main(quick: bool = False) -> None:
    """Five seeds, or one of a third of the run; the table and the JSON line."""
    steps, seeds = (200, 1) if quick else (600, SEEDS)
    rows = [] if quick else [row for row in read(RESULTS) if row["steps"] == steps]
    for seed in range(seeds):
        for sync in (True, False):
            if not any((row["sync"], row["seed"]) == (sync, seed) for row in rows):
                print(f"seed {seed}, sync={sync}", file=sys.stderr, flush=True)
                rows.append(measure(sync, seed, steps))
                if not quick:
                    append(RESULTS, rows[-1])
    print(f"seconds to an objective of {OBJECTIVE} / to the end / final objective")
    for seed in range(seeds):
        told = {row["sync"]: row for row in rows if row["seed"] == seed}
        cells = [f"{r['reached'] or float('nan'):.1f} / {r['end']:.1f} / {r['objective']:.2f}" for r in told.values()]
        print(f"seed {seed}: sync {cells[0]}; async {cells[1]}")
    by = {(row["seed"], row["sync"]): row for row in rows}
    pairs = [(by[seed, True], by[seed, False]) for seed in range(seeds)]
    ratios = [b["reached"] / a["reached"] for a, b in pairs if a["reached"] and b["reached"]]
    print(json.dumps({"real_time_ratios": [round(r, 3) for r in ratios]}))


if __name__ == "__main__":
    main()

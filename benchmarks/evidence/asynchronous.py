"""When does sync=false pay? The quadratic with workers of unequal speed, synchronous against asynchronous.

    python benchmarks/evidence/asynchronous.py           everything that benchmarks/results/asynchronous.jsonl lacks
    python benchmarks/evidence/asynchronous.py --seeds 0 computes nothing: the table of what is there
    python benchmarks/evidence/asynchronous.py --processes 2   two runs at a time
    python benchmarks/evidence/asynchronous.py --real    the other measurement: real processes, learners that sleep
    python benchmarks/evidence/asynchronous.py --quick   two seeds of a third of the run, computed anew, under 2 minutes

A run is preset=quadratic, algo=fire, 8 + 8 members and 6 evaluators, 3,600 steps, the learner's default problem, with
as many processes as workers: that is where speeds matter. Times are virtual, those of engine=simulated: an interval of
10 steps and its evaluation take 1 s at mean speed, a worker's speed is uniform in 1 +- spread / 2, drawn from the seed;
copies, saving and decisions take nothing. What is simulated is decided and trained as in a run, without its folder
(tests/test_asynchronous_benchmark.py: the same reports in the same order). The objective to be reached is the mean with
which the synchronous runs at spread 0 end, less a tenth; pairs of which one never reaches it are left out. Every
finished run is a line of the results file. The last line is JSON: ratios of times to the objective (asynchronous /
synchronous), and the difference of final objectives (asynchronous - synchronous), each [mean, low, high], 95 %
bootstrap over seeds.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import numpy as np
from quadratic_runs import Arm, Learners
from results_file import append, read

from firerl.api import initial_state_of
from firerl.async_controller import trains
from firerl.config import RunConfig, setup_of, window_of
from firerl.controller import advances, transfers
from firerl.evolution import find
from firerl.evolution.population import Decision, Report, State
from firerl.evolution.winner import winner
from firerl.insight.statistics import bootstrap
from firerl.origins import touched
from firerl.seeding import Purpose, generator, integer_seed
from firerl.settings import build

RESULTS = Path(__file__).resolve().parents[1] / "results" / "asynchronous.jsonl"
PROBLEM = "kappa 1.5"
SPREADS = (0.0, 0.2, 1.0)
INTERVAL_SECONDS = 1.0
TARGETS = [round(0.05 * i, 2) for i in range(10, 80)]  # objectives whose times are kept


class Run:
    """One run without a folder: its state and the networks as they were at everybody's latest report."""

    def __init__(self, config: RunConfig):
        self.config, self.setup, self.algorithm = config, setup_of(config), find.algorithm(config.algo.name)
        self.settings = build(self.algorithm.Settings, config.algo.settings, "algo.")
        self.state: State = initial_state_of(config)
        self.learners = Learners(config.settings, len(self.state.workers))
        self.built = {w.id for w in self.state.workers if not w.is_evaluator}
        for id in self.built:
            seed = integer_seed(config.seed, Purpose.LEARNER, id, 0)
            self.learners.build(id, self.state.workers[id].hyperparameters, seed)

    def report(self, workers: Sequence[int]) -> list[Decision]:
        """These workers train one interval; what is decided on their reports."""
        interval, reports = self.setup.eval_interval, list[Report]()
        for id, value in zip(workers, self.learners.advance(workers, interval), strict=True):
            failure = "NaN" if math.isnan(value) else None
            objective = None if failure else value
            reports.append(Report(id, self.state.workers[id].step + interval, objective, failure=failure))
        self.state, decisions = self.algorithm.decide(self.setup, self.settings, self.state, reports)
        for order in transfers(self.setup, self.state, decisions, self.built):
            self.learners.transfer(order)
        return decisions

    def seconds(self, spread: float) -> list[float]:
        """What an interval of each worker takes, its speed as engine=simulated draws it."""
        draws = [generator(self.config.seed, Purpose.SPEED, w.id) for w in self.state.workers]
        half = spread / 2
        return [INTERVAL_SECONDS / (float(draw.uniform(1 - half, 1 + half)) if half else 1.0) for draw in draws]

    def best(self) -> float:
        """What the winner would have now."""
        leader = winner(self.state, [], window_of(self.config))
        return -math.inf if leader is None or leader.objective is None else leader.objective


def synchronous(run: Run, spread: float) -> Iterator[tuple[float, int]]:
    """The run, round by round; the time after each, and the first who reported."""
    now, seconds = 0.0, run.seconds(spread)
    while max(w.step for w in run.state.workers) < run.config.steps:
        active = [order.worker for order in advances(run.setup, run.state)]
        run.report(active)
        now += max(seconds[worker] for worker in active)
        yield now, active[0]


def asynchronous(run: Run, spread: float) -> Iterator[tuple[float, int]]:
    """The run, report by report; the time after each, and who reported. An interval is computed when it is done."""
    now, seconds, steps = 0.0, run.seconds(spread), run.config.steps
    busy: set[int] = set()
    useless: set[int] = set()
    under_way: list[tuple[float, int]] = []
    while any(trains(w, steps) and not w.is_evaluator for w in run.state.workers):
        for w in run.state.workers:
            if w.id not in busy and trains(w, steps):
                busy.add(w.id)
                heapq.heappush(under_way, (now + seconds[w.id], w.id))
        now, worker = heapq.heappop(under_way)
        busy.discard(worker)
        if worker in useless:
            useless.discard(worker)
            continue
        useless |= touched(run.report([worker])) & busy
        yield now, worker


MODES = {"synchronous": synchronous, "asynchronous": asynchronous}


def compute(mode: str, spread: float, seed: int, steps: int | None) -> dict[str, Any]:
    """One run: when it reached what, when it ended with what."""
    began = time.process_time()
    run = Run(replace(Arm("fire").config(PROBLEM, steps), seed=seed))
    times: dict[str, float] = {}
    now = 0.0
    for now, _ in MODES[mode](run, spread):
        best = run.best()
        times.update({str(target): now for target in TARGETS[len(times) :] if target <= best})
    trained = sum(w.network_step for w in run.state.workers if w.population == 1) / run.setup.sizes[0]
    return {
        "mode": mode, "spread": spread, "seed": seed, "steps": run.config.steps, "objective": run.best(), "end": now,
        "network_steps": trained, "times": times, "cpu_seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def collect(path: Path, steps: int) -> dict[tuple[str, float, int], dict[str, Any]]:
    """The finished runs of this length."""
    return {(r["mode"], r["spread"], r["seed"]): r for r in read(path) if r["steps"] == steps}


def compute_all(path: Path, seeds: int, steps: int, processes: int) -> None:
    """What the results file lacks, all of one seed before the next."""
    done = collect(path, steps)
    jobs = [(m, spread, s) for spread in SPREADS[::-1] for s in range(seeds) for m in MODES]
    jobs = [job for job in jobs if job not in done]
    began = time.time()
    with ProcessPoolExecutor(processes) as pool:
        pending = [pool.submit(compute, *job, steps) for job in jobs]
        for count, future in enumerate(as_completed(pending), start=1):
            append(path, future.result())
            left = (time.time() - began) / count * (len(jobs) - count) / 60
            print(f"\r{count}/{len(jobs)} runs, {left:.1f} minutes left  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def interval(values: Sequence[float], digits: int = 3) -> list[float]:
    """Mean, low, high."""
    low, high = bootstrap(values, np.mean) if len(values) > 1 else (math.nan, math.nan)
    return [round(float(value), digits) for value in (np.mean(values), low, high)]


def figures(found: dict[tuple[str, float, int], dict[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """The table and the JSON line."""
    base = [row["objective"] for (mode, spread, _), row in found.items() if (mode, spread) == ("synchronous", 0.0)]
    target = math.floor(0.9 * float(np.mean(base)) / 0.05 + 1e-9) * 0.05
    key = str(round(target, 2))
    told: dict[str, Any] = {"objective_to_reach": round(target, 2), "seeds": len(base)}
    lines = [
        f"to an objective of {target:.2f}, and to the end; times in intervals of a worker of mean speed, means [95 %]",
        "",
        "| spread | seconds to it, sync | async | async / sync | seconds to the end, sync | async | final objective, "
        "sync | async | async - sync |",
        "|--:|--:|--:|---|--:|--:|--:|--:|---|",
    ]
    for spread in SPREADS:
        seeds = sorted(
            s for m, sp, s in found if (m, sp) == ("synchronous", spread) and ("asynchronous", sp, s) in found
        )
        pairs = [(found["synchronous", spread, s], found["asynchronous", spread, s]) for s in seeds]
        reached = [(a["times"].get(key), b["times"].get(key)) for a, b in pairs]
        both = [(a, b) for a, b in reached if a is not None and b is not None]
        if not both:
            continue
        name = f"{100 * spread:.0f}"
        ratio = told[f"time_ratio_{name}"] = interval([b / a for a, b in both])
        told[f"end_ratio_{name}"] = interval([b["end"] / a["end"] for a, b in pairs])
        apart = told[f"final_difference_{name}"] = interval([b["objective"] - a["objective"] for a, b in pairs])
        told[f"not_reached_{name}"] = [sum(a is None for a, _ in reached), sum(b is None for _, b in reached)]
        trained = [float(np.mean([row["network_steps"] for row in side])) for side in zip(*pairs, strict=True)]
        told[f"network_steps_{name}"] = [round(steps) for steps in trained]
        means = [float(np.mean(values)) for values in zip(*both, strict=True)]
        ends = [float(np.mean([row["end"] for row in side])) for side in zip(*pairs, strict=True)]
        finals = [float(np.mean([row["objective"] for row in side])) for side in zip(*pairs, strict=True)]
        lines.append(
            f"| {name} % | {means[0]:.0f} | {means[1]:.0f} | {ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}] | "
            f"{ends[0]:.0f} | {ends[1]:.0f} | {finals[0]:.2f} | {finals[1]:.2f} | "
            f"{apart[0]:+.2f} [{apart[1]:+.2f}, {apart[2]:+.2f}] |"
        )
    return lines, told


def main() -> None:
    """Compute, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="runs of each kind; 0: compute nothing")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--real", action="store_true", help="real processes and learners that sleep")
    parser.add_argument("--quick", action="store_true", help="two seeds of a third of the run, computed anew")
    options = parser.parse_args()
    if options.real:
        from asynchronous_real import main as real

        real(quick=options.quick)
        return
    steps = 3600
    if options.quick:
        options.seeds, steps = 2, 1200
        options.results = Path(tempfile.mkdtemp(prefix="asynchronous-")) / "quick.jsonl"
    compute_all(options.results, options.seeds, steps, options.processes)
    lines, told = figures(collect(options.results, steps))
    print("\n".join(lines))
    print(json.dumps(told))


if __name__ == "__main__":
    main()

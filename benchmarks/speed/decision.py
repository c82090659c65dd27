"""What one decision of FIRE PBT costs on one core: all curves smoothed afresh, all verdicts, exploit and explore.

    python benchmarks/speed/decision.py             four populations and a ready of PBT with curves of 250 lengths
    python benchmarks/speed/decision.py --quick     the same with 3 decisions each instead of 20
    python benchmarks/speed/decision.py --large     how cost grows, to 2,500 evaluators and to 10,000 points

Every member has as many points as an evaluator that is busy with it. Of the pairs of evaluators in one sub-population,
and of the pairs of an evaluator and its child, a third overlap without crossing, a third cross, and a third are
disjoint; ``shares`` is what the smooth curves really do. It is the costliest point there is: a ready, so exploit and
explore count, and one where evaluators succeed, so that they start anew (``ended`` counts the median of those).

A figure is the median over decisions on fresh noise, after one that makes what curves of this length share and shows
what that costs (``cold``). The clock is the processor time of this process, one thread: other work on the machine
slows it through shared caches, but does not count in it. ``fastest`` shows how far that goes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from firerl.evolution import curves
from firerl.evolution.algorithms import fire, pbt
from firerl.evolution.curves import smoothing
from firerl.evolution.evaluators import smoothed
from firerl.evolution.population import Evaluation, Promote, Report, Setup, State, StopEvaluator, Worker
from firerl.evolution.space import Space
from firerl.evolution.winner import smoothed_leader

# groups of evaluators (parent sub-populations), evaluators in each, points
TARGETS = {(1, 6, 200): 10, (1, 18, 200): 50, (1, 6, 1000): 50, (5, 50, 200): 500}  # ms
LARGE = [(groups, 50, 200) for groups in (1, 5, 20, 50)] + [(1, 6, points) for points in (200, 1000, 3000, 10_000)]
MIXED, MIXED_TARGET = (250, 500), 500  # members, most points; ms
NOISE = 0.1
Layout = tuple[int, int, int]


def third(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Starts [size] and rises [size] of curves whose pairs are a third disjoint, a third crossing, a third neither.

    A few curves lie far above the rest: those pairs are disjoint. In the rest the order of the rises is drawn such that
    of half the pairs the one that starts lower ends higher: those cross.
    """
    above = min(range(1, size // 2 + 1), key=lambda k: abs(k * (size - k) - size * (size - 1) / 6))
    starts, rises = [], []
    for base, count in ((0.0, size - above), (20.0, above)):
        start = base + np.linspace(0, 0.5, count)
        drawn = [rng.permutation(np.linspace(3, 9, count)) for _ in range(500)]
        crossing = [np.triu(np.subtract.outer(start + r, start + r) > 0).sum() for r in drawn]
        starts.append(start)
        rises.append(drawn[int(np.argmin(np.abs(np.array(crossing) - count * (count - 1) / 4)))])
    return np.concatenate(starts), np.concatenate(rises)


def make_state(layout: Layout, seed: int) -> tuple[Setup, fire.Settings, State, list[Report]]:
    """A population before its ready, and the reports of all workers. Workers' ids are those of ``initial_state``."""
    groups, size, points = layout
    sizes = (size,) * (groups + 1)
    space = Space.parse({"lr": {"log_uniform": [1e-4, 1.0]}})
    setup = Setup(sizes, groups * size, space, 0, eval_interval=1, ready_interval=points)
    rng = np.random.default_rng(seed)
    starts, rises = third(size, np.random.default_rng(0))
    shape = 1 - np.exp(-3 * np.arange(points) / points)
    # The child of a curve starts a bit lower and rises less (neither), starts higher and rises less (crossing), or is
    # far below (disjoint).
    child_start, child_rise = np.array([(-0.2, 0.8), (0.5, 0.5), (-15.0, 1.0)])[np.arange(size) % 3].T
    members = (starts + child_start)[:, None] + (rises * child_rise)[:, None] * shape  # [size, points]
    evaluators = starts[:, None] + rises[:, None] * shape

    workers: list[Worker] = []
    for population in range(1, groups + 2):
        for m in range(size):
            curve = tuple((members[m] + NOISE * rng.standard_normal(points)).tolist())
            lr = {"lr": 10 ** rng.uniform(-4, 0)}
            workers.append(Worker(len(workers), population, False, lr, points, points, curve=curve))
    for index in range(groups * size):
        population, m = 2 + index % groups, index // groups
        curve = tuple((evaluators[m] + NOISE * rng.standard_normal(points)).tolist())
        evaluation = Evaluation((population - 1) * size + m, (population - 2) * size + m, 0)
        id = len(workers)
        workers.append(Worker(id, population, True, {"lr": 0.01}, points, points, curve=curve, evaluation=evaluation))
    reports = [Report(worker.id, points, worker.curve[-1]) for worker in workers]
    before = tuple(replace(w, curve=w.curve[:-1], step=points - 1, network_step=points - 1) for w in workers)
    return setup, fire.Settings(max_eval_steps=2 * points), State(before), reports


def shares(layout: Layout) -> tuple[float, float, float]:
    """Of the pairs of evaluators in one sub-population: overlapping without crossing, crossing, disjoint."""
    _, _, state, _ = make_state(layout, 0)
    some = [w for w in state.workers if w.is_evaluator and w.population == 2]
    made = [curve.smooth for curve in smoothed(some).values()]
    kinds = []
    for i, f in enumerate(made):
        for g in made[:i]:
            apart = curves.overlap(f, g) is None
            kinds.append(2 if apart else int((f > g).any() and (f < g).any()))
    return tuple(np.bincount(kinds, minlength=3) / len(kinds))


def measure(layout: Layout, decisions: int) -> tuple[float, np.ndarray, float]:
    """Milliseconds of the first decision of this length, of each one after [decisions], and evaluations that ended."""
    smoothing.forget()
    spent, ended = [], []
    for seed in range(decisions + 1):
        setup, settings, state, reports = make_state(layout, seed)
        begun = time.process_time()
        _, taken = fire.decide(setup, settings, state, reports)
        spent.append(1000 * (time.process_time() - begun))
        ended.append(sum(isinstance(decision, Promote | StopEvaluator) for decision in taken))
        print(f"\r{layout}: {seed} of {decisions} decisions ", end="", file=sys.stderr, flush=True)
    print(f"\r{'':60}\r", end="", file=sys.stderr, flush=True)
    return spent[0], np.array(spent[1:]), float(np.median(ended))


def measure_mixed(decisions: int) -> np.ndarray:
    """Milliseconds of each ready of plain PBT [decisions], and of the pick of the winner, every curve as long as none.

    As in a long run, in which members were replaced at different times; what is kept for a length is dropped first.
    """
    members, points = MIXED
    setup = Setup((members,), 0, Space.parse({"lr": {"log_uniform": [1e-4, 1.0]}}), 0, 1, points)
    spent = []
    for seed in range(decisions):
        rng = np.random.default_rng(seed)
        workers = []
        for id, n in enumerate(np.linspace(1, points, members).round().astype(int).tolist()):
            curve = 3 * np.log1p(np.arange(n - 1)) + NOISE * rng.standard_normal(n - 1)
            workers.append(Worker(id, 1, False, {"lr": 0.01}, curve=tuple(curve.tolist()), step=points - 1))
        state, reports = State(tuple(workers)), [Report(w.id, points, float(w.id)) for w in workers]
        smoothing.forget()
        begun = time.process_time()
        after, taken = pbt.decide(setup, pbt.Settings(), state, reports)
        smoothed_leader(after, taken)
        spent.append(1000 * (time.process_time() - begun))
    return np.array(spent)


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="how cost grows with workers and points")
    parser.add_argument("--quick", action="store_true", help="3 decisions each")
    arguments = parser.parse_args()
    decisions = 3 if arguments.quick else 20
    print("milliseconds of processor time, one thread; shares: overlap without crossing / cross / disjoint\n")
    titles = f"{'evaluators':>10} {'groups':>7} {'points':>7} {'shares':>15} {'ended':>6}"
    print(f"{titles} {'cold':>9} {'median':>9} {'fastest':>9} {'target':>7}")
    figures = {}
    for layout in LARGE if arguments.large else TARGETS:
        groups, size, points = layout
        some = " / ".join(f"{share:.2f}".lstrip("0") for share in shares(layout))
        cold, warm, ended = measure(layout, decisions)
        figures[f"decide_{groups * size}x{points}_ms"] = round(float(np.median(warm)), 2)
        row = f"{groups * size:>10} {groups:>7} {points:>7} {some:>15} {ended:>6.0f}"
        target = TARGETS.get(layout, "")
        print(f"{row} {cold:>9.1f} {np.median(warm):>9.2f} {warm.min():>9.2f} {target:>7}", flush=True)
    if not arguments.large:
        mixed = measure_mixed(decisions)
        figures["decide_mixed_ms"] = round(float(np.median(mixed)), 2)
        members, points = MIXED
        print(
            f"\na ready of PBT with {members} members that have 1 to {points} points, nothing kept, and the pick of the"
        )
        print(f"winner: median {np.median(mixed):.0f} ms, fastest {mixed.min():.0f} ms, target {MIXED_TARGET} ms")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

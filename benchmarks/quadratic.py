"""FIRE PBT against plain PBT and random search on the noisy quadratic: 22 workers each, the same steps.

    python benchmarks/quadratic.py            ten seeds, a few minutes
    python benchmarks/quadratic.py --quick    three seeds

The objective is -log10 of the loss; the figure of a run is the final objective of its best member of P1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

import firerl

ALGORITHMS = ("fire", "pbt", "random")


def final_objective(algo: str, seed: int) -> dict[str, float]:
    """One whole run in a folder of its own, which goes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        result = firerl.run("quadratic", algo=algo, seed=seed, engine="inline", run_dir=run_dir, progress=False)
    evolution = result.figures["evolution"]
    assert result.objective is not None
    return {"objective": result.objective, **{k: evolution[k] for k in ("copies", "evaluator_successes")}}


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="runs of each algorithm")
    parser.add_argument("--quick", action="store_true", help="three seeds")
    arguments = parser.parse_args()
    seeds = range(3 if arguments.quick else arguments.seeds)
    jobs = [(algo, seed) for seed in seeds for algo in ALGORITHMS]
    runs: dict[str, list[dict[str, float]]] = {algo: [] for algo in ALGORITHMS}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        pending = {pool.submit(final_objective, *job): job for job in jobs}
        for done, future in enumerate(as_completed(pending), start=1):
            runs[pending[future][0]].append(future.result())
            print(f"\r{done}/{len(jobs)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)

    figures = {}
    print(f"{'algorithm':<10} {'mean':>6} {'s.e.':>6} {'least':>6} {'most':>6} {'copies':>7} {'promotions':>11}")
    for algo in ALGORITHMS:
        finals = np.array([run["objective"] for run in runs[algo]])
        figures[algo] = float(finals.mean())
        error = finals.std(ddof=1) / np.sqrt(len(finals))
        copies, promotions = (np.mean([run[k] for run in runs[algo]]) for k in ("copies", "evaluator_successes"))
        row = f"{algo:<10} {finals.mean():6.3f} {error:6.3f} {finals.min():6.3f} {finals.max():6.3f}"
        print(f"{row} {copies:7.1f} {promotions:11.1f}")
    figures["fire_minus_pbt"] = figures["fire"] - figures["pbt"]
    print(json.dumps({**figures, "seeds": len(seeds)}))


if __name__ == "__main__":
    main()

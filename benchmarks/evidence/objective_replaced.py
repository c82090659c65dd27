"""How fair is ``objective=training`` to weights that have just replaced others? A finished run's winner, kept as it is.

    python benchmarks/evidence/objective_replaced.py runs/ant     three seeds, ten updates, two minutes
    python benchmarks/evidence/objective_replaced.py --quick      an untrained policy on Ant instead, one seed

Every worker trains the same weights with a learning rate of 1e-9 until its episodes are spread out; then it loads them
anew, as after a copy. What it reports from there on stands beside whole fresh episodes, sampled actions. The last line
is JSON: ``truth``, ``error`` (its standard error), ``objectives`` (one list a seed; null: none yet).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from firerl.agents.vmpo import VMPO
from firerl.play import load
from firerl.storage import checkpoint

SPREAD = 16_000  # steps before the weights are replaced
EPISODES = 64


def objectives(settings: dict[str, Any], hyperparameters: dict[str, Any], weights: Any, seed: int, points: int) -> Any:
    """The learner, and the objective at so many evaluations after the weights came anew."""
    learner = VMPO(settings, {**hyperparameters, "learning_rate": 1e-9}, seed, "cpu")
    if weights is not None:
        learner.load(weights=weights)
    interval = VMPO.granularity_of(settings)
    learner.train(SPREAD // interval * interval)
    learner.evaluate(0)
    learner.load(weights=learner.state()["weights"])
    told = []
    for _ in range(points):
        learner.train(interval)
        told.append(learner.evaluate(0))
    return learner, told


def main() -> None:
    """Measure, print a line a seed and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, nargs="?", help="a finished run of V-MPO")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.run_dir is None and not given.quick:
        parser.error("run_dir: a finished run of V-MPO, or --quick")
    settings, values, weights = VMPO.resolve({"env": "Ant"}), {}, None
    if not given.quick:
        best = checkpoint.read(given.run_dir / "best.pt")
        settings, values, weights = load(given.run_dir).settings, best["hyperparameters"], best["weights"]
    told, truth, error = [], 0.0, 0.0
    for seed in range(1 if given.quick else given.seeds):
        learner, points = objectives(settings, values, weights, seed, 10)
        if not told:
            returns = [value for value, _ in learner.episodes(EPISODES, 5, mean=False)]
            truth, error = float(np.mean(returns)), float(np.std(returns, ddof=1) / np.sqrt(EPISODES))
            print(f"{EPISODES} fresh episodes: {truth:,.0f} +- {error:,.0f}", flush=True)
        told.append(points)
        print(f"seed {seed}: " + " ".join("-" if value is None else f"{value:,.0f}" for value in points), flush=True)
    print(json.dumps({"truth": truth, "error": error, "objectives": told}))


if __name__ == "__main__":
    main()

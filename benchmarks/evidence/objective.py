"""How noisy and how biased is ``objective=training``? Measured on V-MPO's default settings, one seed.

At a few stages of one training run of each task:
- noise: standard deviation of the last 12 objective points around a straight line, so that progress is no noise.
- bias: the objective at that stage minus the mean of fresh episodes of the same weights, with sampled actions
  (what the policy does in training) and with mean actions (what the winner is reported on).

    python benchmarks/evidence/objective.py [--quick] [--folder runs/objective]

The full run takes about 20 minutes on one core and resumes from its folder: the same command goes on where the last
one stopped. ``--quick`` (about 2 minutes on a quiet core; early stages, few episodes) shows that it works; its
numbers say little.
The last line is JSON: ``<task>_noise``, ``<task>_bias_sample``, ``<task>_bias_mean``, means over the stages.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from firerl.agents.vmpo import VMPO
from firerl.seeding import Purpose, integer_seed
from firerl.storage import checkpoint, files

TASKS = ("Humanoid", "Ant")
POINTS = 12  # objective points of one noise estimate
FULL = {"stages": [60_000, 120_000, 200_000], "episodes": 200}
QUICK = {"stages": [20_000, 30_000], "episodes": 20}
HEADER = (
    f"{'task':<10} {'steps':>8} {'objective':>10} {'noise':>7} {'sample':>8} {'mean':>8} {'bias':>7} {'bias mean':>10}"
)


def noise_of(points: list[float]) -> float:
    """Standard deviation around the least-squares line; NaN with fewer than 4 points."""
    y = np.array(points[-POINTS:])
    if len(y) < 4:
        return float("nan")
    x = np.arange(len(y))
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt(np.sum(residuals**2) / (len(y) - 2)))


def fresh(learner: VMPO, count: int, seed: int, mean: bool) -> tuple[float, float]:
    """Mean return of fresh episodes and its standard error."""
    returns = [value for value, _ in learner.episodes(count, seed, mean)]
    return float(np.mean(returns)), float(np.std(returns) / np.sqrt(count))


class Run:
    """The training run of one task, kept in a folder between stages."""

    def __init__(self, task: str, seed: int, folder: Path):
        self.task, self.seed = task, seed
        self.rows_path, self.state_path = folder / f"{task}.json", folder / f"{task}.pt"
        settings = VMPO.resolve({"env": task})
        self.interval = VMPO.eval_interval_of(settings)
        self.learner = VMPO(settings, {}, integer_seed(seed, Purpose.LEARNER), "cpu")
        self.done: dict[str, Any] = {"steps": 0, "points": [], "rows": []}
        if self.rows_path.exists() and self.state_path.exists():
            saved = checkpoint.read(self.state_path)
            self.done = json.loads(saved["done"])
            self.learner.load(**saved["state"])
            print(f"{task}: goes on at {self.done['steps']:,} steps", flush=True)

    def stage(self, steps: int, episodes: int) -> None:
        """Train up to ``steps``, measure, save."""
        started, shown, first = time.time(), time.time(), self.done["steps"]
        while self.done["steps"] < steps:
            self.learner.train(self.interval)
            self.done["steps"] += self.interval
            value = self.learner.evaluate(0)
            if value is not None:
                self.done["points"].append(value)
            if time.time() - shown > 10 or self.done["steps"] >= steps:
                shown = time.time()
                speed = (self.done["steps"] - first) / (shown - started)
                print(f"  {self.task}: {self.done['steps']:,} of {steps:,} steps, {speed:,.0f} a second", flush=True)
        self._measure(episodes)
        state = {"done": json.dumps(self.done), "state": self.learner.state()}
        files.write(self.state_path, checkpoint.dumps(state))
        self.rows_path.write_text(json.dumps(self.done["rows"]))

    def _measure(self, episodes: int) -> None:
        row: dict[str, Any] = {"steps": self.done["steps"], "noise": noise_of(self.done["points"])}
        row["objective"] = self.done["points"][-1] if self.done["points"] else float("nan")
        for name, mean in (("sample", False), ("mean", True)):
            print(f"  {self.task}: {episodes} fresh episodes, policy={name}", flush=True)
            seed = integer_seed(self.seed, Purpose.EVALUATE, step=self.done["steps"])
            row[name], row[f"{name}_error"] = fresh(self.learner, episodes, seed, mean)
            row[f"bias_{name}"] = row["objective"] - row[name]
        self.done["rows"].append(row)
        print(HEADER)
        print(line(self.task, row), flush=True)


def line(task: str, row: dict[str, Any]) -> str:
    return (
        f"{task:<10} {row['steps']:>8,} {row['objective']:>10.1f} {row['noise']:>7.1f} {row['sample']:>8.1f} "
        f"{row['mean']:>8.1f} {row['bias_sample']:>7.1f} {row['bias_mean']:>10.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="early stages and few episodes")
    parser.add_argument("--folder", type=Path, help="where stages are kept (runs/objective, or -quick)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan: dict[str, Any] = QUICK if options.quick else FULL
    folder = options.folder or Path("runs") / ("objective-quick" if options.quick else "objective")
    folder = folder / f"seed{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, float] = {}
    table = [HEADER]
    for task in TASKS:
        run = Run(task, options.seed, folder)
        for stage in plan["stages"]:
            if stage > run.done["steps"]:
                run.stage(stage, plan["episodes"])
        rows = run.done["rows"]
        table += [line(task, row) for row in rows]
        for key in ("noise", "bias_sample", "bias_mean"):
            results[f"{task}_{key}"] = round(float(np.nanmean([row[key] for row in rows])), 2)
    print("\n" + "\n".join(table))
    print(json.dumps(results))


if __name__ == "__main__":
    main()

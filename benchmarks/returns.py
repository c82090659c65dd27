"""What our agents learn with their default settings, against PPO of Stable-Baselines3, in steps and in seconds.

    python benchmarks/returns.py                 all tasks and seeds; hours; goes on where it was interrupted
    python benchmarks/returns.py --quick         under two minutes: one seed, the first 20,000 steps of Humanoid
    python benchmarks/returns.py --plot          tables and pictures (docs/returns-*.svg) from the results alone

Needs the extra ``bench``. Four rivals, one torch thread each: V-MPO and PPO of ours with the settings of the task;
Stable-Baselines3's PPO as people run it (VecNormalize, 8 environments, n_steps 256, minibatches of 64, 10 epochs), and
with the library's defaults, which is a straw man. Every finished run is a line of ``benchmarks/results/returns.jsonl``.

- The training return at a step is the mean over the episodes that ended in the last 20,000 steps.
- PPO's level is the median over the seeds of the library's training return at the end of its 400,000 steps. V-MPO
  reaches it at the first step from which on the median over its seeds never falls below it.
- Our PPO and the library's are compared at the end, seed by seed.
- Seconds are the processor's, without evaluations: other work on the machine does not count.

The last line is JSON: ``<task>_steps_to_ppo_return`` and ``<task>_seconds_to_ppo_return`` as ratios PPO / V-MPO, then
``<task>_ppo_over_library``, the ratio of the two PPOs' median training returns, then V-MPO's medians over seeds of the
mean action's return over 20 whole episodes, ``<task>_<steps>``, and of metres forward.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results_file import read
from training_runs import run_all

RESULTS = Path(__file__).parent / "results" / "returns.jsonl"
DOCS = Path(__file__).parent.parent / "docs"
WINDOW = 20_000  # steps
PPO_END = 400_000
NAMES = {
    "vmpo": "V-MPO",
    "ppo_firerl": "PPO, ours",
    "ppo": "PPO of SB3, as usual",
    "ppo_defaults": "PPO of SB3, defaults",
}
GRID: dict[str, dict[str, list[int]]] = {  # task: rival: steps of its evaluations, the last one its end
    "Humanoid": {"vmpo": [130_000, PPO_END], "ppo_firerl": [PPO_END], "ppo": [PPO_END], "ppo_defaults": [PPO_END]},
    "Ant": {"vmpo": [500_000, 1_000_000], "ppo": [PPO_END], "ppo_defaults": [PPO_END]},
    "HalfCheetah": {"vmpo": [200_000], "ppo_firerl": [200_000], "ppo": [200_000]},
    "Hopper": {"vmpo": [200_000], "ppo_firerl": [200_000], "ppo": [200_000]},
    "Walker2d": {"vmpo": [200_000], "ppo": [200_000]},
    "CartPole-v1": {"vmpo": [50_000]},
    "InvertedPendulum": {"vmpo": [50_000]},
}
Rows = list[dict[str, Any]]


def jobs(tasks: Sequence[str], seeds: Sequence[int], rivals: Sequence[str]) -> Rows:
    """Seed by seed over all tasks, so that an unfinished grid is balanced."""
    return [
        {"arm": arm, "task": task, "seed": seed, "steps": marks[-1], "marks": marks, "given": {}}
        for seed in seeds
        for task in tasks
        for arm, marks in GRID[task].items()
        if arm in rivals
    ]


def smooth(row: dict[str, Any]) -> np.ndarray:
    """[points, 3]: steps, training return (NaN before an episode has ended), seconds."""
    curve = np.array(row["curve"], dtype=float)
    steps, means, counts, seconds = curve.T
    values = np.full(len(steps), np.nan)
    for k, end in enumerate(steps):
        inside = (steps > end - WINDOW) & (steps <= end) & (counts > 0)
        if inside.any():
            values[k] = np.average(means[inside], weights=counts[inside])
    return np.stack([steps, values, seconds], axis=1)


def medians(rows: Rows) -> np.ndarray:
    """[points, 3] over seeds, on the points that all have."""
    curves = [smooth(row) for row in rows]
    shortest = min(map(len, curves))
    return np.median([curve[:shortest] for curve in curves], axis=0)


def reached(curve: np.ndarray, level: float) -> tuple[float, float] | None:
    """(steps, seconds) from which on ``curve`` stays at ``level`` or above."""
    below = np.flatnonzero(~(curve[:, 1] >= level))
    first = below[-1] + 1 if len(below) else 0
    return (float(curve[first, 0]), float(curve[first, 2])) if first < len(curve) else None


def of(rows: Rows, arm: str, task: str) -> Rows:
    return [row for row in rows if row["arm"] == arm and row["task"] == task]


def against_ppo(rows: Rows, task: str) -> dict[str, float | None]:
    """The two ratios of a task; prints a line."""
    ours, theirs = of(rows, "vmpo", task), of(rows, "ppo", task)
    figures: dict[str, float | None] = {f"{task.lower()}_{unit}_to_ppo_return": None for unit in ("steps", "seconds")}
    if not ours or not theirs:
        return figures
    rival = medians(theirs)
    level = rival[-1, 1]
    found = reached(medians(ours), level)
    if found is None:
        print(f"{task}: V-MPO does not stay at PPO's {level:.0f}")
        return figures
    steps, seconds = rival[-1, 0] / found[0], rival[-1, 2] / found[1]
    print(
        f"{task}: PPO's {level:.0f} after {rival[-1, 0]:,.0f} steps and {rival[-1, 2]:,.0f} s is V-MPO's after "
        f"{found[0]:,.0f} steps and {found[1]:,.0f} s: {steps:.1f} times fewer steps, {seconds:.1f} times fewer seconds"
    )
    return dict(zip(figures, (round(steps, 2), round(seconds, 2)), strict=True))


def against_library(rows: Rows, task: str) -> dict[str, float]:
    """The ratio of our PPO's median training return at the end to the library's; prints a line, seed by seed."""
    ours, theirs = ({row["seed"]: row for row in of(rows, arm, task)} for arm in ("ppo_firerl", "ppo"))
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return {}
    ends = [[[smooth(row)[-1, 1], row["evaluations"][-1]["return"]] for row in (ours[s], theirs[s])] for s in seeds]
    training, mean_action = np.moveaxis(np.array(ends), 2, 0)  # [seeds, ours and theirs] each
    words = [
        f"{what} " + ", ".join(f"{ours:.0f} : {theirs:.0f}" for ours, theirs in pairs)
        for what, pairs in (("training", training), ("mean action", mean_action))
    ]
    print(f"{task}: our PPO : the library's, seeds {', '.join(map(str, seeds))}: {'; '.join(words)}")
    ours_median, theirs_median = np.median(training, axis=0)
    return {f"{task.lower()}_ppo_over_library": round(float(ours_median / theirs_median), 2)}


def table(rows: Rows) -> dict[str, float]:
    """Print every evaluation, medians over seeds with all of them beside; return V-MPO's medians."""
    figures: dict[str, float] = {}
    print(f"{'task':<17} {'rival':<22} {'steps':>9} {'training':>9} {'mean action':>12} {'metres':>7}  seeds")
    for task in GRID:
        for arm in NAMES:
            some = of(rows, arm, task)
            for k in range(min((len(row["evaluations"]) for row in some), default=0)):
                evaluations = [row["evaluations"][k] for row in some]
                steps, seeds = evaluations[0]["steps"], [e["return"] for e in evaluations]
                curve = medians(some)
                training = curve[np.searchsorted(curve[:, 0], min(steps, curve[-1, 0])), 1]
                metres = [e["metres"] for e in evaluations if "metres" in e]
                far = f"{np.median(metres):7.1f}" if metres else " " * 7
                print(
                    f"{task:<17} {NAMES[arm]:<22} {steps:>9,} {training:>9.0f} {np.median(seeds):>12.0f} {far}  "
                    + ", ".join(f"{value:.0f}" for value in seeds)
                )
                if arm == "vmpo":
                    figures[f"{task.lower()}_{steps}"] = round(float(np.median(seeds)), 1)
                    if metres:
                        figures[f"{task.lower()}_{steps}_metres"] = round(float(np.median(metres)), 1)
    return figures


def picture(rows: Rows, tasks: Sequence[str], path: Path) -> None:
    """Training return against steps and against seconds: thin lines are seeds, thick ones their medians."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "firerl"
    figure, axes = plt.subplots(len(tasks), 2, figsize=(9, 2.9 * len(tasks)), squeeze=False, layout="constrained")
    styles = {"vmpo": ("C3", "-"), "ppo_firerl": ("C2", "-."), "ppo": ("C0", "--"), "ppo_defaults": ("C7", ":")}
    for line, task in zip(axes, tasks, strict=True):
        for arm, (colour, dashes) in styles.items():
            some = of(rows, arm, task)
            if not some:
                continue
            for axis, column in zip(line, (0, 2), strict=True):
                for row in some:
                    curve = smooth(row)
                    axis.plot(curve[:, column], curve[:, 1], dashes, color=colour, alpha=0.3, linewidth=0.8)
                curve = medians(some)
                label = f"{NAMES[arm]} ({len(some)} seeds)"
                axis.plot(curve[:, column], curve[:, 1], dashes, color=colour, linewidth=2, label=label)
        line[0].set(title=task, xlabel="environment steps", ylabel="training return")
        line[1].set(title=task, xlabel="processor seconds of one core")
        line[0].legend(fontsize=8)
        for axis in line:
            axis.grid(alpha=0.3)
        line[0].xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:,.0f}k")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Run what is missing, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, 20,000 steps of Humanoid; keeps no results")
    parser.add_argument("--plot", action="store_true", help="run nothing; draw the pictures")
    parser.add_argument("--tasks", nargs="+", choices=GRID, default=list(GRID))
    parser.add_argument("--rivals", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one core each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a file of JSON lines")
    options = parser.parse_args()
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            options.results = Path(folder) / "returns.jsonl"
            GRID["Humanoid"] = {"vmpo": [20_000], "ppo": [20_000]}
            run_all(jobs(["Humanoid"], [0], options.rivals), options.results, options.processes)
            rows = read(options.results)
    else:
        if not options.plot:
            run_all(jobs(options.tasks, options.seeds, options.rivals), options.results, options.processes)
        rows = read(options.results)
    figures: dict[str, float | None] = {**table(rows)}
    print()
    ratios = {name: value for task in ("Humanoid", "Ant") for name, value in against_ppo(rows, task).items()}
    ratios |= {name: value for task in GRID for name, value in against_library(rows, task).items()}
    if options.plot:
        picture(rows, ["Humanoid", "Ant"], DOCS / "returns-big.svg")
        picture(rows, ["HalfCheetah", "Hopper", "Walker2d"], DOCS / "returns-small.svg")
    print(json.dumps({**ratios, **figures}))


if __name__ == "__main__":
    main()

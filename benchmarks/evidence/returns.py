"""What our agents return with their default settings over four million steps, beside other libraries' PPO.

    python benchmarks/evidence/returns.py                  every run that is missing; goes on where it was killed
    python benchmarks/evidence/returns.py --tasks Humanoid --arms vmpo sb3 rl_games --processes 2
    python benchmarks/evidence/returns.py --summary        the tables and the JSON line, from the rows alone
    python benchmarks/evidence/returns.py --plot           the same, and the pictures docs/pictures/returns-*.svg
    python benchmarks/evidence/returns.py --quick          under two minutes: 20,000 steps of Humanoid; keeps no results

By the speeds of the study all of it takes some twelve hours of one core.

Seeds 3, 4 and 5, which no choice of a setting has seen. Every finished run is a line of ``results/returns.jsonl``.
The mean action plays 20 whole fresh episodes every million steps; a training return is the mean over the episodes that
ended in the 50,000 steps before. Other libraries run on Humanoid alone, by the settings of ``rivals.py``.

Time to walk: seconds of one core until the mean of the last 100 training episodes has stayed above 5,000 for 200,000
steps on Humanoid. None: not within the run.

The last line is JSON, medians over seeds: ``<arm>_<task>_<millions>m``, the mean action's return; ``..._training_1.6m``
of Humanoid; ``<arm>_<task>_kept``, the return at the end over the best before it; ``<arm>_seconds_to_walk``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

import numpy as np
from long_runs import Row, longest, run_all, training_return
from results_file import read

HERE = Path(__file__).parents[1]  # benchmarks/
RESULTS = HERE / "results" / "returns.jsonl"
PICTURES = HERE.parent / "docs" / "pictures"
SEEDS = (3, 4, 5)
STEPS = 4_000_000
TASKS = ("Humanoid", "Ant", "HalfCheetah", "Walker2d", "Hopper", "Swimmer", "HumanoidStandup")
NAMES = {
    "vmpo": "V-MPO",
    "ppo": "PPO, ours",
    "sb3": "PPO of Stable-Baselines3's zoo",
    "rl_games": "PPO of rl_games, EnvPool",
}
RIVALS = ("sb3", "rl_games")
WALKS, EPISODES, STAYS = 5000.0, 100, 200_000
REFERENCES: dict[str, dict[str, list[tuple[int, float]]]] = {  # as published, (steps, return)
    "Humanoid": {
        "rl_games, published": [(1_600_000, 5000), (4_000_000, 8000)],
        "Tianshou's PPO": [(1_000_000, 787), (3_000_000, 1360)],
        "Tianshou's A2C": [(1_000_000, 1726), (3_000_000, 5317)],
    },
    "Ant": {"Tianshou's PPO": [(1_000_000, 3258), (3_000_000, 4079)]},
    "HalfCheetah": {"Tianshou's PPO": [(1_000_000, 5784), (3_000_000, 7337)]},
    "Walker2d": {"Tianshou's PPO": [(1_000_000, 3589), (3_000_000, 4896)]},
    "Hopper": {"Tianshou's PPO": [(1_000_000, 2609), (3_000_000, 3128)]},
}


def jobs(tasks: Iterable[str], arms: Sequence[str], seeds: Iterable[int], steps: int = STEPS) -> list[Row]:
    """Seed by seed over all tasks, so that an unfinished grid is balanced."""
    return [
        {"task": task, "name": arm, "arm": arm, "seed": seed, "steps": steps, "given": {}}
        for seed in seeds
        for task in tasks
        for arm in arms
        if arm not in RIVALS or task == "Humanoid"
    ]


def groups(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Runs by task and arm, the newest settings of each seed."""
    found: dict[tuple[str, str], dict[int, Row]] = defaultdict(dict)
    for row in longest(rows).values():
        found[row["task"], row["arm"]][row["seed"]] = row
    order = [(task, arm) for task in TASKS for arm in NAMES if (task, arm) in found]
    return {place: [found[place][seed] for seed in sorted(found[place])] for place in order}


def played(some: Sequence[Row]) -> dict[int, list[float]]:
    """The mean action's returns at whole millions of steps that all these runs have, and at their end."""
    marks = [{round(p["steps"] / 1e6): p["return"] for p in row["played"]} for row in some]
    return {mark: [own[mark] for own in marks] for mark in sorted(set.intersection(*map(set, marks)))}


def kept(row: Row) -> float | None:
    """The mean action's last return as a share of the best before it."""
    returns = [p["return"] for p in row["played"]]
    return returns[-1] / max(returns[:-1]) if len(returns) > 1 and max(returns[:-1]) > 0 else None


def seconds_to_walk(row: Row) -> int | None:
    """See the module's docstring."""
    window: list[tuple[float, int]] = []  # (return, episodes) of the newest points that hold 100 episodes
    since: int | None = None
    for point in row["curve"]:
        if point["episodes"]:
            window.append((point["return"], point["episodes"]))
            while sum(count for _, count in window[1:]) >= EPISODES:
                window.pop(0)
        total = sum(count for _, count in window)
        mean = sum(value * count for value, count in window) / total if total else -np.inf
        if total < EPISODES or mean <= WALKS:
            since = None
        elif since is None:
            since = point["steps"]
        if since is not None and point["steps"] - since >= STAYS:
            return point["seconds"]
    return None


def table(rows: Iterable[Row]) -> list[str]:
    """Every evaluation, medians over seeds with all of them beside."""
    lines = ["| task | agent | steps | mean action | seeds | training | seconds |", "|---|---|--:|--:|---|--:|--:|"]
    for (task, arm), some in groups(rows).items():
        for mark, values in played(some).items():
            training = [v for row in some if (v := training_return(row, mark * 1_000_000)) is not None]
            words = f"{np.median(training):,.0f}" if training else ""
            seconds = np.median(
                [next((p["seconds"] for p in r["curve"] if p["steps"] >= mark * 1e6), r["seconds"]) for r in some]
            )
            each = ", ".join(f"{row['seed']}: {value:,.0f}" for row, value in zip(some, values, strict=True))
            cells = (task, NAMES[arm], f"{mark}M", f"{np.median(values):,.0f}", each, words, f"{seconds:,.0f}")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def walk_table(rows: Iterable[Row]) -> list[str]:
    """Time to walk, a line an agent."""
    lines = ["", "| Humanoid | seconds of one core until it walks, by seed |", "|---|---|"]
    for (task, arm), some in groups(rows).items():
        if task == "Humanoid":
            each = [f"{row['seed']}: {'not reached' if s is None else f'{s:,}'}" for row in some
                    for s in [seconds_to_walk(row)]]  # fmt: skip
            lines.append(f"| {NAMES[arm]} | {', '.join(each)} |")
    return lines


def summary(rows: Iterable[Row]) -> dict[str, float | None]:
    """The figures of the JSON line."""
    figures: dict[str, float | None] = {}
    for (task, arm), some in groups(rows).items():
        name = f"{arm}_{task.lower()}"
        for mark, values in played(some).items():
            figures[f"{name}_{mark}m"] = round(float(np.median(values)), 1)
        shares = [share for row in some if (share := kept(row)) is not None]
        if shares:
            figures[f"{name}_kept"] = round(float(np.median(shares)), 3)
        if task == "Humanoid":
            early = [v for row in some if (v := training_return(row, 1_600_000)) is not None]
            if early:
                figures[f"{name}_training_1.6m"] = round(float(np.median(early)), 1)
            seconds = sorted(np.inf if s is None else s for s in map(seconds_to_walk, some))
            middle = seconds[(len(seconds) - 1) // 2]
            figures[f"{arm}_seconds_to_walk"] = None if np.isinf(middle) else middle
    return figures


def picture(rows: Iterable[Row], tasks: Sequence[str], path: Path) -> None:
    """Training return against steps and against seconds: thin lines are seeds, thick ones their medians."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "firerl"
    figure, axes = plt.subplots(len(tasks), 2, figsize=(9, 2.9 * len(tasks)), squeeze=False, layout="constrained")
    styles = {"vmpo": ("C3", "-"), "ppo": ("C2", "-."), "rl_games": ("C0", "--"), "sb3": ("C7", ":")}
    for (task, arm), some in groups(rows).items():
        if task not in tasks:
            continue
        line, (colour, dashes) = axes[tasks.index(task)], styles[arm]
        shortest = min(len(row["curve"]) for row in some)
        curves = np.array([
            [(p["steps"], training_return(row, p["steps"]) or np.nan, p["seconds"]) for p in row["curve"][:shortest]]
            for row in some
        ])  # fmt: skip
        for axis, column in zip(line, (0, 2), strict=True):
            for curve in curves:
                axis.plot(curve[:, column], curve[:, 1], dashes, color=colour, alpha=0.3, linewidth=0.8)
            middle = np.nanmedian(curves, axis=0)
            label = f"{NAMES[arm]} ({len(some)} seed{'s' * (len(some) > 1)})"
            axis.plot(middle[:, column], middle[:, 1], dashes, color=colour, linewidth=2, label=label)
    for task, line in zip(tasks, axes, strict=True):
        for marker, (name, points) in zip("sdv", REFERENCES.get(task, {}).items(), strict=False):
            line[0].plot(*zip(*points, strict=True), marker, color="black", markersize=4, label=name)
        line[0].set(title=task, xlabel="environment steps", ylabel="training return")
        line[1].set(title=task, xlabel="processor seconds of one core")
        line[0].legend(fontsize=7)
        for axis in line:
            axis.grid(alpha=0.3)
        line[0].xaxis.set_major_formatter(lambda steps, _: f"{steps / 1e6:g}M")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Run what is missing, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, 20,000 steps of Humanoid; keeps no results")
    parser.add_argument("--summary", action="store_true", help="run nothing")
    parser.add_argument("--plot", action="store_true", help="run nothing; draw the pictures")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one core each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a file of JSON lines")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "returns", help="states of unfinished runs")
    options = parser.parse_args()
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            options.results = Path(folder) / "returns.jsonl"
            run_all(jobs(["Humanoid"], ["vmpo", "ppo"], [0], 20_480), options.results, Path(folder), options.processes)
            rows = read(options.results)
    else:
        if not (options.summary or options.plot):
            wanted = jobs(options.tasks, options.arms, options.seeds)
            run_all(wanted, options.results, options.work, options.processes)
        rows = read(options.results)
    print("\n".join(table(rows) + walk_table(rows)))
    if options.plot:
        picture(rows, ["Humanoid", "Ant"], PICTURES / "returns-big.svg")
        picture(rows, ["HalfCheetah", "Walker2d", "Hopper"], PICTURES / "returns-small.svg")
    print(json.dumps(summary(rows)))


if __name__ == "__main__":
    main()

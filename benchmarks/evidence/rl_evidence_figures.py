"""The figures of the RL evidence, from its results alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("svg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parents[2] / "docs"
STYLES = {  # arm -> colour, dashes
    "fire": ("#1f5fa8", "-"),
    "pbt": ("#b23b3b", "--"),
    "random": ("#777777", ":"),
    "constant": ("#3b7a3b", "-."),
}
PATHS = (("fire", "P1", "#1f5fa8", "-"), ("fire", "P2", "#e08a1e", ":"), ("pbt", "P1", "#b23b3b", "--"))
Found = Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]]


def write_figures(found: Found) -> list[Path]:
    """All figures, of the main arms; returns their paths."""
    found = {task: {arm: arms[arm] for arm in STYLES if arm in arms} for task, arms in found.items()}
    mpl.rcParams.update(
        {"svg.hashsalt": "firerl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    written = []
    for name, draw in (("curves", _curves), ("winners", _winners), ("paths", _paths)):
        path = DOCS / "pictures" / f"evidence-rl-{name}.svg"
        figure = draw(found)
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        written.append(path)
    return written


def _curves(found: Found) -> Any:
    """The best member's objective over the steps of a worker: every run thin, the median bold."""
    figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found), 3), squeeze=False)
    for ax, (task, arms) in zip(axes[0], found.items(), strict=True):
        for arm, rows in arms.items():
            colour, dashes = STYLES[arm]
            curves = [_numbers(row["curves"]["best"]) for row in rows.values()]
            steps = np.array(next(iter(rows.values()))["curves"]["steps"]) / 1000
            for curve in curves:
                ax.plot(steps, curve, color=colour, lw=0.5, alpha=0.4)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # before the first objective there is none
                middle = np.nanmedian(curves, axis=0)
            ax.plot(steps, middle, color=colour, ls=dashes, lw=1.8, label=f"{arm} ({len(rows)})")
        ax.set_title(task)
        ax.set_xlabel("thousand steps of each of the workers")
        ax.legend(frameon=False, fontsize=7)
    axes[0][0].set_ylabel("objective of the best member")
    return figure


def _winners(found: Found) -> Any:
    """Every run's winner on fresh episodes, pairs of fire and pbt joined."""
    figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found), 3), squeeze=False)
    for ax, (task, arms) in zip(axes[0], found.items(), strict=True):
        names = list(arms)
        for x, arm in enumerate(names):
            scores = [row["winner"]["mean"] for row in arms[arm].values()]
            ax.plot([x] * len(scores), scores, "o", color=STYLES[arm][0], ms=4, alpha=0.7)
            ax.plot([x - 0.2, x + 0.2], [np.median(scores)] * 2, color="black", lw=1.5)
        if {"fire", "pbt"} <= arms.keys():
            for seed in arms["fire"].keys() & arms["pbt"].keys():
                ends = [arms[arm][seed]["winner"]["mean"] for arm in ("fire", "pbt")]
                ax.plot([names.index("fire"), names.index("pbt")], ends, color="#bbbbbb", lw=0.7, zorder=0)
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.5, len(names) - 0.5)
        ax.set_title(task)
    axes[0][0].set_ylabel("winner's return, mean action, 50 fresh episodes")
    return figure


def _paths(found: Found) -> Any:
    """Median hyperparameters over a run, of P1 and of FIRE's P2: every run thin, the median over runs bold."""
    everything = [row for arms in found.values() for rows in arms.values() for row in rows.values()]
    names = sorted({key.split()[1] for row in everything for key in row["paths"]})
    figure, axes = plt.subplots(
        len(found), len(names), figsize=(2.7 * len(names), 2.1 * len(found)), squeeze=False, sharex="row"
    )
    for line, (task, arms) in zip(axes, found.items(), strict=True):
        for ax, name in zip(line, names, strict=True):
            for arm, population, colour, dashes in PATHS:
                rows = arms.get(arm, {})
                paths = [row["paths"][f"{population} {name}"]["median"] for row in rows.values()]
                if not paths:
                    continue
                steps = np.linspace(0, next(iter(rows.values()))["steps"], len(paths[0])) / 1000
                for path in paths:
                    ax.plot(steps, path, color=colour, lw=0.5, alpha=0.4)
                middle = np.exp(np.median(np.log(paths), axis=0))
                ax.plot(steps, middle, color=colour, ls=dashes, lw=1.8, label=f"{arm}, {population}")
            ax.set_yscale("log")
            ax.set_title(f"{task}: {name}", fontsize=8)
    axes[0][0].legend(frameon=False, fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("thousand steps")
    figure.tight_layout()
    return figure


def _numbers(curve: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in curve]

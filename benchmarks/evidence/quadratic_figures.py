"""The figures of docs/lab/evidence-parts.md, from the results file alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from quadratic_runs import PROBLEMS

mpl.use("svg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLUE, GREY, RED = "#1f5fa8", "#777777", "#b23b3b"


def write_figures(groups: Mapping[str, Any]) -> list[Path]:
    """The figures of those groups that have one; returns the paths."""
    mpl.rcParams.update(
        {"svg.hashsalt": "firerl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    written = []
    for group, draw in (("algorithms", _by_arm), ("sizes", _by_workers)):
        if not groups.get(group):
            continue
        path = DOCS / "pictures" / f"evidence-{group}.svg"
        figure = draw(groups[group])
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        written.append(path)
    return written


def _by_arm(found: Mapping[str, Any]) -> Any:
    """An arm a line, its mean and 95 % interval; the band is plain FIRE's."""
    names = list(found)
    figure, axes = plt.subplots(1, 3, figsize=(10, 0.8 + 0.23 * len(names)), sharey=True)
    for ax, problem in zip(axes, PROBLEMS, strict=True):
        for y, name in enumerate(names):
            if cell := _cell(found, name, problem):
                mean, low, high = cell
                colour = BLUE if name == "fire" else GREY
                ax.plot([low, high], [y, y], color=colour, lw=1.5)
                ax.plot(mean, y, "o", color=colour, ms=4)
        if cell := _cell(found, "fire", problem):
            ax.axvspan(cell[1], cell[2], color=BLUE, alpha=0.12, lw=0)
        ax.set_title(problem)
        ax.set_xlabel("-log10 loss")
        ax.set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    return figure


def _by_workers(found: Mapping[str, Any]) -> Any:
    """Score against workers, for FIRE and PBT."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.8))
    for ax, problem in zip(axes, PROBLEMS, strict=True):
        for algo, colour in (("fire", BLUE), ("pbt", RED)):
            points = []
            for name, by_problem in found.items():
                if name.split()[0] == algo and (cell := _cell(found, name, problem)):
                    points.append((next(iter(by_problem[problem].values()))["workers"], *cell))
            if points:
                workers, means, lows, highs = zip(*sorted(points), strict=True)
                ax.plot(workers, means, "o-", color=colour, ms=4, label=algo)
                ax.fill_between(workers, lows, highs, color=colour, alpha=0.15, lw=0)
        ax.set_title(problem)
        ax.set_xlabel("workers")
    axes[0].set_ylabel("-log10 loss")
    axes[0].legend(frameon=False)
    return figure


def _cell(found: Mapping[str, Any], name: str, problem: str) -> tuple[float, float, float] | None:
    from quadratic import interval

    rows = found.get(name, {}).get(problem, {})
    return interval([row["objective"] for row in rows.values()]) if rows else None

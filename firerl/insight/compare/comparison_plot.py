"""A comparison as one picture: the best member's objective against the steps of all workers together."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from firerl.insight.compare.comparison import Comparison, GroupFigures
from firerl.insight.compare.statistics import LEAST, bootstrap
from firerl.insight.history.trajectory import Array, Trajectory

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d31", "#444444")  # told apart by all eyes
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 3)))  # and in black and white
LONGEST = 24  # characters beside a line
POINTS = 300  # along the line
RESAMPLES = 1_000  # of a band: one at every point


def picture(comparison: Comparison, trajectories: Mapping[str, Trajectory], format: str) -> bytes:
    """The picture as png, svg or pdf; ``trajectories`` are by the names of runs.

    Thick lines are medians over the runs of a group, thin ones the runs, bands the 95 % intervals of the medians,
    point by point.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = np.linspace(comparison.start, comparison.budget, POINTS)
    style: Any = {"svg.hashsalt": "firerl", "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        ends = []
        for i, found in enumerate(comparison.groups):
            values = np.array([_curve(trajectories[row.run], steps) for row in found.rows])  # [runs, POINTS]
            colour = COLOURS[i % len(COLOURS)]
            end = _draw(axes, found, steps, values, {"color": colour, "linestyle": DASHES[i % len(DASHES)]})
            ends.append((end, found.group.name, colour))
        _name_ends(axes, comparison, ends)
        axes.set(
            title=comparison.task,
            xlabel="steps of all workers together, evaluators included",
            ylabel="objective of the best member",
            xlim=(comparison.start, comparison.budget) if comparison.start < comparison.budget else None,
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9, loc="best")
        data = io.BytesIO()
        stable = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
        figure.savefig(data, format=format, dpi=150, metadata=stable[format])
    return data.getvalue()


def _curve(path: Trajectory, steps: Array) -> Array:
    return path.at(steps, path.best)


def _draw(axes: Any, found: GroupFigures, steps: Array, values: Array, look: dict[str, Any]) -> float:
    """A group's lines and band; returns where its median ends."""
    runs = len(values)
    axes.plot(steps, values.T, linewidth=0.7, alpha=0.35, **look)
    middle = np.median(values, axis=0)
    label = f"{found.group.name} ({runs} run{'s' * (runs > 1)})"
    axes.plot(steps, middle, linewidth=2.2, label=label, **look)
    if runs >= LEAST:
        low, high = bootstrap(values.T, np.median, resamples=RESAMPLES)
        axes.fill_between(steps, low, high, color=look["color"], alpha=0.15, linewidth=0)
    return float(middle[-1])


def _name_ends(axes: Any, comparison: Comparison, ends: list[tuple[float, str, str]]) -> None:
    """Write each group's name at the end of its line, names that would touch pushed apart."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.045
    at = -np.inf
    for value, name, colour in sorted(ends):
        at = max(value, at + gap)
        axes.annotate(
            name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…",  # the legend has the whole
            (comparison.budget, at),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
        )

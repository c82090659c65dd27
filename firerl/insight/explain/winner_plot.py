"""The picture of a winner: its stitched curve, below it the schedule it was trained with."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from firerl.evolution.space import Space
from firerl.insight.history.winner_curve import CurvePoint


class Picture(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def draw(title: str, curve: Sequence[CurvePoint], schedule: Sequence[Mapping[str, Any]], space: Space) -> Figure:
    """One panel for the curve and one a hyperparameter, over the network's own steps."""
    names = list(schedule[0]["hyperparameters"]) if schedule else []
    figure = Picture(figsize=(8, 3 + 1.3 * len(names)), layout="constrained")
    heights = [2.5] + [1.0] * len(names)
    panels = figure.subplots(1 + len(names), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    top = panels[0]
    top.set_title(title, loc="left")
    top.plot([p.step for p in curve], [p.objective for p in curve], color="C0", marker=".", markersize=3)
    for before, after in itertools.pairwise(curve):
        if (before.worker, before.origin) != (after.worker, after.origin):
            top.axvline(before.step, color="0.8", linewidth=0.8, zorder=0)
    top.set_ylabel("objective")
    kinds = {d.name: d.kind for d in space.dimensions}
    for panel, name in zip(panels[1:], names, strict=True):
        _draw_values(panel, name, kinds.get(name, ""), schedule)
    panels[-1].set_xlabel("steps of the winner's network (grey: another worker trains it on)")
    return figure


def _draw_values(panel: Any, name: str, kind: str, schedule: Sequence[Mapping[str, Any]]) -> None:
    values = [row["hyperparameters"][name] for row in schedule]
    shown = [
        value if isinstance(value, int | float) and not isinstance(value, bool) else str(value) for value in values
    ]
    panel.step([schedule[0]["from"], *(row["to"] for row in schedule)], [*shown[:1], *shown], where="pre", color="C1")
    if kind == "log_uniform":
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(LogFormatter())
        panel.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    panel.set_ylabel(name, rotation=0, ha="right", va="center")

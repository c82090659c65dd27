"""Parallel coordinates: an axis for every hyperparameter and one for the late objective, a line for every piece."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from firerl.evolution.space import Dimension
from firerl.insight.report.lines import Scale, plain
from firerl.insight.watch.late_pieces import Piece
from firerl.summary.in_words import objective_text, value_text

BANDS = 8  # of the objective, by rank, each with its colour
MOST = 600  # lines; of more an even choice by rank
OBJECTIVE = "late objective"
# (light, dark) grounds, from the worst to the best; the last stands out with any colour vision.
COLOURS = (
    ("#d3dae2", "#343c46"), ("#b9cadc", "#3d4f63"), ("#9bb8d6", "#466480"), ("#7aa3cf", "#4f7aa0"),
    ("#558ac2", "#5b92c2"), ("#3470af", "#74aee2"), ("#1b5594", "#a8d3fb"), ("#c2540a", "#ff9f4a"),
)  # fmt: skip


def parallel(dimensions: Sequence[Dimension], pieces: Sequence[Piece]) -> dict[str, Any]:
    """A figure in plotly's words; ``meta.role`` is ``band-0`` (worst) to ``band-7`` (best). Every axis runs from the
    lowest to the highest value that is there."""
    pieces = _drawn(sorted(pieces, key=lambda piece: piece.objective))
    axes = [_Axis(d.name, [piece.values.get(d.name) for piece in pieces], Scale(d)) for d in dimensions]
    axes.append(_Axis(OBJECTIVE, [piece.objective for piece in pieces], None))
    traces = []
    for band in range(BANDS):
        inside = range(len(pieces) * band // BANDS, len(pieces) * (band + 1) // BANDS)
        xs: list[float | None] = []
        ys: list[float | None] = []
        texts: list[str] = []
        for index in inside:
            xs += [*range(len(axes)), None]
            ys += [*(axis.heights[index] for axis in axes), None]
            texts += [_label(pieces[index])] * (len(axes) + 1)
        traces.append({
            "type": "scatter", "mode": "lines", "x": xs, "y": ys, "text": texts, "showlegend": False,
            "hovertemplate": "%{text}<extra></extra>", "meta": {"role": f"band-{band}", "kind": "line"},
            "line": {"width": 2.4 if band == BANDS - 1 else 1.2, "color": COLOURS[band][0]},
        })  # fmt: skip
    return {"data": traces, "layout": _layout(axes)}


def _drawn(ranked: Sequence[Piece]) -> list[Piece]:
    every = max(1.0, len(ranked) / MOST)
    return [ranked[len(ranked) - 1 - int(index * every)] for index in range(min(len(ranked), MOST))][::-1]


class _Axis:
    """The values of one hyperparameter as heights from 0 to 1."""

    def __init__(self, name: str, values: Sequence[Any], scale: Scale | None):
        self.name = name
        raw = [_raw(value, scale) for value in values]
        low, high = min(raw, default=0.0), max(raw, default=1.0)

        def place(x: float) -> float:
            return round((x - low) / (high - low), 4) if high > low else 0.5

        self.heights = [place(x) for x in raw]
        if scale is not None and scale.dimension.choices:
            named = {place(x): plain(value) for x, value in zip(raw, values, strict=True)}
        else:
            text = objective_text if scale is None else value_text
            ranked = sorted(zip(raw, values, strict=True))
            named = {place(x): text(value) for x, value in (ranked[0], ranked[-1])} if ranked else {}
            middle = min(ranked, key=lambda one: abs(place(one[0]) - 0.5), default=None)
            if middle is not None and 0.25 < place(middle[0]) < 0.75:
                named.setdefault(place(middle[0]), text(middle[1]))
        self.ticks = named


def _raw(value: Any, scale: Scale | None) -> float:
    if scale is None:
        return float(value)
    height = scale.height(value)
    height = math.log10(height) if scale.axis.get("type") == "log" and height > 0 else height
    return -height if scale.complement else height


def _label(piece: Piece) -> str:
    values = "<br>".join(f"{plain(name)} {plain(value_text(value))}" for name, value in sorted(piece.values.items()))
    where = f"{plain(piece.run)}: member {piece.worker}, steps {piece.start:,} to {piece.end:,}"
    return f"{where}<br>{values}<br><b>objective {objective_text(piece.objective)}</b>"


def _layout(axes: Sequence[_Axis]) -> dict[str, Any]:
    lines = [
        {"type": "line", "x0": x, "x1": x, "y0": -0.02, "y1": 1.02, "layer": "above", "line": {"width": 1.5}}
        for x in range(len(axes))
    ]
    notes = [
        {"x": x, "y": y, "text": text, "showarrow": False, "xanchor": "left" if x == 0 else "right",
         "xshift": 4 if x == 0 else -4, "font": {"size": 11}, "bgcolor": "#fff", "borderpad": 0}
        for x, axis in enumerate(axes) for y, text in axis.ticks.items()
    ]  # fmt: skip
    bare = {"showgrid": False, "zeroline": False, "showline": False}
    names = {"tickvals": list(range(len(axes))), "ticktext": [plain(axis.name) for axis in axes], "automargin": True}
    return {
        "height": 380, "shapes": lines, "annotations": notes, "margin": {"l": 48, "r": 40, "t": 16, "b": 30},
        "xaxis": {**bare, **names, "range": [-0.1, len(axes) - 0.9], "fixedrange": True},
        "yaxis": {**bare, "showticklabels": False, "range": [-0.04, 1.08], "fixedrange": True},
        "font": {"size": 13}, "hovermode": "closest", "hoverdistance": 30,
    }  # fmt: skip

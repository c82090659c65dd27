"""How the report's figures draw lines, marks and lanes in plotly.

Every trace says in ``meta`` what it shows: ``role`` (whose colour) and ``kind``. A ``life`` is the own line of
``worker``, from which the page puts the past of a chosen worker's network together; ``chosen`` is the empty line that
it fills; the other kinds stay as they are. Colours here are those for light ground.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from firerl.insight.history.history import PROMOTION, Stretch
from firerl.insight.report import style as report_style
from firerl.insight.report.lines import Points
from firerl.insight.report.run import EVALUATOR, Run, group_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MANY = 30  # workers, whose lines are fainter then


def blank(run: Run, x_title: str, y_title: str, height: int, *, smooth: bool = False) -> Figure:
    """An empty figure, ``height`` pixels high and as wide as the page lets it be, over the steps of the run.

    ``smooth``: the page may smooth its lines.
    """
    from plotly import graph_objects

    axis = {"zeroline": False, "automargin": True, "gridcolor": "#e3e6ea", "linecolor": "#c4c9cf"}
    steps = {
        "title": {"text": x_title, "standoff": 8},
        "tickformat": "~s",
        "range": [0, 1.01 * (run.history.step or 1)],
    }
    return graph_objects.Figure(
        layout={
            "template": "none", "height": height, "meta": {"smooth": smooth},
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 64, "r": 40, "t": 8, "b": 42}, "hovermode": "closest", "hoverdistance": 30,
            "font": {"size": 13, "color": "#30363d"}, "xaxis": {**axis, **steps},
            "yaxis": {**axis, "title": {"text": y_title, "standoff": 8}},
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "itemsizing": "trace"},
        }
    )  # fmt: skip


def life(
    figure: Figure, run: Run, worker: int, points: Points, hover: str = "", text: Sequence[str] | None = None, *,
    held: bool = False, step: bool = False, width: float = 1.3,
) -> None:  # fmt: skip
    """A worker's own line, thin. ``held``: its parts begin where its stretches do, not an evaluation later."""
    group = group_of(run.workers[worker])
    figure.add_scatter(
        **_columns(points), mode="lines", text=text, showlegend=False, legendgroup=group, connectgaps=False,
        opacity=0.75 if len(run.workers) <= MANY else 0.45, line=_pen(group, width, step),
        meta={"role": group, "kind": "life", "worker": worker, "held": held},
        hovertemplate=f"{who(run, worker)}<br>step %{{x:,}}{hover}<extra></extra>",
    )  # fmt: skip


def legend(figure: Figure, run: Run, width: float = 1.3) -> None:
    """What the workers' own lines look like: a click on it takes a group away."""
    for group in run.groups:
        figure.add_scatter(
            x=[None], y=[None], mode="lines", name="evaluators" if group == EVALUATOR else f"{group} members",
            legendgroup=group, legendrank=_rank(group), line=_pen(group, width), meta={"role": group, "kind": "legend"},
        )  # fmt: skip


def line(
    figure: Figure, points: Points, role: str, name: str, hover: str | None = None, text: Sequence[str] | None = None,
    *, width: float = 2, step: bool = False, in_legend: bool = True,
) -> None:  # fmt: skip
    """A line that is no worker's own. Without ``hover`` the mouse passes over it."""
    figure.add_scatter(
        **_columns(points), mode="lines", name=name, text=text, connectgaps=False, line=_pen(role, width, step),
        legendgroup=None if role in report_style.ROLES else role, legendrank=_rank(role), showlegend=in_legend,
        meta={"role": role, "kind": "line"},
        **({"hoverinfo": "skip"} if hover is None else {"hovertemplate": f"{hover}<extra></extra>"}),
    )  # fmt: skip


def chosen(figure: Figure, *, step: bool = False, objective: bool = False) -> None:
    """An empty line, which the page fills with the past of the chosen worker's network, put together from the lives of
    this figure or, ``objective``, of the first."""
    figure.add_scatter(
        x=[], y=[], mode="lines", name="", showlegend=False, hoverinfo="skip", legendrank=1001,
        line=_pen("chosen", 4, step), meta={"role": "chosen", "kind": "chosen", "objective": objective},
    )  # fmt: skip


def marks(
    figure: Figure, points: Points, role: str, name: str, texts: Sequence[str], *, size: float, in_legend: bool = True
) -> None:
    """Markers that say their text, above all lines; nothing where there are none."""
    if not points:
        return
    style = report_style.look(role)
    figure.add_scatter(
        **_columns(points), mode="markers", name=name, showlegend=in_legend, legendrank=_rank(role),
        hovertext=list(texts), hovertemplate="%{hovertext}<extra></extra>", meta={"role": role, "kind": "marks"},
        marker={"color": style.light, "symbol": style.symbol, "size": size}, zorder=1,
    )  # fmt: skip


def end_marks(figure: Figure, lines: Mapping[str, Points]) -> None:
    """The groups' names and markers where their lines end; names that would cover each other give way."""
    ends = sorted(((points[-1], group) for group, points in lines.items() if points), key=lambda end: end[0][1])
    heights = [y for points in lines.values() for _, y in points]
    near = 0.06 * (max(heights) - min(heights)) if heights else 0.0
    for index, ((x, y), group) in enumerate(ends):
        style = report_style.look(group)
        above = index + 1 < len(ends) and ends[index + 1][0][1] - y < near
        below = index > 0 and y - ends[index - 1][0][1] < near
        place = "middle" if above == below else "bottom" if above else "top"
        figure.add_scatter(
            x=[x], y=[y], mode="markers+text", text=[f" {group}"], textposition=f"{place} right", cliponaxis=False,
            legendgroup=group, showlegend=False, hoverinfo="skip", textfont={"color": style.light, "size": 14},
            meta={"role": group, "kind": "label"}, marker={"color": style.light, "symbol": style.symbol, "size": 9},
        )  # fmt: skip


def lanes_of(figure: Figure, run: Run, lanes: Mapping[int, int]) -> None:
    """A lane for each of these workers, from above, with a rule between two groups."""
    figure.update_yaxes(
        tickvals=list(lanes.values()), ticktext=[short(run, worker) for worker in lanes], showgrid=False,
        range=[len(lanes) - 0.4, -0.6], tickfont={"size": 11},
    )  # fmt: skip
    for ids in run.groups.values():
        if lanes.get(ids[0]):  # not the uppermost
            figure.add_hline(y=lanes[ids[0]] - 0.5, line={"width": 1, "color": "#a0a8b0", "dash": "dot"})


def who(run: Run, worker: int) -> str:
    """A worker's name in a label."""
    group = group_of(run.workers[worker])
    return f"evaluator {worker}" if group == EVALUATOR else f"member {worker} of {group}"


def short(run: Run, worker: int) -> str:
    """A worker's name at a lane."""
    group = group_of(run.workers[worker])
    return f"{'E' if group == EVALUATOR else group} · {worker}"


def arrival(run: Run, stretch: Stretch) -> str:
    """How a stretch that is nobody's first began, and when."""
    return f"step {stretch.start:,}: {who(run, stretch.worker)} {deed(run, stretch)}"


def deed(run: Run, stretch: Stretch) -> str:
    """What the worker did at the start of a stretch; "" at its first."""
    if stretch.source is None:
        return ""
    did = {"copy": "copied", PROMOTION: "took over the weights of"}.get(stretch.origin, "took the weights of")
    return f"{did} {who(run, stretch.source)}"


def _columns(points: Points) -> dict[str, list[Any]]:
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


def _pen(role: str, width: float, step: bool = False) -> dict[str, Any]:
    style = report_style.look(role)
    return {"color": style.light, "dash": style.dash, "width": width, "shape": "hv" if step else "linear"}


def _rank(role: str) -> int:
    """Its place in the legend: sub-populations, evaluators, the rest."""
    if role in report_style.ROLES:
        return 900 if role == EVALUATOR else 1000
    return int(role[1:])

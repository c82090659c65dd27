"""The report's figures: a run in, plotly figures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from firerl.evolution.space import Dimension
from firerl.insight.history.history import PROMOTION, Measurement, Stretch
from firerl.insight.report import style as report_style
from firerl.insight.report.draw import (
    arrival,
    blank,
    chosen,
    deed,
    end_marks,
    lanes_of,
    legend,
    life,
    line,
    marks,
    short,
    who,
)
from firerl.insight.report.lines import (
    METRICS,
    Points,
    Scale,
    broken,
    bundle,
    connector,
    curve,
    end_of,
    held,
    joined,
    level,
    medians,
    metric_curve,
    metric_names,
    plain,
    source,
    stitched,
    trainers,
)
from firerl.insight.report.run import EVALUATOR, Run
from firerl.summary import figure_names
from firerl.summary.in_words import objective_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LANE = 17  # pixels
FEW = 10  # promotions, which are drawn bold then
LABELLED = 0.05  # of the winner's path: a shorter leg has no room for a name


def all_of(run: Run) -> dict[str, Figure]:
    """By the id of their place in the page."""
    figures = {"objectives": objectives(run)}
    if run.winner_path:
        figures["winner"] = winner(run)
    figures |= {f"space-{d.name}": hyperparameter(run, d) for d in run.space.dimensions}
    figures |= {place: metric(run, name) for place, name in metrics(run).items()}
    figures["lineage"] = lineage(run)
    if EVALUATOR in run.groups:
        figures["evaluators"] = evaluators(run)
    return figures


def objectives(run: Run) -> Figure:
    """Every worker's objective over its own steps, the median of every sub-population, and the winner's path."""
    figure = blank(run, "step", _evaluation_title(run), 460, smooth=True)
    for worker in run.workers[::-1]:  # P1 on top
        points = broken(curve(stretch) for stretch in run.history.stretches[worker.id])
        life(figure, run, worker.id, points, ": %{y:.6g}")
    legend(figure, run)
    middle = {group: medians(run, ids) for group, ids in run.groups.items() if group != EVALUATOR}
    for group, points in middle.items():
        line(figure, points, group, f"{group} median", f"median of {group}<br>%{{x:,}}: %{{y:.6g}}", width=3.5)
    line(figure, stitched(run), "winner", f"{run.best}'s path", _path_hover(run), trainers(run), width=2.5)
    end_marks(figure, middle)
    chosen(figure)
    return figure


def winner(run: Run) -> Figure:
    """The winner's curve, stitched together along its lineage, with who trained it."""
    figure = blank(run, "step", _evaluation_title(run), 360, smooth=True)
    first = next(iter(run.groups))
    line(figure, medians(run, run.groups[first]), first, f"{first} median", "median<br>%{x:,}: %{y:.6g}")
    line(figure, stitched(run), "winner", f"{run.best}'s path", _path_hover(run), trainers(run), width=3)
    span = sum(leg.end - leg.start for leg in run.winner_path)
    shades = [
        {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "x0": leg.start, "x1": leg.end,
         "layer": "below", "line": {"width": 0}, "fillcolor": "#808890", "opacity": (0.06, 0.16)[index % 2]}
        for index, leg in enumerate(run.winner_path)
    ]  # fmt: skip
    names = [
        {"text": short(run, leg.stretch.worker), "x": leg.start, "y": 1, "xref": "x", "yref": "paper",
         "xanchor": "left", "yanchor": "top", "showarrow": False, "font": {"size": 11}}
        for leg in run.winner_path if leg.end - leg.start > LABELLED * span
    ]  # fmt: skip
    figure.update_layout(shapes=shades, annotations=names)
    _passings(figure, run)
    chosen(figure, objective=True)
    return figure


def hyperparameter(run: Run, dimension: Dimension) -> Figure:
    """One hyperparameter of every worker over its own steps, on its own scale, and the winner's schedule."""
    name, scale = dimension.name, Scale(dimension)
    figure = blank(run, "step", "", 270)
    figure.update_yaxes(**scale.axis)
    for worker in run.workers[::-1]:
        stretches = run.history.stretches[worker.id]
        points = broken(held(run, s, name, s.start, end_of(run, s), scale) for s in stretches)
        life(figure, run, worker.id, points, ": %{text}", scale.texts(points), held=True, step=True)
    path = [p for leg in run.winner_path for p in held(run, leg.stretch, name, leg.start, leg.end, scale)]
    hover = f"the {run.best}'s schedule<br>%{{x:,}}: %{{text}}"
    line(figure, path, "winner", f"{run.best}'s schedule", hover, scale.texts(path), width=3, step=True)
    chosen(figure, step=True)
    figure.update_layout(showlegend=False, margin={"r": 14})
    return figure


def metrics(run: Run) -> dict[str, str]:
    """The metrics that are shown, by the id of their place in the page."""
    return {f"metric-{index}": name for index, name in enumerate(metric_names(run)[:METRICS])}


def metric(run: Run, name: str) -> Figure:
    """One number that train() returned, of every worker over its own steps, and along the winner's path."""
    figure, every = blank(run, "step", "", 230, smooth=True), bundle(run)
    for worker in run.workers[::-1]:
        points = broken(metric_curve(stretch, name, every) for stretch in run.history.stretches[worker.id])
        life(figure, run, worker.id, points, ": %{y:.5g}")
    path = [p for leg in run.winner_path for p in metric_curve(leg.stretch, name, every, leg.start, leg.end)]
    line(figure, path, "winner", f"{run.best}'s path", f"the {run.best}'s path<br>%{{x:,}}: %{{y:.5g}}", width=2.5)
    chosen(figure)
    figure.update_layout(showlegend=False, margin={"r": 14})
    return figure


def lineage(run: Run) -> Figure:
    """Every worker a lane; who copied whom, promotions, failures, and the winner's path."""
    lanes = {worker: lane for lane, worker in enumerate(w for ids in run.groups.values() for w in ids)}
    figure = blank(run, "step", "", 110 + LANE * len(lanes))
    lanes_of(figure, run, lanes)
    stretches = [stretch for own in run.history.stretches.values() for stretch in own]
    copies = [stretch for stretch in stretches if stretch.origin == "copy"]
    line(figure, broken(connector(run, stretch, lanes) for stretch in copies), "copy", "copy", width=1.5)
    places: Points = [(stretch.start, lanes[stretch.worker]) for stretch in copies]
    marks(figure, places, "copy", "copy", [arrival(run, s) for s in copies], size=6, in_legend=False)
    _promotions(figure, run, [stretch for stretch in stretches if stretch.origin == PROMOTION], lanes)
    failures = [(stretch.worker, *stretch.failure) for stretch in stretches if stretch.failure]
    texts = [f"step {step:,}: {who(run, worker)} failed: {plain(failure)}" for worker, step, failure in failures]
    marks(figure, [(step, lanes[worker]) for worker, step, _ in failures], "failure", "failure", texts, size=9)
    for worker in run.workers:
        own = run.history.stretches[worker.id]
        points = broken(level(run, lanes[worker.id], s.start, end_of(run, s)) for s in own)
        starts = {stretch.start: f"<br>{deed(run, stretch)}" for stretch in own if stretch.source is not None}
        texts = [starts.get(step, "") for step, _ in points]  # a line answers before the mark that lies on it
        life(figure, run, worker.id, points, "%{text}", texts, held=True, width=2)
    legend(figure, run, width=2)
    path: Points = []
    for leg in run.winner_path:
        if path:
            path = joined(path, connector(run, leg.stretch, lanes))
        path += level(run, lanes[leg.stretch.worker], leg.start, leg.end)
    line(figure, path, "winner", f"{run.best}'s path", width=4)
    chosen(figure)
    return figure


def evaluators(run: Run) -> Figure:
    """Every evaluator a lane; a bar for every evaluation, by its outcome."""
    lanes = {worker: lane for lane, worker in enumerate(run.groups.get(EVALUATOR, []))}
    figure = blank(run, "step", "", 130 + 2 * LANE * len(lanes))
    lanes_of(figure, run, lanes)
    for name in outcomes(run):
        style = report_style.outcome(name)
        bars = [m for m in run.history.measurements if m.outcome == name]
        figure.add_bar(
            orientation="h", name=plain(name), width=0.74, base=[m.start for m in bars],
            x=[_end(run, m) - m.start for m in bars], y=[lanes[m.evaluator] for m in bars],
            text=[f"{m.parent}→{m.child}" for m in bars], textposition="inside", insidetextanchor="middle", textangle=0,
            customdata=[[m.evaluator, m.parent, m.child] for m in bars],
            hovertext=[_evaluation(run, m) for m in bars], hovertemplate="%{hovertext}<extra></extra>",
            meta={"role": report_style.outcome_role(name), "kind": "evaluation"},
            marker={"color": style.light, "opacity": 1, "line": {"width": 1, "color": style.light},
                    "pattern": {"shape": style.hatch, "solidity": 0.25, "size": 6}},
        )  # fmt: skip
    figure.update_layout(barmode="overlay", uniformtext={"minsize": 10, "mode": "hide"})
    return figure


def outcomes(run: Run) -> list[str]:
    """The outcomes that this run has seen, in the order of the legend."""
    seen = dict.fromkeys(measurement.outcome for measurement in run.history.measurements)
    known = [name for name in report_style.OUTCOMES if name in seen]
    return known + [name for name in seen if name not in known]


def _passings(figure: Figure, run: Run) -> None:
    """Where the winner's network changed hands, on its stitched curve: at the last objective before."""
    path = stitched(run)
    kinds = (("copy", "winner", "copied", 9), ("evaluator", EVALUATOR, "taken by an evaluator", 9),
             (PROMOTION, "promotion", "promoted", 14))  # fmt: skip
    for origin, role, name, size in kinds:
        points: Points = []
        texts = []
        for leg in run.winner_path[1:]:
            before = [point for point in path if point[0] <= leg.start] or path[:1]
            if leg.stretch.origin == origin and before:
                points.append(before[-1])
                texts.append(arrival(run, leg.stretch))
        marks(figure, points, role, name, texts, size=size)


def _promotions(figure: Figure, run: Run, promoted: Sequence[Stretch], lanes: dict[int, int]) -> None:
    """From the parent to the evaluator, along its lane, to the child."""
    paths = []
    for stretch in promoted:
        made = source(run, stretch)
        way = connector(run, made, lanes) + level(run, lanes[made.worker], made.start, end_of(run, made))
        paths.append(joined(way, connector(run, stretch, lanes)))
    few = len(paths) <= FEW
    line(figure, broken(paths), "promotion", "promotion", width=3 if few else 1.4, in_legend=False)
    places: Points = [(stretch.start, lanes[stretch.worker]) for stretch in promoted]
    texts = [arrival(run, stretch) for stretch in promoted]
    marks(figure, places, "promotion", "promotion", texts, size=15 if few else 10)


def _evaluation_title(run: Run) -> str:
    return f"objective: {plain(figure_names.evaluation(run.config.settings))}"


def _path_hover(run: Run) -> str:
    return f"the {run.best}'s path, %{{text}}<br>step %{{x:,}}: %{{y:.6g}}"


def _end(run: Run, m: Measurement) -> int:
    return run.history.steps[m.evaluator] if m.end is None else m.end


def _evaluation(run: Run, m: Measurement) -> str:
    text = (
        f"evaluator {m.evaluator}: {plain(m.outcome)}<br>parent {m.parent}'s weights, child {m.child}'s hyperparameters"
    )
    text += f"<br>step {m.start:,} to {_end(run, m):,}"
    if m.best_score_diff is None or m.p_value is None:
        return text
    return f"{text}<br>best score diff {objective_text(m.best_score_diff)}, p = {m.p_value:.2g}"

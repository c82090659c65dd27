"""The lines of the report's figures, as points: where a run's curves, hyperparameters and copies lie. No drawing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firerl.evolution.space import Dimension
from firerl.insight.history.history import Stretch
from firerl.insight.report.run import Run
from firerl.summary.in_words import value_text
from firerl.summary.tally import is_number

Points = list[tuple[Any, Any]]  # (x, y), numbers; both None break the line
BEND = 9  # points of a connector
METRICS = 30  # are shown at most
METRIC_POINTS = 100_000  # of all workers and metrics together, or the page would grow without bound
MARKS = 60  # a long level line answers to the mouse at so many places at most


def curve(stretch: Stretch) -> Points:
    """The objectives of one stretch."""
    return [(step, float(f"{y:.6g}")) for step, y in zip(stretch.steps, stretch.objectives, strict=True)]


def medians(run: Run, workers: Sequence[int]) -> Points:
    """(step, median of the objectives at it), where at least half of these workers reported one."""
    told: dict[int, list[float]] = {}
    for worker in workers:
        for stretch in run.history.stretches[worker]:
            for step, objective in zip(stretch.steps, stretch.objectives, strict=True):
                told.setdefault(step, []).append(objective)
    return [(step, statistics.median(told[step])) for step in sorted(told) if 2 * len(told[step]) >= len(workers)]


def trainers(run: Run) -> list[str]:
    """Who trained at each point of ``stitched``."""
    kinds = {w.id: "evaluator" if w.is_evaluator else "member" for w in run.workers}
    return [f"trained by {kinds[worker]} {worker}" for *_, worker in _told(run)]


def stitched(run: Run) -> Points:
    """The objectives of the winner's network along its path, in the steps of who trained it."""
    return [(step, objective) for step, objective, _ in _told(run)]


def _told(run: Run) -> list[tuple[int, float, int]]:
    """(step, objective, who trained it) along the path of the winner's network."""
    return [
        (step, objective, leg.stretch.worker)
        for leg in run.winner_path
        for step, objective in zip(leg.stretch.steps, leg.stretch.objectives, strict=True)
        if leg.start < step <= leg.end
    ]


def metric_names(run: Run) -> list[str]:
    """All numbers that train() returned, in the order of their first coming."""
    stretches = (stretch for own in run.history.stretches.values() for stretch in own)
    return list(dict.fromkeys(name for s in stretches for _, metrics in s.metrics for name in metrics))


def bundle(run: Run) -> int:
    """How many intervals a point of a metric's curve stands for: 1, unless there are very many."""
    told = sum(len(stretch.metrics) for own in run.history.stretches.values() for stretch in own)
    return math.ceil(told * min(len(metric_names(run)), METRICS) / METRIC_POINTS)


def metric_curve(stretch: Stretch, name: str, every: int, start: int = -1, end: float = math.inf) -> Points:
    """A metric in one stretch, after ``start`` and up to ``end``: the means of ``every`` values, at the last's step."""
    told = [(step, metrics[name]) for step, metrics in stretch.metrics if start < step <= end and name in metrics]
    told = [(step, value) for step, value in told if is_number(value)]
    parts = [told[begin : begin + every] for begin in range(0, len(told), every)]
    return [(part[-1][0], float(f"{statistics.fmean(value for _, value in part):.5g}")) for part in parts]


class Scale:
    """A hyperparameter's values as heights on an axis of its own kind."""

    def __init__(self, dimension: Dimension):
        self.dimension = dimension
        self.complement = dimension.kind == "one_minus_log_uniform"  # 1 - x, on a log scale that runs downwards
        self._names = [plain(choice) for choice in dimension.choices]
        self._places = {choice: place for place, choice in enumerate(dimension.choices)}
        self.axis = self._axis()  # plotly's settings

    def _axis(self) -> dict[str, Any]:
        d = self.dimension
        if self.complement:
            decades = range(math.floor(math.log10(1 - d.upper)), 1 + math.ceil(math.log10(1 - d.lower)))
            ticks = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
            texts = [value_text(1 - tick) for tick in ticks]
            return {"type": "log", "autorange": "reversed", "tickvals": ticks, "ticktext": texts}
        if d.choices:
            places = list(range(len(d.choices)))
            return {"tickvals": places, "ticktext": self._names, "range": [-0.5, len(places) - 0.5]}
        kind = "log" if d.kind == "log_uniform" else "linear"
        return {"type": kind, "nticks": 6, "exponentformat": "power", "minexponent": 2}

    def height(self, value: Any) -> float:
        """Where a value lies."""
        if self.dimension.choices:
            return float(self._places[value])
        return float(f"{1 - value if self.complement else value:.5g}")

    def texts(self, points: Points) -> list[str]:
        """The values at these points, as people read them."""
        if self.dimension.choices:
            return ["" if y is None else self._names[int(y)] for _, y in points]
        return ["" if y is None else value_text(1 - y if self.complement else y) for _, y in points]


def held(run: Run, stretch: Stretch, name: str, start: int, end: int, scale: Scale) -> Points:
    """A hyperparameter between two steps of a stretch."""
    points: Points = []
    for index, (begin, values) in enumerate(stretch.settings):
        until = stretch.settings[index + 1][0] if index + 1 < len(stretch.settings) else end
        if index == 0 or begin < end:  # else it is for steps that are still to come
            points += level(run, scale.height(values[name]), max(begin, start), min(until, end))
    return points


def level(run: Run, height: float, start: int, end: int) -> Points:
    """A level line with places for the mouse on it."""
    if end < start:
        return []
    apart = max(run.config.eval_interval, math.ceil(run.history.step / MARKS))
    return [*((step, height) for step in range(start, end, apart)), (end, height)]


def connector(run: Run, stretch: Stretch, lanes: Mapping[int, int]) -> Points:
    """From the lane that the weights come from to the stretch that begins with them, as a soft bend."""
    begun = source(run, stretch)
    begin = begun.start + stretch.network_step - begun.network_step - 0.4 * run.config.ready_interval
    y0, y1 = lanes[begun.worker], lanes[stretch.worker]
    points: Points = []
    for index in range(BEND):
        t = index / (BEND - 1)
        points.append((round(begin + t * (stretch.start - begin), 1), round(y0 + (y1 - y0) * t * t * (3 - 2 * t), 2)))
    return points


def joined(path: Points, bend: Points) -> Points:
    """A path and the connector that leaves it before its very end."""
    return [point for point in path if point[0] < bend[0][0]] + bend


def source(run: Run, stretch: Stretch) -> Stretch:
    """The stretch that this one's weights come from."""
    assert stretch.source is not None
    assert stretch.before is not None
    return run.history.stretches[stretch.source][stretch.before]


def end_of(run: Run, stretch: Stretch) -> int:
    """The step it has reached."""
    return run.history.steps[stretch.worker] if stretch.end is None else stretch.end


def broken(parts: Iterable[Points]) -> Points:
    """One line of all parts, with a gap between two."""
    points: Points = []
    for part in parts:
        if points and part:
            points.append((None, None))
        points += part
    return points


def plain(text: object) -> str:
    """As text that plotly takes for no markup."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;")

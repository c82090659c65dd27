"""One run as the page of ``firerl watch`` asks for it: its curve among others, and all of it where it is chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from firerl.insight.history.trajectory import trajectory
from firerl.insight.report import figures as report_figures
from firerl.insight.report import style as report_style
from firerl.insight.report import words as report_words
from firerl.insight.report.run import EVALUATOR, Run

POINTS = 2_000  # of a curve; of more every n-th, and the last
VERDICTS = 300  # the latest


def curve(run: Run) -> dict[str, Any]:
    """The run along its evaluation points: ``steps`` of a member, ``all`` of all workers together; ``best`` as the
    winner is ranked by, ``median`` of the members' last objectives. None where there is no value yet."""
    path = trajectory(run.config, run.history)
    evaluators = {worker.id for worker in run.workers if worker.is_evaluator}
    reached, steps = 0, []
    for point in run.history.points:
        reached = max([reached, *(report.step for report in point.reports if report.worker not in evaluators)])
        steps.append(reached)
    every = max(1, math.ceil(len(steps) / POINTS))
    kept = sorted({*range(0, len(steps), every), len(steps) - 1} - {-1})
    return {
        "task": run.config.task,
        "steps": [steps[i] for i in kept],
        "all": [int(path.steps[i]) for i in kept],
        "best": _plain(path.best[kept] if kept else ()),
        "median": _plain(path.median[kept] if kept else ()),
    }


def _plain(values: Iterable[float]) -> list[float | None]:
    """Six digits; JSON has no NaN."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def chosen(run: Run) -> dict[str, Any]:
    """All that is shown of one run: sentences, figures with their colours, verdicts, the latest first."""
    parts = [_part("The winner's path" if run.finished else "The leader's path", report_words.winner(run),
                   {"winner": report_figures.winner(run)})] if run.winner_path else []  # fmt: skip
    if run.space.dimensions:
        figures = {d.name: report_figures.hyperparameter(run, d) for d in run.space.dimensions}
        parts.append(_part("Schedule", report_words.hyperparameters(run), figures))
    parts.append(_part("Lineage", report_words.lineage(run), {"lineage": report_figures.lineage(run)}))
    measured = run.history.measurements
    if EVALUATOR in run.groups:
        timeline = {"evaluators": report_figures.evaluators(run)}
        verdicts = [report_words.measurement(m) for m in measured[-VERDICTS:][::-1]]
        parts.append({**_part("Verdicts", report_words.evaluators(run), timeline), "items": verdicts})
    worth = report_words.worth(run)
    return {
        "title": f"{run.config.task}: {report_words.algorithm(run)}",
        "state": report_words.state(run),
        "summary": " ".join(report_words.summary(run)),
        "key": [(worth.value, worth.name), *((value, name) for value, name, _ in report_words.figures(run))],
        "parts": parts,
        "colours": report_style.palette(list(run.groups), report_figures.outcomes(run)),
    }


def _part(title: str, says: str, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": title,
        "says": says,
        "figures": [{"name": name, **figure.to_plotly_json()} for name, figure in figures.items()],
    }

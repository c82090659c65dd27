"""The report as one HTML text. Everything that comes from the run is escaped here, or is JSON in a data block."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from firerl import __version__
from firerl.insight.report import figures as report_figures
from firerl.insight.report import sections as report_sections
from firerl.insight.report import style as report_style
from firerl.insight.report import words as report_words
from firerl.insight.report.films import Film
from firerl.insight.report.markup import escape
from firerl.insight.report.run import EVALUATOR, Run
from firerl.summary import figure_names
from firerl.summary.in_words import objective_text, value_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def page(run: Run, run_dir: Path | str, films: Sequence[Film] = (), refresh: int | None = None) -> str:
    """The whole page; ``run_dir`` is a folder, or the address of one.

    With ``refresh`` it loads itself anew after so many seconds.
    """
    from plotly.offline import get_plotlyjs

    figures = report_figures.all_of(run)
    title = f"{run.config.task}: {report_words.algorithm(run)}"
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    colours = report_style.palette(list(run.groups), report_figures.outcomes(run))
    return template().substitute(
        version=__version__,
        refresh=again,
        title=escape(f"{title}, {report_words.state(run)}"),
        style=_file("page.css"),
        script=_file("page.js"),
        light="".join(f"  --{escape(name)}: {light};\n" for name, (light, _) in colours.items()),
        dark="".join(f"    --{escape(name)}: {dark};\n" for name, (_, dark) in colours.items()),
        headline=escape(title),
        byline=_byline(run, refresh),
        summary=f"<p>{escape(' '.join(report_words.summary(run)))}</p>",
        worth=_worth(run),
        key="".join(_key(*row) for row in report_words.figures(run)),
        options=_options(run),
        sections="\n".join(filter(None, _sections(run, run_dir, films))),
        footer=_footer(run, run_dir),
        plotly=get_plotlyjs(),
        data=_data(run, figures),
    )


def template() -> Template:
    """The page without its contents."""
    return Template(_file("page.html"))


def _file(name: str) -> str:
    return resources.files("firerl.insight.report").joinpath(name).read_text(encoding="utf-8")


def _sections(run: Run, run_dir: Path | str, films: Sequence[Film]) -> list[str]:
    shown = report_sections.films(run, run_dir, films)
    return [
        report_sections.objective(run),
        report_sections.path(run),
        shown if films else "",
        report_sections.hyperparameters(run),
        report_sections.metrics(run),
        report_sections.lineage(run),
        report_sections.evaluators(run),
        "" if films else shown,
        report_sections.settings(run),
    ]


def _data(run: Run, figures: Mapping[str, Figure]) -> str:
    """What the page's script reads. Without a "<" no text can end the block that holds it."""
    data = {
        "figures": {name: figure.to_plotly_json() for name, figure in figures.items()},
        "leader": None if run.leader is None else run.leader.worker,
        "workers": [_worker(run, worker.id) for worker in run.workers],
        "measurements": [
            {"parent": m.parent, "child": m.child, "evaluator": m.evaluator, "text": report_words.measurement(m)}
            for m in run.history.measurements
        ],
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _worker(run: Run, worker: int) -> dict[str, Any]:
    """What the panel tells of a worker: its state now and its network's past."""
    own = run.history.stretches[worker]
    facts: list[tuple[str, str]] = []
    if own:
        curve = own[-1].objectives
        facts = [("step", f"{run.history.steps[worker]:,}")]
        facts += [(figure_names.LAST, objective_text(curve[-1]))] if curve else []
        facts += [(name, value_text(value)) for name, value in sorted(own[-1].settings[-1][1].items())]
        facts += [("failed", f"{own[-1].failure[1]} at step {own[-1].failure[0]:,}")] if own[-1].failure else []
    legs = [
        (leg.stretch.worker, leg.start, leg.end, report_words.leg(run, leg)) for leg in run.history.ancestry(worker)
    ]
    return {"id": worker, "title": report_words.title(run, worker), "facts": facts, "legs": legs}


def _byline(run: Run, refresh: int | None) -> str:
    badge = "badge" if run.finished else "badge unfinished"
    live = "" if refresh is None else " · this page renews itself"
    settings = f"{run.config.algo.name}, learner {run.config.learner}, seed {run.config.seed}"
    return f'<span class="{badge}">{escape(report_words.state(run))}</span> {escape(settings)}{live}'


def _worth(run: Run) -> str:
    """The one number at the head of the page."""
    worth = report_words.worth(run)
    spread = f" <small>± {escape(worth.spread)}</small>" if worth.spread else ""
    more = "".join(f"<p>{escape(text)}</p>" for text in worth.words)
    return f"<dl><dt>{escape(worth.name)}</dt><dd>{escape(worth.value)}{spread}</dd></dl><div>{more}</div>"


def _key(value: str, name: str, word: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><small>{escape(word)}</small></div>"


def _options(run: Run) -> str:
    text = '<option value="">nobody</option>'
    for group, ids in run.groups.items():
        items = "".join(f'<option value="{i}">{escape(report_words.title(run, i))}</option>' for i in ids)
        text += f'<optgroup label="{escape("evaluators" if group == EVALUATOR else group)}">{items}</optgroup>'
    return text


def _footer(run: Run, run_dir: Path | str) -> str:
    text = f"Made by firerl {__version__} from {run_dir}, generation {run.generation:,}. This file needs no network."
    return escape(text)

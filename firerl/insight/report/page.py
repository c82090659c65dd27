"""The report as one HTML text. Everything that comes from the run is escaped here, or is JSON in a data block."""

from __future__ import annotations

import html
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from firerl import __version__
from firerl.base.terminal import clean
from firerl.config.named_code import options_line, own_names, to_give_again
from firerl.evolution.lineage import schedule, segments
from firerl.insight.report import figures as report_figures
from firerl.insight.report import style as report_style
from firerl.insight.report import words as report_words
from firerl.insight.report.run import EVALUATOR, Run
from firerl.summary import figure_names
from firerl.summary.in_words import objective_text, value_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Film:
    """A video of the run: its name and where the page finds it, a data: address or a relative one."""

    name: str
    address: str


def page(run: Run, run_dir: Path | str, films: Sequence[Film] = (), refresh: int | None = None) -> str:
    """The whole page; ``run_dir`` is a folder, or the address of one.

    With ``refresh`` it loads itself anew after so many seconds.
    """
    from plotly.offline import get_plotlyjs

    figures = _figures(run)
    title = f"{run.config.task}: {report_words.algorithm(run)}"
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    colours = report_style.palette(list(run.groups), report_figures.outcomes(run))
    return template().substitute(
        version=__version__,
        refresh=again,
        title=escape(f"{title}, {report_words.state(run)}"),
        light="".join(f"  --{escape(name)}: {light};\n" for name, (light, _) in colours.items()),
        dark="".join(f"    --{escape(name)}: {dark};\n" for name, (_, dark) in colours.items()),
        headline=escape(title),
        byline=_byline(run, refresh),
        summary="".join(f"<p>{escape(sentence)}</p>" for sentence in [" ".join(report_words.summary(run))]),
        key="".join(_key(*row) for row in report_words.figures(run)),
        options=_options(run),
        sections="\n".join(_sections(run, run_dir, films)),
        footer=_footer(run, run_dir),
        plotly=get_plotlyjs(),
        data=_data(run, figures),
    )


def escape(text: str) -> str:
    """A text of the run in HTML, without what would turn the direction of writing or is not seen."""
    return html.escape(clean(text))


def template() -> Template:
    """The page without its contents."""
    return Template(resources.files("firerl.insight.report").joinpath("page.html").read_text(encoding="utf-8"))


def _figures(run: Run) -> dict[str, Figure]:
    """By the id of their place in the page."""
    figures = {"objectives": report_figures.objectives(run)}
    if run.winner_path:
        figures["winner"] = report_figures.winner(run)
    figures |= {f"space-{d.name}": report_figures.hyperparameter(run, d) for d in run.space.dimensions}
    figures["lineage"] = report_figures.lineage(run)
    if EVALUATOR in run.groups:
        figures["evaluators"] = report_figures.evaluators(run)
    return figures


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


def _key(value: str, name: str, word: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><small>{escape(word)}</small></div>"


def _options(run: Run) -> str:
    text = '<option value="">nobody</option>'
    for group, ids in run.groups.items():
        items = "".join(f'<option value="{i}">{escape(report_words.title(run, i))}</option>' for i in ids)
        text += f'<optgroup label="{escape("evaluators" if group == EVALUATOR else group)}">{items}</optgroup>'
    return text


def _sections(run: Run, run_dir: Path | str, films: Sequence[Film]) -> list[str]:
    parts = [
        _section("Objective", report_words.objectives(run), _plot("objectives", "Objective curves of all workers"))
    ]
    if run.winner_path:
        name = f"The {run.best}'s path"
        parts.append(_section(name, report_words.winner(run), _plot("winner", name) + _schedule(run)))
    if films:
        parts.append(_films(films))
    if run.space.dimensions:
        plots = "".join(
            f"<figure><figcaption>{escape(d.name)} <small>{escape(report_words.hyperparameter(run, d.name))}</small>"
            f"</figcaption>{_plot(f'space-{d.name}', f'{d.name} of all workers over time')}</figure>"
            for d in run.space.dimensions
        )
        words = report_words.hyperparameters(run)
        parts.append(_section("Hyperparameters", words, f'<div class="many">{plots}</div>'))
    parts.append(_section("Lineage", report_words.lineage(run), _plot("lineage", "Who copied whom")))
    if EVALUATOR in run.groups:
        timeline = _plot("evaluators", "Evaluations over time") + _outcomes(run)
        parts.append(_section("Evaluators", report_words.evaluators(run), timeline))
    if not films and "env" in run.config.settings and isinstance(run_dir, Path):
        parts.append(_no_films(run, run_dir))
    return parts


def _section(title: str, words: str, body: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p class="says">{escape(words)}</p>{body}</section>'


def _plot(name: str, label: str) -> str:
    return f'<div class="plot" id="{escape(name)}" role="img" aria-label="{escape(label)}"></div>'


def _schedule(run: Run) -> str:
    """The winner's hyperparameters as a table."""
    assert run.leader is not None
    history = run.history
    path = segments(history.initial, history.decisions, run.leader.worker, run.leader.network_step)
    rows = []
    for row in schedule(path):
        values = row["hyperparameters"]
        assert isinstance(values, Mapping)
        cells = [f"{row['from']:,}", f"{row['to']:,}", *(value_text(values.get(name)) for name in run.space.names)]
        rows.append(cells)
    if not run.space.names:
        return ""
    table = _table(["from step", "to step", *run.space.names], rows)
    return f"<details><summary>The schedule in numbers ({len(rows)} rows)</summary>{table}</details>"


def _outcomes(run: Run) -> str:
    """How many evaluations ended by which rule."""
    measured = Counter(m.outcome for m in run.history.measurements)
    if not measured:
        return ""
    rows = ""
    for name in report_figures.outcomes(run):
        style, count = report_style.outcome(name), measured[name]
        colour = f"background: var(--{report_style.outcome_role(name)})"
        swatch = f'<span class="swatch" style="{colour}">{escape(style.sign)}</span>'
        rows += f"<tr><td>{swatch} {escape(name)}</td><td>{escape(style.meaning)}</td>"
        rows += f'<td class="number">{count:,}</td><td class="number">{count / measured.total():.0%}</td></tr>'
    head = '<tr><th>outcome</th><th>rule</th><th class="number">evaluations</th><th class="number">share</th></tr>'
    return f'<div class="scroll"><table class="table" id="outcomes">{head}{rows}</table></div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th class="number">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells) + "</tr>" for cells in rows
    )
    return f'<div class="scroll"><table class="table"><tr>{top}</tr>{body}</table></div>'


def _films(films: Sequence[Film]) -> str:
    items = "".join(
        f'<figure><video controls loop muted preload="metadata" src="{escape(film.address)}"></video>'
        f"<figcaption>{escape(film.name)}</figcaption></figure>"
        for film in films
    )
    return f'<section><h2>Films</h2><div class="films">{items}</div></section>'


def _no_films(run: Run, run_dir: Path) -> str:
    """How to make one."""
    folder, video = shlex.quote(str(run_dir)), shlex.quote(str(run_dir / "winner.mp4"))
    names = {role: name for role, name in own_names(run.config).items() if role != "algo"}
    command = options_line(f"python -m firerl.play {folder} --video {video}")(to_give_again(names))
    return (f'<section><h2>Films</h2><p class="says">None yet. <code>{escape(command)}</code> makes one, and the next '
            "report shows it.</p></section>")  # fmt: skip


def _footer(run: Run, run_dir: Path | str) -> str:
    text = f"Made by firerl {__version__} from {run_dir}, generation {run.generation:,}. This file needs no network."
    return escape(text)

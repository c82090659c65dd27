"""The parts of a report: a run in, HTML out, with places for the figures of ``figures.all_of``.

"" where a run has nothing to show.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firerl.base.settings import show
from firerl.config.named_code import options_line, own_names, to_give_again
from firerl.config.run_config import to_plain
from firerl.evolution.lineage import schedule, segments
from firerl.insight.report import figures as report_figures
from firerl.insight.report import style as report_style
from firerl.insight.report import words as report_words
from firerl.insight.report.films import Film
from firerl.insight.report.markup import escape, folded, many, pairs, plot, section, table
from firerl.insight.report.run import EVALUATOR, Run
from firerl.summary.in_words import value_text


def objective(run: Run) -> str:
    """Everybody's curve."""
    return section("Objective", report_words.objectives(run), plot("objectives", "Objective curves of all workers"))


def path(run: Run) -> str:
    """The winner's curve along its lineage, and its schedule."""
    if not run.winner_path:
        return ""
    name = f"The {run.best}'s path"
    return section(name, report_words.winner(run), plot("winner", name) + winner_schedule(run))


def winner_schedule(run: Run) -> str:
    """The winner's hyperparameters as a table, folded."""
    if run.leader is None or not run.space.names:
        return ""
    history = run.history
    legs = segments(history.initial, history.decisions, run.leader.worker, run.leader.network_step)
    rows = []
    for row in schedule(legs):
        values = row["hyperparameters"]
        assert isinstance(values, Mapping)
        cells = [f"{row['from']:,}", f"{row['to']:,}", *(value_text(values.get(name)) for name in run.space.names)]
        rows.append(cells)
    numbers = table(["from step", "to step", *run.space.names], rows)
    return folded("schedule", f"The schedule in numbers ({len(rows)} rows)", numbers)


def hyperparameters(run: Run) -> str:
    """A small figure for each."""
    names = run.space.names
    if not names:
        return ""
    label = "{} of all workers over time"
    plots = [(f"space-{n}", label.format(n), n, report_words.hyperparameter(run, n)) for n in names]
    return section("Hyperparameters", report_words.hyperparameters(run), many(plots))


def metrics(run: Run) -> str:
    """A small figure for each number that train() returned, folded."""
    shown = report_figures.metrics(run)
    if not shown:
        return ""
    plots = [(place, f"{name} of all workers", name, report_words.metric(run, name)) for place, name in shown.items()]
    curves = folded("metrics", f"The curves ({len(shown)})", many(plots))
    return section("Metrics", report_words.metrics(run), curves)


def settings(run: Run) -> str:
    """All that the run was given, folded."""
    plain = to_plain(run.config)
    learner, algo, engine, space = (plain.pop(name) for name in ("settings", "algo", "engine", "space"))
    plain |= {f"population.{name}": plain.pop(name) for name in ("sizes", "evaluators")}
    plain |= {"algo": algo["name"], "env": learner.pop("env", None)}
    tables = "".join((
        pairs("Run", sorted(_rows(plain))),
        pairs("Search space", [(f"space.{name}", show(dimension)) for name, dimension in space.items()]),
        pairs("Learner", _rows(learner, "learner.")),
        pairs("Algorithm", _rows(algo["settings"], "algo.")),
        pairs("Engine", _rows(engine, "engine.")),
    ))  # fmt: skip
    body = folded("settings", "Show them", f'<div class="many">{tables}</div>')
    return section("Settings", report_words.SETTINGS, body)


def _rows(values: Mapping[str, Any], ahead: str = "") -> list[tuple[str, str]]:
    """Names with dots and values of nested settings."""
    rows = []
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value
        rows += _rows(value, f"{ahead}{name}.") if inner else [(f"{ahead}{name}", show(value))]
    return rows


def lineage(run: Run) -> str:
    """Who copied whom."""
    return section("Lineage", report_words.lineage(run), plot("lineage", "Who copied whom"))


def evaluators(run: Run) -> str:
    """Every evaluation, and how many ended by which rule."""
    if EVALUATOR not in run.groups:
        return ""
    return section(
        "Evaluators", report_words.evaluators(run), plot("evaluators", "Evaluations over time") + verdicts(run)
    )


def verdicts(run: Run) -> str:
    """How many evaluations ended by which rule, as a table."""
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


def films(run: Run, run_dir: Path | str, found: Sequence[Film]) -> str:
    """The videos of the run; where there are none, how to make one."""
    if found:
        items = "".join(
            f'<figure><video controls loop muted preload="metadata" src="{escape(film.address)}"></video>'
            f"<figcaption>{escape(film.name)}</figcaption></figure>"
            for film in found
        )
        return f'<section><h2>Films</h2><div class="films">{items}</div></section>'
    if "env" not in run.config.settings or not isinstance(run_dir, Path):
        return ""
    folder, video = shlex.quote(str(run_dir)), shlex.quote(str(run_dir / "winner.mp4"))
    names = {role: name for role, name in own_names(run.config).items() if role != "algo"}
    command = options_line(f"python -m firerl.play {folder} --video {video}")(to_give_again(names))
    return (f'<section><h2>Films</h2><p class="says">None yet. <code>{escape(command)}</code> makes one, and the next '
            "report shows it.</p></section>")  # fmt: skip

"""What a finished run is to a program: the winner, its schedule, its weights, the journal, a picture."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.base.disk import files, untrusted
from firerl.base.paths import expanded
from firerl.errors import RunFolderError, SettingError, reason
from firerl.session.start import Ended
from firerl.session.watching.blocks import schedule_rows
from firerl.summary.in_words import objective_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Best:
    """The winner of a run."""

    worker: int
    objective: float | None  # mean of its last ``algo.fitness_window`` evaluations; None: nothing was reported
    hyperparameters: Mapping[str, Any]  # at the end
    network_step: int  # training steps behind its network, through its lineage
    fresh: Mapping[str, float]  # what the learner's ``report`` says of it, on data that the search did not see


@dataclass(frozen=True)
class Result:
    """A finished run."""

    run_dir: Path
    figures: Mapping[str, Any]  # what result.json holds

    @property
    def best(self) -> Best:
        """The winner at the end of the run."""
        lineage = self.figures["lineage"]
        return Best(
            worker=int(self.figures["worker"]),
            objective=self.objective,
            hyperparameters=self.hyperparameters,
            network_step=int(lineage[-1]["end"]) if lineage else 0,
            fresh=dict(self.figures["fresh"]),
        )

    def __repr__(self) -> str:
        """What a notebook or ``print`` shows: the task, the headline, the winner, where the rest lies."""
        told = self.figures.get("headline") or {"name": "objective", "value": self.figures.get("objective")}
        value = "none" if told["value"] is None else f"{told['value']:.6g}"
        who = f"{self.figures.get('task')}, {self.figures.get('algo')}, {self.figures.get('steps')} steps"
        return f"<Result of {who}: worker {self.figures.get('worker')}, {told['name']} {value}; {self.run_dir}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        told, names = self.figures.get("headline") or {}, self.figures.get("names") or {}
        rows = {
            "task": self.figures.get("task"),
            "algorithm": self.figures.get("algo"),
            told.get("name", "objective"): objective_text(told.get("value", self.objective)),
            names.get("objective", "objective"): objective_text(self.objective),
            "winner": f"worker {self.figures.get('worker')}",
            "steps": f"{self.figures.get('steps', 0):,}",
            "schedule": "\n".join(schedule_rows(self.figures)),
            "run folder": self.run_dir,
        }
        cells = ((html.escape(str(name)), html.escape(str(value))) for name, value in rows.items())
        left = 'style="text-align:left'
        told_rows = (
            f'<tr><th {left}">{name}</th><td {left};white-space:pre">{value}</td></tr>' for name, value in cells
        )
        return f"<table>{''.join(told_rows)}</table>"

    @property
    def objective(self) -> float | None:
        """What members are ranked by: the winner's mean of its last ``algo.fitness_window`` evaluations."""
        value = self.figures["objective"]
        return None if value is None else float(value)

    @property
    def ranked(self) -> bool:
        """Whether anybody had an objective at a ready: else the winner is none, but the first of those who trained."""
        return Ended(self.run_dir, self.figures).ranked

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The winner's hyperparameters at the end."""
        return dict(self.figures["hyperparameters"])

    @property
    def schedule(self) -> list[dict[str, Any]]:
        """The winner's hyperparameters along its lineage: from, to (in steps), hyperparameters.

        Raises RunFolderError if the file is missing or damaged.
        """
        path = self.run_dir / "schedule.yaml"
        try:
            return [dict(row) for row in untrusted.read_yaml(path)["schedule"]]
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"{path} cannot be read: {reason(error) if isinstance(error, OSError) else error}"
            ) from error

    def weights(self) -> Any:
        """The winner's weights, for ``Learner.load(weights=...)``. Raises RunFolderError if the file is damaged."""
        from firerl.storage import winner_file

        return winner_file.read(self.run_dir / "best.pt")["weights"]

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Every report and decision as one flat row, in order, as ``pandas.DataFrame`` takes them.

        ``event`` is report, copy, start_evaluator, stop_evaluator, promote, fail or set; the other entries are those
        of ``firerl.evolution.population``. Raises RunFolderError if the folder is gone or damaged.
        """
        from firerl.evolution.plain import decision_kind
        from firerl.storage.journal.journal_db import Journal

        rows = []
        with closing(Journal.open(self.run_dir)) as journal:
            for point in journal.points():
                rows += [_row("report", report) for report in point.reports]
                rows += [_row(decision_kind(decision), decision) for decision in point.decisions]
        return rows

    def plot(self, path: str | Path | None = None) -> Figure:
        """The winner's curve, stitched through its lineage, with its schedule below it.

        A matplotlib figure, which a notebook shows; ``path`` (``.png``, ``.svg``, ``.pdf``) saves it, too. Raises
        SettingError on an ending that cannot be written.
        """
        from firerl.config.run_config import window_of
        from firerl.evolution.space import Space
        from firerl.insight.explain.winner_plot import draw
        from firerl.insight.history import history, winner_curve
        from firerl.storage.journal.journal_db import Journal
        from firerl.summary import figure_names

        with closing(Journal.open(self.run_dir)) as journal:
            config, life = history.read(journal)
        curve = winner_curve.stitched(life, self.best.worker)
        measure = figure_names.ranked_by(window_of(config))
        told = "no evaluation" if self.objective is None else f"{measure} {self.objective:.6g}"
        title = f"{config.task}, {config.algo.name}: the winner, {told}"
        figure = draw(title, curve, self.schedule, Space.parse(config.space))
        if path is not None:
            path = Path(expanded(path, "path"))
            buffer = io.BytesIO()
            try:
                figure.savefig(buffer, dpi=150, format=path.suffix[1:] or None)
            except ValueError as error:
                raise SettingError(f"plot(path={str(path)!r}): {error}") from error
            files.write(path, buffer.getvalue())
        return figure


def _row(event: str, what: Any) -> dict[str, Any]:
    return {"event": event, **{f.name: getattr(what, f.name) for f in fields(what)}}

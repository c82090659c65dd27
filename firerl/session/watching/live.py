"""A picture of the run that stays in place: the bar, what happened last, the population in a table."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firerl.base.terminal import clean, clean_lines, say
from firerl.config.run_config import RunConfig
from firerl.session.watching.blocks import told
from firerl.session.watching.progress import Round
from firerl.session.watching.view import View, speed
from firerl.storage.journal.journal_db import Journal
from firerl.summary.in_words import duration_text, objective_text, spread_text
from firerl.summary.tally import Summary, summaries

PICTURES = 2  # a second: the clock goes on while all workers train
WIDEST = 100  # columns of the bar, and of a notebook's picture
_RICHEST = (  # how a cell shows a hyperparameter's median and range, as long as the terminal is wide enough
    lambda middle, spread: f"{middle} {spread}".rstrip(),
    lambda middle, spread: f"{middle}\n{spread}".rstrip(),
    lambda middle, spread: middle,
)


class LiveView(View):
    """What both pictures show."""

    def __init__(self, config: RunConfig, console: Console, place: str | None = None):
        super().__init__(config, place)
        self.console = console
        self.step = 0
        self.progress = (0, 0)  # workers done, of
        self.round: Round | None = None
        self.heard = 0.0  # when the last round was over, by time.monotonic
        self.facts: list[str] = []  # lines between the bar and the table

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        super().started(config, journal, step, processes)
        self.step, self.progress = step, (0, 0)

    def worker_done(self, done: int, of: int) -> None:
        self.progress = (done, of)

    def round_done(self, round: Round) -> None:
        super().round_done(round)
        self.facts = [*told("last event", self.event or "none yet")]
        if counts := self.counts(round):
            self.facts += told("so far", counts)
        self.facts += told("time", self.times())
        self.round, self.step, self.progress, self.heard = round, round.step, (0, 0), time.monotonic()

    def picture(self) -> RenderableType:
        """All of it, as things stand. Another thread may ask."""
        bar = Table.grid(expand=True, padding=(0, 2, 0, 0))
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        share = self._share()
        clock = f"{share:.0%}  elapsed {duration_text(self.elapsed())}, left {self._left()}"
        bar.add_row(ProgressBar(1.0, share), Text(clock))
        bar.width = min(WIDEST, self.console.width)
        if self.round is None:
            return Group(bar, Text(self._place()))
        groups = summaries(self.round.state, self.round.point.reports)
        return Group(bar, *map(Text, [self._place(), *self.facts]), self._table(groups))

    def _share(self) -> float:
        """Of the steps, what is done; of the round under way, the workers that are."""
        done, of = self.progress
        return min(1.0, (self.step + self.config.eval_interval * done / (of or 1)) / self.config.steps)

    def _left(self) -> str:
        """The time to the end: it goes on falling between two rounds."""
        if self.round is None:
            return "known after the first evaluation"
        since = 0.0 if self.simulated else time.monotonic() - self.heard
        return duration_text(self.round.eta_seconds - since)

    def _place(self) -> str:
        done, of = self.progress
        parts = [f"  step        {self.step:,} of {self.config.steps:,}"]
        parts += [f"{speed(self.round):,.0f} steps/s"] if self.round else []
        parts += [f"{done} of {of} workers done"] if of else []
        return "   ".join(parts)

    def _table(self, groups: Sequence[Summary]) -> Table:
        """With as much of the ranges as the width allows; no name is cut."""
        anything = self.console.options.update(max_width=10_000)
        for cell in _RICHEST:
            table = _table(groups, cell)
            if self.console.measure(table, options=anything).maximum <= self.console.width:
                break
        return table


class TerminalView(LiveView):
    """The picture on a terminal."""

    def __init__(self, config: RunConfig, console: Console | None = None, place: str | None = None):
        super().__init__(config, console or Console(highlight=False), place)
        self.live: Live | None = None

    def say(self, *lines: str) -> None:
        # As they are: rich would read [1e-4..9e-4] as markup.
        self.console.print(clean_lines("\n".join(lines)), markup=False, highlight=False, soft_wrap=True)

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        super().started(config, journal, step, processes)
        if self.live is None:
            self.live = Live(get_renderable=self.picture, console=self.console, refresh_per_second=PICTURES)
            self.live.start(refresh=True)

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None


class NotebookView(LiveView):
    """The picture below a notebook's cell."""

    def __init__(self, config: RunConfig, place: str | None = None):
        plain = Console(file=io.StringIO(), width=WIDEST, force_jupyter=False, highlight=False, record=True)
        super().__init__(config, plain, place)
        self.shown: Any = None  # IPython's handle of what is displayed
        self.drawn = -math.inf  # by time.monotonic

    def say(self, *lines: str) -> None:
        say(*"\n".join(lines).split("\n"))

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        super().started(config, journal, step, processes)
        self._draw()

    def worker_done(self, done: int, of: int) -> None:
        super().worker_done(done, of)
        self._draw()

    def round_done(self, round: Round) -> None:
        super().round_done(round)
        self._draw()

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        """The picture is final; what the cell gives back, a ``Result``, tells the rest."""
        self.close()

    def close(self) -> None:
        if self.shown is not None:
            self.drawn = -math.inf
            self._draw()
            self.shown = None

    def _draw(self) -> None:
        from IPython.display import HTML, display

        if time.monotonic() - self.drawn < 1 / PICTURES:
            return
        self.drawn = time.monotonic()
        self.console.print(self.picture())
        html = HTML(self.console.export_html(inline_styles=True, code_format=_CODE))
        if self.shown is None:
            self.shown = display(html, display_id=True)
        else:
            self.shown.update(html)


_CODE = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'


def _table(groups: Sequence[Summary], cell: Callable[[str, str], str]) -> Table:
    """A row for every figure and hyperparameter, a column for every sub-population."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", overflow="fold")
    for group in groups:
        table.add_column(f"P{group.population}", justify="right", overflow="fold")
    table.add_row("best", *(objective_text(group.best) for group in groups))
    table.add_row("median", *(objective_text(group.median) for group in groups))
    for name in dict.fromkeys(name for group in groups for name in group.hyperparameters):
        spreads = [spread_text(group.hyperparameters.get(name, [])) for group in groups]
        table.add_row(Text(clean(name)), *(Text(cell(clean(middle), clean(spread))) for middle, spread in spreads))
    return table

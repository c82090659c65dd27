"""What a person sees of a run: a picture that stays in place on a terminal and in a notebook, lines otherwise."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from firerl.base.terminal import Lasting, say
from firerl.config.run_config import RunConfig, window_of
from firerl.session.watching.blocks import closing, folded, opening, told
from firerl.session.watching.progress import Observer, Round, Silent, Together
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal
from firerl.summary import last_event
from firerl.summary.in_words import count_text, duration_text, objective_text, spread_text
from firerl.summary.tally import Summary, Tally, running_evaluators, summaries

HEADER_EVERY = 20  # lines


def make_view(config: RunConfig, place: str | None = None) -> Observer:
    """What suits where stdout leads: a picture that stays in place on a terminal or in a notebook, lines otherwise."""
    view: View
    if sys.stdout and sys.stdout.isatty():
        from firerl.session.watching.live import TerminalView

        view = TerminalView(config, place=place)
    elif _in_notebook():
        from firerl.session.watching.live import NotebookView

        view = NotebookView(config, place=place)
    else:
        view = LineView(config, place=place)
    return view if config.sync else Gathered(view, sum(config.sizes) + config.evaluators, config.ready_interval)


def _in_notebook() -> bool:
    """Whether a cell shows what is displayed: in Jupyter and the like, not in IPython's own terminal."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


class Gathered(Together):
    """Where each report is decided on by itself, a view is told of as many at once as there are workers."""

    def __init__(self, view: Observer, workers: int, ready_interval: int):
        super().__init__(view)
        self.workers, self.ready_interval = workers, ready_interval
        self.rounds: list[Round] = []
        self.readies = 0

    def round_done(self, round: Round) -> None:
        self.rounds.append(round)
        if len(self.rounds) == self.workers:
            self._pass_on()

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        self._pass_on()
        super().finished(result, run_dir)

    def _pass_on(self) -> None:
        if not self.rounds:
            return
        rounds, self.rounds = self.rounds, []
        seconds = sum(round.seconds for round in rounds)
        names = rounds[-1].parts.keys() - {"idle"}  # of one report it says nothing: the others were at work meanwhile
        shares = {name: sum(r.parts[name] * r.seconds for r in rounds) / (seconds or 1.0) for name in sorted(names)}
        parts = {name: shares.get(name, max(0.0, 1 - sum(shares.values()))) for name in rounds[-1].parts}
        latest = {report.worker: report for round in rounds for report in round.point.reports}
        point = Point(list(latest.values()), [d for round in rounds for d in round.point.decisions])
        before, self.readies = self.readies, rounds[-1].step // self.ready_interval
        trained = sum(round.trained_steps for round in rounds)
        told = replace(
            rounds[-1],
            point=point,
            committed=self.readies > before,
            trained_steps=trained,
            seconds=seconds,
            parts=parts,
        )
        super().round_done(told)


class View(Silent):
    """What all views keep and say alike."""

    def __init__(self, config: RunConfig, place: str | None = None):
        self.config = config
        self.place = place
        self.tally = Tally()
        self.begun: float | None = None  # by time.monotonic
        self.simulated = 0.0  # seconds of virtual time, where the engine simulates
        self.spent: Counter[str] = Counter()  # seconds by part
        self.event = ""  # what evolution did last, and when

    def say(self, *lines: str) -> None:
        """Print lines as they are."""
        raise NotImplementedError

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        self.config = config
        self.tally, self.event = Tally(), ""
        self.tally.add(journal.decisions())
        if self.begun is None:  # else it starts again after a machine failure, which a note tells
            self.begun = time.monotonic()
            self.say(*opening(config, step, processes, self.place))

    def round_done(self, round: Round) -> None:
        self.tally.add(round.point.decisions)
        self.simulated += round.seconds if self.config.engine.name == "simulated" else 0.0
        self.spent.update({part: share * round.seconds for part, share in round.parts.items()})
        if sentence := last_event.in_a_sentence(round.point.decisions):
            self.event = f"step {round.step:,}: {sentence}"

    def note(self, text: str) -> None:
        self.say(f"! {text}")

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        self.close()
        seconds = None if self.begun is None else time.monotonic() - self.begun
        tensorboard, plays = "tensorboard" in self.config.logger, bool(self.config.settings.get("env"))
        window, simulated, place = window_of(self.config), self.simulated, self.place
        self.say(*closing(result, run_dir, seconds, tensorboard, simulated, plays, place, window, self.config))

    def elapsed(self) -> float:
        """Seconds since the start; of a simulation those that it simulated."""
        return self.simulated or (0.0 if self.begun is None else time.monotonic() - self.begun)

    def counts(self, round: Round) -> str:
        """What evolution has done so far: 8 copies; evaluators: 2 running, 1 succeeded, 4 stopped."""
        parts = [] if self.config.algo.name == "random" else [count_text(self.tally.copies, "copy", "copies")]
        if self.config.evaluators:
            running, stopped = running_evaluators(round.state), self.tally.stops.total()
            parts.append(f"evaluators: {running} running, {self.tally.successes} succeeded, {stopped} stopped")
        return "; ".join(parts)

    def times(self) -> str:
        """Shares of the time spent: train 91%, evaluate 5%."""
        total = sum(self.spent.values()) or 1.0
        return ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in self.spent.items())


class LineView(View):
    """One line a round under a header; at readies hyperparameters, what evolution did and times."""

    def __init__(self, config: RunConfig, out: TextIO | None = None, place: str | None = None):
        super().__init__(config, place)
        self.out = None if out is None else Lasting(out, "standard output")
        self.rounds = 0
        self.shown: dict[int, list[str]] = {}  # population -> what was last printed about its hyperparameters

    def say(self, *lines: str) -> None:
        say(*"\n".join(lines).split("\n"), out=self.out)  # one that is folded is several

    def round_done(self, round: Round) -> None:
        super().round_done(round)
        groups = summaries(round.state, round.point.reports)
        if self.rounds % HEADER_EVERY == 0:
            self.say(self._header(groups))
        self.rounds += 1
        self.say(self._line(round, groups))
        if round.committed:
            self._say_ready(round, groups)

    def _say_ready(self, round: Round, groups: Sequence[Summary]) -> None:
        for group in groups:
            values = group.hyperparameters.items()
            lines = folded(
                f"  P{group.population}  ", [" ".join([n, *filter(None, spread_text(v))]) for n, v in values]
            )
            if lines and self.shown.get(group.population) != lines:  # random search never changes them
                self.say(*lines)
            self.shown[group.population] = lines
        for name, text in (("last event", self.event), ("so far", self.counts(round)), ("time", self.times())):
            if text:
                self.say(*told(name, text))
        self.event = ""
        self.spent.clear()

    def _header(self, groups: Sequence[Summary]) -> str:
        cells = [f"{'step':>{self._step_width()}}", f"{'steps/s':>9}", f"{'elapsed':>8}", f"{'left':>8}"]
        cells += [f"{f'P{group.population} best':>8} {'median':>8}" for group in groups]
        return "  ".join(cells)

    def _line(self, round: Round, groups: Sequence[Summary]) -> str:
        cells = [f"{round.step:>{self._step_width()},}", f"{speed(round):>9,.0f}"]
        cells += [f"{duration_text(self.elapsed()):>8}", f"{duration_text(round.eta_seconds):>8}"]
        cells += [f"{objective_text(group.best):>8} {objective_text(group.median):>8}" for group in groups]
        return "  ".join(cells)

    def _step_width(self) -> int:
        return max(len("step"), len(f"{self.config.steps:,}"))


def speed(round: Round) -> float:
    """Steps a second of all workers together."""
    return round.trained_steps / round.seconds if round.seconds > 0 else 0.0

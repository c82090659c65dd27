"""What a person sees of a run: a live table where there is a terminal, one aligned line a round otherwise."""

from __future__ import annotations

import math
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from firerl.base.terminal import Lasting, clean, clean_lines, say
from firerl.config.run_config import RunConfig, window_of
from firerl.evolution import lineage
from firerl.session.watching import what_next
from firerl.session.watching.progress import Observer, Round, Silent, Together
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal
from firerl.storage.remote.address import is_remote
from firerl.summary import figure_names as called
from firerl.summary.in_words import count_text, duration_text, objective_text, spread_text, value_text
from firerl.summary.tally import Summary, Tally, running_evaluators, summaries

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

WIDTH = 158  # of a line that no terminal folds for us
HEADER_EVERY = 20  # lines
SCHEDULE_ROWS = 10
REDRAW_SECONDS = 0.1  # a picture takes milliseconds, and so does a round of a small learner


def make_view(config: RunConfig, place: str | None = None) -> Observer:
    """What suits stdout: a live table on a terminal, lines otherwise."""
    view = TableView(config, place=place) if sys.stdout and sys.stdout.isatty() else LineView(config, place=place)
    return view if config.sync else Gathered(view, sum(config.sizes) + config.evaluators, config.ready_interval)


def opening(config: RunConfig, step: int, processes: int, place: str | None = None) -> list[str]:
    """The block before the start; ``place``: what to call the run folder, as typed, or its address."""
    groups = " + ".join(f"P{i} {size}" for i, size in enumerate(config.sizes, start=1))
    workers = sum(config.sizes) + config.evaluators
    evaluators = f", {count_text(config.evaluators, 'evaluator', 'evaluators')}" if config.evaluators else ""
    simulated = "simulated " if config.engine.name == "simulated" else ""  # of what is learned nothing but the time
    hosts = count_text(processes, f"{simulated}process", f"{simulated}processes")
    if config.engine.devices[0] not in ("auto", "cpu"):
        hosts += f" on {', '.join(config.engine.devices)}"
    lines = [
        f"{config.task}: algorithm {config.algo.name}, learner {config.learner}, seed {config.seed}",
        f"  population  {groups} members{evaluators}: {workers} workers in {hosts}",
        f"  steps       {config.steps:,} per worker, {config.steps * workers:,} in all",
        f"  intervals   evaluation every {config.eval_interval:,} steps, ready every {config.ready_interval:,}",
        *([] if config.sync else [f"  sync=false  nobody waits; a line every {workers} reports, at the mean step"]),
        f"  figures     best, median: of {called.LAST}s; a member's rank: {called.ranked_by(window_of(config))}",
        f"  run folder  {place or config.run_dir}",
    ]
    if place and is_remote(place):
        lines.append(f"  works in    {config.run_dir}")
    later = what_next.at_the_start(config, place or config.run_dir)
    lines += [f"  {'later' if i == 0 else '':10}  {line}" for i, line in enumerate(later)]
    if step:
        lines.append(f"  resumed     at step {step:,}")
    virtual = "simulated: all times and speeds below are virtual; " if simulated else ""
    return [*lines, f"  time        {virtual}estimated after the first round", ""]


def closing(
    result: Mapping[str, Any],
    run_dir: Path,
    seconds: float | None,
    tensorboard: bool,
    simulated: float = 0.0,
    plays: bool = True,
    place: str | None = None,
    window: int = 1,
    config: RunConfig | None = None,
) -> list[str]:
    """The block at the end: the winner, its schedule, what evolution did, what to type next.

    ``seconds`` have really passed; ``simulated`` are those of a simulation. ``plays``: there is something to play;
    ``place``: what to call the run folder, as typed, or its address; ``window``: of evaluations that rank;
    ``config``: of the run, which says what code the commands must be given again.
    """
    stopped = result.get("stopped", "steps")
    why = "" if stopped == "steps" else f" by {stopped}"
    steps, duration = result.get("steps", 0), "" if seconds is None else f" in {duration_text(seconds)}"
    if simulated:
        duration = f" in simulated {duration_text(simulated)} (simulating took{duration.removeprefix(' in')})"
    lines = ["", f"{result.get('task')}: ended at step {steps:,}{why}{duration}", *_leading(result, plays, window)]
    fresh = ", ".join(f"{name} {objective_text(value)}" for name, value in (result.get("fresh") or {}).items())
    folded = textwrap.wrap(fresh, WIDTH - 14)
    lines += [f"  {'fresh' if i == 0 else '':10}  {row}" for i, row in enumerate(folded)]
    lines += [f"  {'schedule' if i == 0 else '':10}  {row}" for i, row in enumerate(_schedule(result))]
    if result.get("algo") != "random":
        lines.append(f"  evolution   {_evolution(result.get('evolution') or {})}")
    commands = what_next.at_the_end(result, run_dir, place, tensorboard, plays, config)
    return lines + [f"  {'try next' if i == 0 else '':10}  {command}" for i, command in enumerate(commands)]


def _leading(result: Mapping[str, Any], plays: bool, window: int) -> list[str]:
    """The winner; where nobody was ranked, that there is none, and the usual mend."""
    if result.get("objective") is not None or result.get("best_ever") is not None:
        ranked = f"{called.ranked_by(window)} {objective_text(result.get('objective'))}"
        best = called.headline(result.get("fresh"), plays)
        winner = f"  winner      worker {result.get('worker')}: "
        return (
            [f"{winner}{best[0]} {objective_text(best[1])}", f"  ranked by   {ranked}"] if best else [winner + ranked]
        )
    lines = [
        f"  no rank     nobody had an objective at a ready, so nobody could be chosen: best.pt holds worker "
        f"{result.get('worker')}'s weights"
    ]
    mend = "an episode must end in each environment: env.kwargs.max_episode_steps=<steps>, learner.num_envs=<fewer> or "
    return [*lines, f"  {'':10}  {mend}a longer ready_interval (docs/how-to/objective.md)"] if plays else lines


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


class _View(Silent):
    """What both views keep and say alike."""

    def __init__(self, config: RunConfig, place: str | None = None):
        self.config = config
        self.place = place
        self.tally = Tally()
        self.begun: float | None = None  # by time.monotonic
        self.simulated = 0.0  # seconds of virtual time, where the engine simulates
        self.spent: Counter[str] = Counter()  # seconds by part

    def say(self, *lines: str) -> None:
        """Print lines as they are."""
        raise NotImplementedError

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        self.config = config
        self.tally = Tally()
        self.tally.add(journal.decisions())
        if self.begun is None:  # else it starts again after a machine failure, which a note tells
            self.begun = time.monotonic()
            self.say(*opening(config, step, processes, self.place))

    def round_done(self, round: Round) -> None:
        self.tally.add(round.point.decisions)
        self.simulated += round.seconds if self.config.engine.name == "simulated" else 0.0
        self.spent.update({part: share * round.seconds for part, share in round.parts.items()})

    def note(self, text: str) -> None:
        self.say(f"! {text}")

    def finished(self, result: Mapping[str, Any], run_dir: Path) -> None:
        self.close()
        seconds = None if self.begun is None else time.monotonic() - self.begun
        tensorboard, plays = "tensorboard" in self.config.logger, bool(self.config.settings.get("env"))
        window, simulated, place = window_of(self.config), self.simulated, self.place
        self.say(*closing(result, run_dir, seconds, tensorboard, simulated, plays, place, window, self.config))

    def times(self) -> str:
        """Shares of the time spent: train 91%, evaluate 5%."""
        total = sum(self.spent.values()) or 1.0
        return "time " + ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in self.spent.items())


class LineView(_View):
    """One line a round under a header; hyperparameters and times at readies."""

    def __init__(self, config: RunConfig, out: TextIO | None = None, place: str | None = None):
        super().__init__(config, place)
        self.out = None if out is None else Lasting(out, "standard output")
        self.rounds = 0
        self.shown: dict[int, str] = {}  # population -> the line that was last printed about its hyperparameters

    def say(self, *lines: str) -> None:
        say(*"\n".join(lines).split("\n"), out=self.out)  # one that is folded is several

    def round_done(self, round: Round) -> None:
        super().round_done(round)
        groups = summaries(round.state, round.point.reports)
        if self.rounds == 0:
            speed = f"{_speed(round):,.0f} steps/s of all workers"
            self.say(f"  estimated time {duration_text(round.seconds + round.eta_seconds)} at {speed}", "")
        if self.rounds % HEADER_EVERY == 0:
            self.say(self._header(groups))
        self.rounds += 1
        self.say(self._line(round, groups))
        if round.committed:
            self._say_ready(groups)

    def _say_ready(self, groups: Sequence[Summary]) -> None:
        for group in groups:
            text = _folded(f"  P{group.population}", group.hyperparameters)
            if text and self.shown.get(group.population) != text:  # random search never changes them
                self.say(text)
            self.shown[group.population] = text
        self.say(f"  {self.times()}")
        self.spent.clear()

    def _header(self, groups: Sequence[Summary]) -> str:
        cells = [f"{'step':>{self._step_width()}}", f"{'steps/s':>9}", f"{'ETA':>8}"]
        cells += [f"{f'P{group.population} best':>8} {'median':>8}" for group in groups]
        cells += [f"{'copies':>6}"] if self.config.algo.name != "random" else []
        cells += ["evaluators running succeeded stopped"] if self.config.evaluators else []
        return "  ".join(cells)

    def _line(self, round: Round, groups: Sequence[Summary]) -> str:
        step = f"{round.step:,}/{self.config.steps:,}"
        cells = [f"{step:>{self._step_width()}}", f"{_speed(round):>9,.0f}", f"{duration_text(round.eta_seconds):>8}"]
        cells += [f"{objective_text(group.best):>8} {objective_text(group.median):>8}" for group in groups]
        cells += [f"{self.tally.copies:>6}"] if self.config.algo.name != "random" else []
        if self.config.evaluators:
            running, stopped = running_evaluators(round.state), self.tally.stops.total()
            cells.append(f"{running:>18} {self.tally.successes:>9} {stopped:>7}")
        return "  ".join(cells)

    def _step_width(self) -> int:
        return 2 * len(f"{self.config.steps:,}") + 1


class TableView(_View):
    """The same as a table that stays in place."""

    def __init__(self, config: RunConfig, console: Console | None = None, place: str | None = None):
        from rich.console import Console

        super().__init__(config, place)
        self.console = console or Console(highlight=False)
        self.round: Round | None = None
        self.step = 0
        self.progress = (0, 0)  # workers done, of
        self.live: Live | None = None
        self.drawn = -math.inf  # by time.monotonic

    def say(self, *lines: str) -> None:
        # As they are: rich would read [1e-4..9e-4] as markup.
        self.console.print(clean_lines("\n".join(lines)), markup=False, highlight=False, soft_wrap=True)

    def started(self, config: RunConfig, journal: Journal, step: int, processes: int) -> None:
        from rich.live import Live

        super().started(config, journal, step, processes)
        self.step, self.progress = step, (0, 0)
        if self.live is None:  # without a thread of its own, since the engine may fork
            self.live = Live(self._picture(), console=self.console, auto_refresh=False)
            self.live.start()

    def worker_done(self, done: int, of: int) -> None:
        self.progress = (done, of)
        self._draw()

    def round_done(self, round: Round) -> None:
        super().round_done(round)
        self.round, self.step, self.progress = round, round.step, (0, 0)
        self._draw()

    def close(self) -> None:
        if self.live is not None:
            self.drawn = -math.inf
            self._draw()
            self.live.stop()
            self.live = None

    def _draw(self) -> None:
        if self.live is not None and time.monotonic() - self.drawn >= REDRAW_SECONDS:
            self.live.update(self._picture(), refresh=True)
            self.drawn = time.monotonic()

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        progress = Text(self._progress())
        if self.round is None:
            return progress
        table = _table(summaries(self.round.state, self.round.point.reports))
        counts = [] if self.config.algo.name == "random" else [count_text(self.tally.copies, "copy", "copies")]
        if self.config.evaluators:
            running, stopped = running_evaluators(self.round.state), self.tally.stops.total()
            counts.append(f"evaluators: {running} running, {self.tally.successes} succeeded, {stopped} stopped")
        return Group(progress, table, Text("   ".join(counts)), Text(self.times()))

    def _progress(self) -> str:
        step = f"step {self.step:,} of {self.config.steps:,} ({self.step / self.config.steps:.0%})"
        done, of = self.progress
        within = f"   {done} of {of} workers done" if of else ""
        if self.round is None:
            return f"{step}{within}   time: estimated after the first round"
        return f"{step}   {_speed(self.round):,.0f} steps/s   ETA {duration_text(self.round.eta_seconds)}{within}"


def _table(groups: Sequence[Summary]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    names = list(dict.fromkeys(name for group in groups for name in group.hyperparameters))
    for title in ("", "best", "median", *names):
        table.add_column(Text(clean(title)), justify="right")
    for group in groups:
        cells = [f"P{group.population}", objective_text(group.best), objective_text(group.median)]
        cells += ["\n".join(map(clean, spread_text(group.hyperparameters.get(name, [])))) for name in names]
        table.add_row(*map(Text, cells))
    return table


def _folded(head: str, hyperparameters: Mapping[str, Sequence[Any]]) -> str:
    """Every hyperparameter's median and range, on as many lines as it takes; "" where there is none."""
    lines: list[str] = []
    for name, values in hyperparameters.items():
        text = " ".join([name, *filter(None, spread_text(values))])
        if lines and len(lines[-1]) + 2 + len(text) <= WIDTH:
            lines[-1] += f"  {text}"
        else:
            lines.append(f"{' ' * len(head) if lines else head}  {text}")
    return "\n".join(lines)


def _schedule(result: Mapping[str, Any]) -> list[str]:
    """The winner's hyperparameters over its own steps, a line for every change, the middle left out if it is long."""
    rows = lineage.schedule(lineage.Segment(**segment) for segment in result.get("lineage") or [])
    lines = []
    for row in rows:
        values = row["hyperparameters"]
        assert isinstance(values, Mapping)
        span = f"{row['from']:,}..{row['to']:,}"
        lines.append(f"{span:>19}  " + "  ".join(f"{name} {value_text(value)}" for name, value in values.items()))
    if len(lines) > SCHEDULE_ROWS:
        tail = SCHEDULE_ROWS // 2
        head = SCHEDULE_ROWS - tail
        lines[head:-tail] = [f"{'...':>19}  {len(lines) - SCHEDULE_ROWS} more in schedule.yaml"]
    return lines


def _evolution(counts: Mapping[str, Any]) -> str:
    text = count_text(counts.get("copies", 0), "copy", "copies")
    if counts.get("evaluator_starts"):
        stops = counts.get("evaluator_stops") or {}
        reasons = ", ".join(f"{reason} {count}" for reason, count in stops.items())
        successes = count_text(counts.get("evaluator_successes", 0), "success", "successes")
        text += f"; evaluators: {count_text(counts['evaluator_starts'], 'start', 'starts')}, {successes}, "
        text += f"{count_text(sum(stops.values()), 'stop', 'stops')}" + (f" ({reasons})" if reasons else "")
    return text


def _speed(round: Round) -> float:
    return round.trained_steps / round.seconds if round.seconds > 0 else 0.0

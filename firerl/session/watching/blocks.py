"""The blocks of text around a run: what is printed before it starts and after it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firerl.config.run_config import RunConfig, window_of
from firerl.evolution import lineage
from firerl.session.watching import what_next
from firerl.storage.remote.address import is_remote
from firerl.summary import figure_names as called
from firerl.summary.in_words import count_text, duration_text, objective_text, value_text

WIDTH = 80  # of a terminal that nobody has widened
SCHEDULE_ROWS = 10


def folded(head: str, items: Sequence[str], between: str = "  ", used: int = 0) -> list[str]:
    """``items`` behind ``head`` on as many lines as it takes; no item is cut, though one may be wider than a line.

    ``used`` columns are somebody else's.
    """
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(between) + len(item) <= WIDTH - used:
            lines[-1] += between + item
        else:
            lines.append((" " * len(head) if lines else head) + item)
    return lines


def told(name: str, text: str) -> list[str]:
    """A line of a block, its words folded below each other."""
    return folded(f"  {name:10}  ", text.split(" "), " ")


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
        *folded("  population  ", [f"{groups} members{evaluators}:", f"{workers} workers in {hosts}"], " "),
        f"  steps       {config.steps:,} per worker, {config.steps * workers:,} in all",
        *told("intervals", f"evaluation every {config.eval_interval:,} steps, ready every {config.ready_interval:,}"),
        *([] if config.sync else [f"  sync=false  nobody waits; a line every {workers} reports, at the mean step"]),
        f"  figures     best and median are of {called.LAST}s",
        f"              a member's rank is by its {called.ranked_by(window_of(config))}",
        f"  run folder  {place or config.run_dir}",
    ]
    if place and is_remote(place):
        lines.append(f"  works in    {config.run_dir}")
    later = what_next.at_the_start(config, place or config.run_dir)
    lines += [f"  {'later' if i == 0 else '':10}  {line}" for i, line in enumerate(later)]
    if step:
        at = f"at step {step:,} of {config.steps:,}"
        lines += told("resumed", f"{at}, where the last generation was saved" if config.sync else f"{at}, on average")
    return [*lines, *(["  time        simulated: all times and speeds below are virtual"] if simulated else []), ""]


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
    lines += told("fresh", fresh) if fresh else []
    lines += [f"  {'schedule' if i == 0 else '':10}  {row}" for i, row in enumerate(schedule_rows(result))]
    if result.get("algo") != "random":
        lines += told("evolution", _evolution(result.get("evolution") or {}))
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
    what = "nobody had an objective at a ready, so nobody could be chosen:"
    lines = told("no rank", f"{what} best.pt holds worker {result.get('worker')}'s weights")
    mend = "an episode must end in each environment: env.kwargs.max_episode_steps=<steps>, learner.num_envs=<fewer> or "
    return [*lines, *told("", f"{mend}a longer ready_interval (docs/how-to/objective.md)")] if plays else lines


def schedule_rows(result: Mapping[str, Any]) -> list[str]:
    """The winner's hyperparameters over its own steps, a row for every change, the middle left out if it is long."""
    rows = lineage.schedule(lineage.Segment(**segment) for segment in result.get("lineage") or [])
    spans = [f"{row['from']:,}..{row['to']:,}" for row in rows]
    width = max(map(len, spans), default=0)
    told_rows: list[list[str]] = []
    for span, row in zip(spans, rows, strict=True):
        values = row["hyperparameters"]
        assert isinstance(values, Mapping)
        told_rows.append(
            folded(
                f"{span:>{width}}  ", [f"{name} {value_text(value)}" for name, value in values.items()] or [""], used=14
            )
        )
    if len(told_rows) > SCHEDULE_ROWS:
        tail = SCHEDULE_ROWS // 2
        head = SCHEDULE_ROWS - tail
        told_rows[head:-tail] = [[f"{'...':>{width}}  {len(told_rows) - SCHEDULE_ROWS} more in schedule.yaml"]]
    return [line for lines in told_rows for line in lines]


def _evolution(counts: Mapping[str, Any]) -> str:
    text = count_text(counts.get("copies", 0), "copy", "copies")
    if counts.get("evaluator_starts"):
        stops = counts.get("evaluator_stops") or {}
        reasons = ", ".join(f"{reason} {count}" for reason, count in stops.items())
        successes = count_text(counts.get("evaluator_successes", 0), "success", "successes")
        text += f"; evaluators: {count_text(counts['evaluator_starts'], 'start', 'starts')}, {successes}, "
        text += f"{count_text(sum(stops.values()), 'stop', 'stops')}" + (f" ({reasons})" if reasons else "")
    return text

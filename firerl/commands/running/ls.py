"""The runs below a folder, one a line: ``python -m firerl.ls runs/ [--sort best|age|task] [--json]``.

Works while runs go on. Nothing is locked or changed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, run_argument
from firerl.errors import SettingError

if TYPE_CHECKING:
    from firerl.insight.history.runs_below import Glance

FOLDER = "runs"
HEADS = ("run", "task", "algorithm", "state", "best", "steps", "age")
AGES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
ORDERS: dict[str, Callable[[Glance], Any]] = {
    "age": lambda run: -run.changed,
    "best": lambda run: math.inf if run.best is None or math.isnan(run.best) else -run.best,
    "task": lambda run: (run.task, run.algorithm),
}


def main(argv: Sequence[str] | None = None) -> int:
    """List the runs that the arguments ask for; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.ls",
        description="The runs below a folder. best is the best smoothed objective of a member of P1 at any ready so "
        "far, age is the time since the run was last written. The states are running, stopping and stopped (by "
        "firerl.stop), finished, interrupted (a resume goes on with it), died (no healthy member is left in P1) and "
        "damaged (firerl.doctor says more).",
    )
    parser.add_argument("folder", nargs="?", type=run_argument, default=Path(FOLDER), help=f"where they lie ({FOLDER})")
    told = "best: the highest first; age: the latest first (age); task: by name, and of a task by algorithm"
    parser.add_argument("--sort", choices=sorted(ORDERS), default="age", help=told)
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    arguments = parser.parse_args(argv)
    folder = check_folder(arguments.folder)

    from firerl.insight.history.runs_below import below, glance

    runs = sorted(map(glance, below(folder)), key=ORDERS[arguments.sort])  # of equals in the order of their names
    if arguments.json:
        say(*json.dumps(list(map(as_plain, runs)), indent=1).split("\n"))
    elif not runs:
        say(f"{folder} holds no run")
    else:
        say(*table(runs, folder, time.time()))
    return 0


def check_folder(folder: Path | str) -> Path:
    """A folder of this machine, for runs to be looked for. Raises SettingError."""
    if not isinstance(folder, Path):
        raise SettingError(f"{folder}: must be a folder of this machine; python -m firerl.explain reads one address")
    if not folder.is_dir():
        raise SettingError(f"{folder}: there is no such folder")
    return folder


def as_plain(run: Glance) -> dict[str, Any]:
    """A run as JSON has it."""
    best = run.best if run.best is not None and math.isfinite(run.best) else None  # JSON has no NaN
    return {**dataclasses.asdict(run), "run_dir": str(run.run_dir), "best": best}


def table(runs: Sequence[Glance], folder: Path, now: float) -> list[str]:
    """One line a run, then what is wrong with those that are damaged."""
    from firerl.summary.in_words import number

    rows = [HEADS]
    for run in runs:
        best = "" if run.best is None else number(run.best, 4)
        steps = f"{run.step:,} of {run.steps:,}" if run.steps else ""
        name = str(run.run_dir.relative_to(folder)) if run.run_dir != folder else str(folder)
        rows.append((name, run.task, run.algorithm, run.state, best, steps, age(now - run.changed)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[4:], widths[4:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines + [f"{run.run_dir}: {run.why}" for run in runs if run.why]


def age(seconds: float) -> str:
    """``3 d``, ``2 h``: how long ago, in the largest unit of which it is one."""
    for length, unit in AGES:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "0 s"

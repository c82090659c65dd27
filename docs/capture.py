"""Draw a finished run as its terminal showed it: ``python docs/capture.py <run_dir> docs/pictures/humanoid.svg``."""

from __future__ import annotations

import argparse
import io
import json
import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from firerl.config.run_config import from_plain
from firerl.session.watching.blocks import closing, opening
from firerl.session.watching.live import TerminalView
from firerl.session.watching.progress import Round
from firerl.storage.generation import Point
from firerl.storage.journal.journal_db import Journal

SHOWN = Path("runs/humanoid")  # the run folder in the picture


def main() -> None:
    """Replay the last round of the journal into a recording terminal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()

    journal = Journal.open(arguments.run_dir)
    config = replace(from_plain(journal.config()), run_dir=str(SHOWN))
    points, timings = list(journal.points()), journal.timings()
    console = Console(record=True, width=118, file=io.StringIO(), force_terminal=True)
    view = TerminalView(config, console)
    processes = int(timings[-1]["processes"])
    seconds = sum(timing["seconds"] for timing in timings)
    for line in opening(config, 0, processes)[:-1]:
        console.print(line, markup=False, highlight=False)
    for point in points[:-1]:
        view.tally.add(point.decisions)
    view.round_done(last_round(journal, points[-1], seconds / len(points), timings))
    console.print(view.picture())
    result = json.loads((arguments.run_dir / "result.json").read_text())
    for line in closing(result, SHOWN, seconds, tensorboard=True):
        console.print(line, markup=False, highlight=False)
    picture = console.export_svg(title="python -m firerl.launch env=" + config.task)
    # The fonts that rich names lie on a server; a picture in a repository should not ask one.
    arguments.picture.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def last_round(journal: Journal, point: Point, seconds: float, timings: list[dict[str, float]]) -> Round:
    """The last evaluation point, with the mean speed and the shares of the whole run."""
    config = from_plain(journal.config())
    whole = sum(timing["seconds"] * timing["processes"] for timing in timings)
    parts = {
        part: sum(t.get(part, 0.0) for t in timings) / whole for part in ("train", "evaluate", "decide", "copy", "save")
    }
    parts["idle"] = 1 - sum(parts.values())
    state = journal.last().state
    trained = len(point.reports) * config.eval_interval
    return Round(config.steps, state, point, True, trained, seconds, parts, 0.0)


if __name__ == "__main__":
    main()

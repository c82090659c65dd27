"""Compare runs: ``python -m firerl.compare <run_dir> <run_dir> ... [--json FILE|-] [--csv FILE|-] [--plot FILE]``.

Runs that differ in their seed alone are one group. All are compared when their whole populations, evaluators included,
have done the same number of steps: the most that every run has reached, finished or not. Runs of different tasks,
learners, environments, evaluation intervals or lengths are refused, unless ``--allow`` says otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from firerl.base.terminal import overwrite, say
from firerl.commands import Parser, guarded, path_argument, run_argument
from firerl.errors import SettingError

if TYPE_CHECKING:
    from firerl.insight.compare.comparison import Comparison, Run

STDOUT = "-"
PLOT = "compare.png"
SLOW = 1.0  # seconds after which progress is shown


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the runs that the arguments name; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    plot = None if options.no_plot else options.plot or Path(PLOT)
    _check_outputs(options.json, options.csv, plot)
    folders = list(run_folders(options.run_dirs))

    from firerl.insight.compare.comparison import compare
    from firerl.insight.compare.comparison_text import as_csv, as_json, text

    runs = [read_run(folder) for folder in _with_progress(folders)]
    comparison = compare(runs, options.allow)
    made = {name: make(comparison) for name, make in ((options.json, as_json), (options.csv, as_csv)) if name}
    files = {Path(name): data.encode() for name, data in made.items() if name != STDOUT}
    if plot:
        from firerl.insight.compare.comparison_plot import picture

        files[plot] = picture(comparison, {run.name: run.trajectory for run in runs}, plot.suffix[1:].lower())
    shown = made[STDOUT] if STDOUT in made else "\n".join([text(comparison), *_more(comparison, argv, options), "", ""])
    _write(files)
    _print(shown, files, STDOUT in made)
    return 0


def _more(comparison: Comparison, argv: Sequence[str] | None, options: argparse.Namespace) -> list[str]:
    """What to paste where there are too few seeds."""
    from firerl.insight.compare.comparison import FEW
    from firerl.insight.compare.more_seeds import lines

    typed = list(sys.argv[1:] if argv is None else argv)
    count = len(options.run_dirs)
    at = next(i for i in range(len(typed)) if list(map(run_argument, typed[i : i + count])) == options.run_dirs)
    found = lines(comparison, typed, at, list(map(str, options.run_dirs)))
    head = ["", f"These lines train the missing seeds ({FEW} of each group can decide) and compare again:"]
    return [*head, *found] if found else []


def _file(text: str) -> str:
    """A file as a parser's argument; - stands for stdout."""
    return str(path_argument(text))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m firerl.compare",
        description="Compare runs at equal steps of their whole populations, evaluators included. The tables have "
        "medians over the runs of each algorithm with 95 % bootstrap intervals, differences between runs of one seed "
        "with a sign-flip test, and the probability of improvement. A picture goes into a file. Unfinished runs may "
        "take part.",
    )
    told = "a run's folder, its address, or a folder that holds run folders"
    parser.add_argument("run_dirs", nargs="+", type=run_argument, metavar="run_dir", help=told)
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="SETTING",
        help="compare runs even if they differ in this setting: steps, eval_interval, learner.<setting>, or all of "
        "learner or env; it may be given several times",
    )
    parser.add_argument(
        "--json", type=_file, metavar="FILE", help="write everything as JSON; - prints it instead of the tables"
    )
    parser.add_argument(
        "--csv", type=_file, metavar="FILE", help="write one row for each run; - prints them instead of the tables"
    )
    drawn = parser.add_mutually_exclusive_group()
    where = f"where the picture goes: .png, .svg or .pdf (default: {PLOT})"
    drawn.add_argument("--plot", type=path_argument, metavar="FILE", help=where)
    drawn.add_argument("--no-plot", action="store_true", help="draw no picture")
    return parser


def run_folders(given: Sequence[str]) -> Iterator[Path | str]:
    """The run folders; one without a journal that holds run folders (``seed=[0, 1]``) stands for these; an address
    is left as it is."""
    from firerl.storage.remote.address import is_remote

    for name in given:
        if is_remote(name):
            yield name
            continue
        folder = Path(name)
        inside = sorted(path.parent for path in folder.glob("*/journal.sqlite"))
        if (folder / "journal.sqlite").exists() or not inside:
            yield folder
        else:
            yield from sorted(inside, key=lambda path: (len(path.name), path.name))  # seed-2 before seed-10


def read_run(run_dir: Path | str) -> Run:
    """A run as it is at this moment. Raises RunFolderError where there is none, or it is damaged."""
    from contextlib import closing

    from firerl.insight.compare.comparison import Run
    from firerl.insight.history.history import read, reading
    from firerl.insight.history.trajectory import trajectory
    from firerl.storage.journal.journal_db import Journal
    from firerl.storage.remote.reading import local

    folder = local(run_dir)
    with closing(Journal.open(folder)) as journal, reading(folder):
        *_, (_, _, last_hash) = journal.hashes()  # first: a run that goes on may end meanwhile
        config, history = read(journal)
        path = trajectory(config, history)
        return Run(str(run_dir), config, path, history.step, journal.result(last_hash))


def _check_outputs(json: str | None, csv: str | None, plot: Path | None) -> None:
    """Refuse, before anything is read, what cannot be written."""
    from firerl.base.disk import files as output

    if json == csv == STDOUT:
        raise SettingError("--json - and --csv - cannot both print: give one of them a file")
    given = {"--json": json, "--csv": csv}
    files = {option: Path(name) for option, name in given.items() if name is not None and name != STDOUT}
    if plot is not None:
        files["--plot"] = plot
    if len({path.resolve() for path in files.values()}) < len(files):
        raise SettingError(f"{' and '.join(files)} must be different files")
    for option, path in files.items():
        try:
            output.check_output(option, path, output.PICTURES if option == "--plot" else ())
        except SettingError as error:
            raise SettingError(f"{error}{'; --no-plot draws none' if option == '--plot' else ''}") from error


def _with_progress(folders: Sequence[Path | str]) -> Iterator[Path | str]:
    """The folders, with a line on a terminal once reading takes long."""
    began, shown = time.monotonic(), False
    for i, folder in enumerate(folders):
        if sys.stderr is not None and sys.stderr.isatty() and time.monotonic() - began > SLOW:
            shown = True
            overwrite(f"reading run {i + 1} of {len(folders)}")
        yield folder
    if shown:
        overwrite("")


def _write(outputs: Mapping[Path, bytes]) -> None:
    from firerl.base.disk import files

    for path, data in outputs.items():
        files.write_output(path, data)


def _print(shown: str, written: Iterable[Path], beside: bool) -> None:
    """What was asked for, and where files went: below the tables, but ``beside`` data."""
    say(*shown.split("\n"), end="")
    for path in written:
        say(f"wrote {path}", error=beside)

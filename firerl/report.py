"""One page about a run: ``python -m firerl.report <run_dir> [--out page.html] [--watch]``.

The page is a single file that needs no network. A run that goes on is read without disturbing it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from firerl.main import Parser, guarded, path_argument, run_argument
from firerl.storage import files
from firerl.terminal import say

NAME = "report.html"  # in the run folder
POLL_SECONDS = 1.0  # between two looks at the journal
REFRESH_SECONDS = 10  # after which a page that is watched loads itself anew
PAGE_BYTES = 10_000_000  # videos are put into the page while it stays below


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page that the arguments ask for; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.report",
        description="One page about a run, finished or not: curves, hyperparameters, lineage, evaluators, the winner. "
        "A single file that opens in any browser without a network.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    told = f"where to write it (<run_dir>/{NAME}; of a run at an address <name>-{NAME} here)"
    parser.add_argument("--out", type=path_argument, metavar="PAGE.html", help=told)
    parser.add_argument(
        "--watch", action="store_true", help="write it anew at every ready, until the run ends or Ctrl-C"
    )
    arguments = parser.parse_args(argv)

    from firerl.remote.address import name_of

    where = arguments.run_dir
    out = arguments.out or (where / NAME if isinstance(where, Path) else Path(f"{name_of(where)}-{NAME}"))
    if arguments.out:
        files.check_output("--out", out)
    if arguments.watch:
        watch(where, out)
    else:
        say(write(where, out))
    return 0


def write(run_dir: Path | str, out: Path, refresh: int | None = None) -> str:
    """Write the page of the run as it is now; returns a line that says so. Raises RunFolderError, FirerlError."""
    from firerl.insight.report.films import films
    from firerl.insight.report.page import page
    from firerl.insight.report.run import read
    from firerl.insight.report.words import state
    from firerl.remote.reading import local

    folder = local(run_dir)
    run = read(folder)
    bare = page(run, run_dir, refresh=refresh)
    shown = films(folder, out, PAGE_BYTES - len(bare.encode()))
    data = (page(run, run_dir, shown, refresh) if shown else bare).encode()
    files.write_output(out, data)
    return f"{run.config.task}, {state(run)}: {out} ({len(data) / 1e6:.1f} MB)"


def watch(run_dir: Path | str, out: Path) -> None:
    """Write the page at every new generation; at the end, also by Ctrl-C, once more without its refresh."""
    from firerl.insight.report.run import progress
    from firerl.remote.reading import local

    known: tuple[int, bool] | None = None
    try:
        while True:
            now = progress(local(run_dir))
            if now[1]:
                break
            if now != known:
                say(write(run_dir, out, REFRESH_SECONDS))
                known = now
            time.sleep(POLL_SECONDS if isinstance(run_dir, Path) else REFRESH_SECONDS)
    except KeyboardInterrupt:
        say(write(run_dir, out))
        raise
    say(write(run_dir, out))


if __name__ == "__main__":
    sys.exit(main())

"""One page about a run: ``python -m firerl.report <run_dir> [--out page.html] [--watch]``.

The page is a single file that needs no network. A run that goes on is read without disturbing it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from firerl.base.disk import files
from firerl.base.terminal import say
from firerl.commands import Parser, guarded, path_argument, run_argument
from firerl.insight.report.page_file import NAME, write

POLL_SECONDS = 1.0  # between two looks at the journal
REFRESH_SECONDS = 10  # after which a page that is watched loads itself anew


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

    from firerl.storage.remote.address import name_of

    where = arguments.run_dir
    out = arguments.out or (where / NAME if isinstance(where, Path) else Path(f"{name_of(where)}-{NAME}"))
    if arguments.out:
        files.check_output("--out", out)
    if arguments.watch:
        watch(where, out)
    else:
        say(write(where, out))
    return 0


def watch(run_dir: Path | str, out: Path) -> None:
    """Write the page at every new generation; at the end, also by Ctrl-C, once more without its refresh."""
    from firerl.insight.report.run import progress
    from firerl.storage.remote.reading import local

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

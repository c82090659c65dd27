"""End a run at its next ready: ``python -m firerl.stop <run_dir>``.

The run ends as if it had been as long: with its winner and its results. A resume goes on with it, and comes to the
result that it would have had without.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, run_argument
from firerl.errors import RunFolderError


def main(argv: Sequence[str] | None = None) -> int:
    """Ask the run that the arguments name to end; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.stop",
        description="Ask a run of this machine to end at its next ready (with sync=false: at its next report). It then "
        "has a winner and results, and a resume goes on with it as if it had never stopped.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    parser.add_argument("--local-dir", help="of a run at an address: the local_dir that it was given, if any")
    arguments = parser.parse_args(argv)
    from firerl.storage.lock import ask_to_stop
    from firerl.storage.remote.home import folder_of

    folder = folder_of(arguments.run_dir, arguments.local_dir)
    _check_running(arguments.run_dir, folder)
    say(_told(folder, str(arguments.run_dir), arguments.local_dir, ask_to_stop(folder)))
    return 0


def _check_running(run_dir: Path | str, folder: Path) -> None:
    """Raise RunFolderError, saying what is there instead, where nobody works on this run on this machine."""
    from firerl.insight.history.runs_below import below, glance
    from firerl.storage.lock import is_held
    from firerl.storage.remote import lease
    from firerl.storage.remote.address import Remote, is_remote

    if is_held(folder):
        return
    if is_remote(run_dir):
        holder = lease.holder(Remote(str(run_dir)))
        on = f"it is held by {holder}: type the same line there" if holder else "nobody holds it"
        raise RunFolderError(f"{run_dir} does not run on this machine; {on}")
    if (folder / "journal.sqlite").exists():
        raise RunFolderError(f"{run_dir} does not run: it is {glance(folder).state}")
    if inside := [str(path) for path in below(folder) if is_held(path)]:
        raise RunFolderError(f"{run_dir} is no run itself; in it run {', '.join(inside)}")
    raise RunFolderError(f"{run_dir} holds no run")


def _told(folder: Path, run_dir: str, local_dir: str | None, holder: str) -> str:
    """When the run will end, and how to go on with it."""
    from firerl.storage.journal.journal_db import Journal
    from firerl.storage.journal.recorded_config import config_of
    from firerl.storage.remote.upload import resume_line

    with closing(Journal.open(folder)) as journal:
        config, last = config_of(journal), journal.last()
    on = f"Go on with: {resume_line(run_dir, local_dir, config)}"
    if not config.sync:
        return f"{run_dir}: {holder} ends it at its next report. {on}"
    ready = min(last.step + config.ready_interval, config.steps)
    return f"{run_dir}: {holder} ends it at its next ready, step {ready:,} of {config.steps:,}. {on}"

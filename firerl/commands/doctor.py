"""Says what of a run is whole and what is damaged, and mends it: ``python -m firerl.doctor <run_dir> [--repair]``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, run_argument


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code: 0 whole or mended, 1 damaged, 2 nothing can be done."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.doctor",
        description="Say which files of a run are whole and which are damaged: the journal, its copy, the kept "
        "generations, the results. The exit code is 0 if all is whole and 1 if something is damaged.",
    )
    told = "the folder of the run, or its address; the run must not be going on"
    parser.add_argument("run_dir", type=run_argument, help=told)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="bring the journal back from its copy where it is damaged, and go back to the last generation that is "
        "whole; a resume then ends with the same result as if nothing had happened",
    )
    parser.add_argument("--local-dir", help="the local_dir that was given to a run at an address")
    arguments = parser.parse_args(argv)
    from firerl.insight.health.health import examine
    from firerl.storage.lock import refuse_if_held
    from firerl.storage.remote.reading import local
    from firerl.storage.remote.upload import resume_line

    run_dir = arguments.run_dir
    folder = local(run_dir, states=True)
    refuse_if_held(folder)
    health = examine(folder)
    say(f"{run_dir}: {'all is whole' if health.whole else 'damaged'}")
    say(*health.lines())
    resume = resume_line(run_dir, arguments.local_dir)
    if health.whole:
        return 0
    if arguments.repair:
        from firerl.insight.health.repair import repair
        from firerl.storage.remote.home import home

        with home(run_dir, arguments.local_dir, mend=True) as there:
            done = repair(there.folder) or ["the damaged files were replaced by those in the folder on this machine"]
            say("Repaired:", *(f"  {line}" for line in done))
            if there.mirror is not None:
                there.mirror()
        say(f"Go on with: {resume}")
        return 0
    if health.refusal or health.back_to is None:
        say(f"A repair cannot help: {health.refusal}")
    else:
        end = f"generation {health.back_to.number} (step {health.back_to.step:,})"
        say(f"A repair ends at {end}: python -m firerl.doctor {shlex.quote(str(run_dir))} --repair")
    return 1

"""Fresh networks with the schedule that a run found: ``python -m firerl.replay <run_dir> [seed=3] [seeds=5]``.

A thin layer over ``firerl.retrace``.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from firerl.base.settings import convert
from firerl.base.terminal import say
from firerl.commands import Parser, guarded, run_argument
from firerl.errors import unknown

PATHS = ("schedule", "out")
SETTINGS = (
    "seed",
    "seeds",
    *PATHS,
    "engine",
    "engine.processes",
    "engine.devices",
    "engine.address",
    "init",
    "learner",
    "env",
    "data",
    "learner.model",
    "learner.module",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Retrace the run that the arguments name; returns the exit code."""
    return guarded(lambda: _main(argv), runs=True)


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.replay",
        description="Train fresh networks with the winner's schedule and look at them on data that the search never "
        "saw. The same line goes on with a replay that was interrupted.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    parser.add_argument("settings", nargs="*", metavar="<setting>=<value>", help="seed= (the run's plus 1), seeds= "
                        "(1) networks side by side, schedule=<file> (the run's schedule.yaml), out=<folder> "
                        "(<run_dir>-replay-seed<seed>; of a run at an address in runs/), engine=, engine.processes=, "
                        "engine.devices=; engine.address= and init= where the run has an address; learner=<dotted "
                        "path>, env=, data=, learner.model=<module:name> where they are of no installed "
                        "package")  # fmt: skip
    arguments = parser.parse_args(argv)
    options = read(arguments.settings)

    from firerl.config.named_code import settings_line
    from firerl.winner.retracing import retrace, table

    line = settings_line(f"python -m firerl.replay {shlex.join(sys.argv[1:] if argv is None else argv)}")
    result = retrace(arguments.run_dir, line=line, **options)
    say("", *table(result), f"kept in {result.run_dir}")
    return 0


def read(given: Sequence[str]) -> dict[str, Any]:
    """The arguments of ``firerl.retrace``. Raises SettingError."""
    from firerl.config.compose import read as compose_read
    from firerl.config.compose import split
    from firerl.config.learners import find_learner
    from firerl.config.named_code import import_named

    options: dict[str, Any] = {}
    for key, value in split(given):
        if key not in SETTINGS:
            raise unknown("setting", key, SETTINGS)
        if key == "learner":
            options[key] = find_learner(value)
        elif key in ("env", "data", "learner.model", "learner.module"):
            import_named(key, value)
        elif key in (*PATHS, "engine", "init"):
            options[key] = value
        elif key == "engine.address":
            options["address"] = value
        elif key == "engine.devices":
            options["devices"] = compose_read([f"{key}={value}"])["engine"]["devices"]
        else:
            group, _, name = key.rpartition(".")
            tree = compose_read([f"{key}={value}"])
            options[name] = convert(key, (tree[group] if group else tree)[name], int)
    return options

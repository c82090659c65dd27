"""The command that says what a run will take, before anybody pays: ``python -m firerl.plan env=Humanoid``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firerl import __version__
from firerl.base.paths import expanded
from firerl.base.terminal import overwrite, say
from firerl.commands import guarded
from firerl.config.request import SECTIONS, rounded_line
from firerl.config.run_config import RunConfig
from firerl.errors import SettingError, unknown

USAGE = """\
Say what a run will take (time, disk, memory) and how often its evaluators will find a better network. Some members of
the run train for some minutes in the real engine. Then the whole run is simulated. No run folder is made.

Usage: python -m firerl.plan [<launch's arguments>] [options]

  --minutes <number>  how long the members train (2 minutes; with --quick 0.3); more minutes give surer figures
  --probe <file>      keep what was measured in this file; if it exists already, use it and train nothing
  --quick             measure and simulate less; the figures are rougher
  --json              print one JSON object instead of tables
  --help, --version

Examples
  python -m firerl.plan env=Humanoid preset=paper22 engine.processes=64
  python -m firerl.plan env=Humanoid --probe humanoid.json
  python -m firerl.plan env=Humanoid --probe humanoid.json algo.max_eval_steps=180000   # takes seconds
"""
VALUED = ("--minutes", "--probe")
FLAGS = ("--json", "--quick", "--help", "-h", "--version")


@dataclass(frozen=True)
class Options:
    """What is not launch's."""

    minutes: float | None = None
    probe: Path | None = None
    json: bool = False
    quick: bool = False
    help: bool = False
    version: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _main(arguments))


def _main(arguments: list[str]) -> int:
    options, given = parse(arguments)
    if options.help or options.version:
        say(*(USAGE.rstrip().split("\n") if options.help else [f"firerl {__version__}"]))
        return 0
    config, seeds = _config(given)
    from firerl.insight.plan.prospect import prospect, table

    progress = _Progress()
    try:
        seconds = 60 * (options.minutes or (0.3 if options.quick else 2.0))
        found = prospect(config, seconds=seconds, kept=options.probe, quick=options.quick, say=progress)
    finally:
        progress.clear()
    say(*(json.dumps(found.to_plain(seeds), indent=1).split("\n") if options.json else table(found, seeds)))
    if found.unkept:
        raise SettingError(f"--probe {options.probe}: {found.unkept}")
    return 0


def parse(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The options, and what is launch's. Raises SettingError."""
    values: dict[str, Any] = {}
    given: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name in VALUED:
            if not equals:
                if not rest:
                    raise SettingError(f"{name} has no value")
                value = rest.pop(0)
            values[name.lstrip("-")] = _minutes(value) if name == "--minutes" else _path(value)
        elif argument in FLAGS:
            values["help" if argument == "-h" else argument.lstrip("-")] = True
        elif argument.startswith("-"):
            raise unknown("option", argument, (*VALUED, *FLAGS))
        else:
            given.append(argument)
    return Options(**values), given


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise SettingError(f"--minutes {text}: must be a number > 0")
    return minutes


def _path(text: str) -> Path:
    path = Path(expanded(text))
    folder = path.absolute().parent
    if not text or not folder.is_dir() or (path.exists() and not path.is_file()):
        raise SettingError(f"--probe {text}: must be a file, or a new one in a folder that exists")
    if not path.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"--probe {text}: the folder {folder} cannot be written")
    return path


def _config(given: list[str]) -> tuple[RunConfig, int]:
    """The run to plan, the first of so many seeds."""
    from firerl.commands.launch import configs_of
    from firerl.config.compose import FILE, compose, split

    for argument in split(given):
        if argument.key == "resume":
            raise SettingError("resume=: firerl.plan plans a new run; leave resume= out")
        if argument.key.partition(".")[0] not in (*SECTIONS, FILE):
            raise unknown("setting", argument.key, (*SECTIONS, FILE))
    tree = compose(given)
    configs = configs_of(tree)
    if line := rounded_line(tree.get("steps"), configs[0]):
        say(line, error=True)
    if configs[0].engine.name == "simulated":
        raise SettingError(
            "engine=simulated: firerl.plan simulates a real run itself; give engine=local or engine=inline"
        )
    if not configs[0].sync:
        raise SettingError("sync=false: firerl.plan knows only runs whose workers wait for each other; leave it out")
    return configs[0], len(configs)


class _Progress:
    """One line on a terminal, overwritten; nothing elsewhere but what is being done."""

    def __init__(self) -> None:
        self.live = sys.stderr is not None and sys.stderr.isatty()
        self.shown = ""

    def __call__(self, text: str) -> None:
        if self.live:
            overwrite(text)
        elif text.split()[0] != self.shown:
            self.shown = text.split()[0]  # once for each kind of work
            say(text, error=True)

    def clear(self) -> None:
        if self.live:
            overwrite("")

"""The entry point ``firerl <command> ...``, which equals ``python -m firerl.<command> ...``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from firerl import __version__
from firerl.base import terminal
from firerl.base.paths import expanded
from firerl.base.terminal import say
from firerl.errors import FirerlError, PopulationDied, SettingError, reason, unknown

COMMANDS = {
    "plan": "say what a run will cost and what its evaluators can find, before it starts",
    "launch": "start or resume a run",
    "stop": "end a run at its next ready; a resume goes on with it",
    "ls": "list the runs below a folder",
    "watch": "show the runs below a folder on one page, live",
    "journal": "print what happened in a run, one event a line",
    "explain": "tell a run in sentences, draw a verdict, verify the journal",
    "report": "write one page about a run, with figures",
    "compare": "compare runs at equal steps: medians, differences, a picture",
    "play": "let the winner of a run play episodes",
    "replay": "train fresh networks with the schedule that a run found",
    "export": "write the winner's network as an ONNX file",
    "doctor": "say which files of a run are whole, and mend them",
    "check": "try whether a learner keeps its contract",
}
FOLDERS = {"ls": "running.", "stop": "running.", "watch": "running."}  # of commands that lie in one
INTERRUPTED = 130  # as shells count a Ctrl-C


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all of firerl's."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; {self.prog} --help says more")


def path_argument(text: str) -> Path:
    """A path as a parser's argument, ``~`` expanded."""
    try:
        return Path(expanded(text))
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run_argument(text: str) -> Path | str:
    """The folder of a run as a parser's argument, ``~`` expanded; an address as it is."""
    from firerl.storage.remote.address import is_remote

    return text if is_remote(text) else path_argument(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else "--help"
    if command in ("--help", "-h"):
        say("Usage: firerl <command> ...    (firerl <command> --help says more)", "")
        say(*(f"  {name:9}{text}" for name, text in COMMANDS.items()))
        say("", 'eval "$(firerl --completion bash)" lets the Tab key complete commands and settings; also zsh, fish')
        return 0
    if command == "--version":
        say(f"firerl {__version__}")
        return 0
    if command == "--completion":
        from firerl.commands.shell.scripts import script

        say(*script(" ".join(arguments[1:])).split("\n"))
        return 0
    if command == "--complete":  # what the shell's script asks
        from firerl.commands.shell.offers import offers

        if found := offers(" ".join(arguments[1:])):
            say(*found)
        return 0
    if command not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    code: int = importlib.import_module(f"firerl.commands.{FOLDERS.get(command, '')}{command}").main(arguments[1:])
    return code


def guarded(action: Callable[[], int], runs: bool = False) -> int:
    """``action``'s exit code; what a person can mend becomes one line and exit code 2, a dead population 1,
    Ctrl-C 130. A reader of stdout that leaves early (``| head``) has seen enough: 0, and one that ``runs`` goes on."""
    terminal.stand()
    try:
        with terminal.lasting() if runs else nullcontext():
            code = action()
        if runs:
            terminal.settle()  # what is lost was told before
        else:
            sys.stdout.flush()
        return code
    except FirerlError as error:
        return fail(error)
    except OSError as error:  # a full disk, a folder that cannot be written
        if isinstance(error, BrokenPipeError) and terminal.reader_left():
            terminal.drop_stdout()
            return 0
        say("firerl: " + " ".join(refused(error).split()), error=True)
        terminal.settle()
        return 1
    except KeyboardInterrupt:
        say("", "firerl: interrupted", error=True)
        return INTERRUPTED


def refused(error: OSError) -> str:
    """What the operating system refused, and of which file, without its number."""
    why = reason(error) or type(error).__name__
    if error.filename is None:
        return why
    if error.filename2 is not None:
        return f"cannot move {error.filename} to {error.filename2}: {why}"
    return f"cannot use {error.filename}: {why}"


def fail(error: FirerlError) -> int:
    """Print the one line and return the exit code."""
    say("firerl: " + " ".join(str(error).split()), error=True)
    return 1 if isinstance(error, PopulationDied) else 2

"""The errors that a person caused and can mend. The commands print them as one line and exit with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from firerl.base.terminal import clean_lines


class FirerlError(Exception):
    """Base of the errors whose text is written for the person who runs the command; it never steers a terminal."""

    def __str__(self) -> str:
        return clean_lines(super().__str__())


class SettingError(FirerlError, ValueError):
    """A setting that cannot work. The text names the setting, its value, and what is allowed."""


class MachineError(FirerlError):
    """A learner raises this where the machine is to blame, as for a disk that has gone: no part of a run's result."""


class RunFolderError(FirerlError):
    """A run folder that is missing, foreign, damaged, in use, or already holds a run."""


class PopulationDied(FirerlError):
    """No healthy member is left in P1: the run cannot go on. The commands exit with 1."""


def reason(error: OSError) -> str:
    """Why the operating system refused, without its number."""
    return error.strerror or str(error)


def unknown(what: str, name: object, allowed: Iterable[object]) -> SettingError:
    """The error for a name that is not one of ``allowed``, with the nearest match first."""
    choices = sorted(str(choice) for choice in allowed)
    near = difflib.get_close_matches(str(name)[:100], choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = str(name) if len(str(name)) <= 100 else str(name)[:97] + "..."
    return SettingError(f"unknown {what} {shown!r}: {hint}allowed: {', '.join(choices) or 'nothing'}")

"""What a run folder keeps of the data that its run learns from: what of them is not used, and what they were.

``unused_files.txt`` is for people: a line each, begun when the run begins; a process that meets a file that cannot be
used adds it. ``data_files.json`` says at a resume which files are others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firerl.base.disk import files, untrusted, unused_files
from firerl.base.terminal import say
from firerl.errors import FirerlError, SettingError
from firerl.learner import Learner, Survey

KEPT = "data_files.json"
LARGEST = 1 << 24  # bytes of it that are read
NAMED = 10  # files that are named on the terminal


def survey(learner: type[Learner], settings: Mapping[str, Any], progress: bool) -> Survey | None:
    """A look at the data before a run begins; with ``progress`` it says how far it is. Raises SettingError."""

    def tell(text: str) -> None:
        if progress:
            say(f"firerl: {text}", error=True)

    with _told(learner, "survey"):
        return learner.survey(settings, tell)


def check(learner: type[Learner], settings: Mapping[str, Any], run_dir: Path) -> None:
    """Raise SettingError where the data of a run are not those that it began with."""
    with _told(learner, "check_data"):
        learner.check_data(settings, read(run_dir))


@contextmanager
def _told(learner: type[Learner], method: str) -> Iterator[None]:
    try:
        yield
    except FirerlError:
        raise
    except Exception as error:  # anybody's code
        raise SettingError(f"{learner.__name__}.{method}() raised {type(error).__name__}: {error}") from error


def write(run_dir: Path, survey: Survey) -> None:
    """Keep what a survey has found in a new run's folder."""
    if survey.unused:
        more = survey.unused_count - len(survey.unused)
        lines = [*survey.unused, *([f"and {more:,} more"] if more else [])]
        files.write(run_dir / unused_files.NAME, "".join(f"{line}\n" for line in lines).encode())
    files.write(run_dir / KEPT, json.dumps(survey.contents, separators=(",", ":")).encode())


def read(run_dir: Path) -> Any:
    """``Survey.contents`` of a run; None where they are missing or damaged: they only help to say what has changed."""
    try:
        return json.loads(untrusted.read_bytes(run_dir / KEPT, LARGEST))
    except (OSError, ValueError, RecursionError):
        return None


def say_unused(survey: Survey) -> None:
    """On the terminal: how many files are not used, and the first of them by name."""
    if not survey.unused_count:
        return
    named = (f"  {one}" for one in survey.unused[:NAMED])
    lines = [f"firerl: {survey.unused_count:,} files of the data are not used:", *named]
    if survey.unused_count > NAMED:
        lines.append(f"  and {survey.unused_count - NAMED:,} more: all are in {unused_files.NAME} of the run folder")
    say(*lines, error=True)

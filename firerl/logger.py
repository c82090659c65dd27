"""The Logger interface: who is told of a run besides the person at the terminal. See ``docs/how-to/loggers.md``.

A logger is one small class. It works in a thread of its own (``firerl.session.watching.guarded_logger``), so whatever
it does, fail or hang, never stops a run, and nothing it does changes a run's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class About:
    """The run that a logger is told of."""

    run_dir: Path
    folder: Path  # the logger's own, inside the run's; it need not be there yet
    config: Mapping[str, Any]  # all settings of the run, as in config.yaml
    step: int  # of every worker: 0, or that of the generation which the run goes on from


class Logger:
    """Base of all loggers: override what you need.

    An object of its own is made for every start of a run, be it a resume or a machine failure, and is told **all**
    points again from the first. Points that were told before have the same values again, by the run's first promise,
    so a logger may overwrite them, or skip them by their step.
    """

    rewrites: ClassVar[bool] = False  # its folder is emptied before every start, as all is told again

    def start(self, about: About) -> str | None:
        """A run begins or goes on. What is returned is told to the person at the terminal."""
        return None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One evaluation point: finite numbers by name, as ``worker-03/objective``, ``P1/best``."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """The run has ended; ``result`` is what ``result.json`` holds, which lies in the run folder now."""

    def close(self) -> None:
        """No more will come, for whatever reason; the last call."""

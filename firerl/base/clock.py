"""Where the time of a run goes. Nothing that is measured here enters the journal's promised part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PARTS = ("train", "evaluate", "decide", "copy", "save")


class Clock:
    """Time by part, of every round and of every generation, in seconds of one process.

    ``now`` is the clock that it reads: the engine's, real or virtual.
    """

    def __init__(self, processes: int, now: Callable[[], float] = time.perf_counter):
        self.processes = processes
        self._now = now
        self._begun = self._last = now()
        self._generation: dict[str, float] = {}

    def begin_round(self) -> None:
        """A new evaluation interval starts."""
        self._round_begun = self._now()
        self._round = dict.fromkeys(PARTS, 0.0)

    def add(self, part: str, seconds: float) -> None:
        """``seconds`` of one process went to ``part``."""
        self._round[part] += seconds
        self._generation[part] = self._generation.get(part, 0.0) + seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times a block in which all processes wait for it."""
        begun = self._now()
        yield
        self.add(name, (self._now() - begun) * self.processes)

    def end_round(self) -> tuple[float, dict[str, float]]:
        """Seconds of the round, and the parts as shares of processes x seconds; "idle" is the rest."""
        seconds = self._now() - self._round_begun
        shares = {name: value / (seconds * self.processes) for name, value in self._round.items()}
        return seconds, {**shares, "idle": max(0.0, 1.0 - sum(shares.values()))}

    def elapsed(self) -> float:
        """Seconds so far, all that happens between rounds included."""
        return self._now() - self._begun

    def since_last(self) -> dict[str, float]:
        """Seconds by part since the last call, and "seconds" of wall time: for a generation, at its commit.

        What comes after a commit (the rest of the commit itself, copies) counts for the next generation.
        """
        now = self._now()
        figures = {**self._generation, "seconds": now - self._last, "processes": float(self.processes)}
        self._last, self._generation = now, {}
        return figures

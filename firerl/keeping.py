"""Which generations of an asynchronous run are kept so that a run can go on from them, and which files they need.

A generation is one report there, and the one before the last shares all files but one with it. What is kept for
``firerl.doctor`` to go back to is therefore counted in rounds, as many reports as there are workers: one generation a
round, of so many rounds as ``checkpoints.keep_history`` says. Besides, the one that the journal's copy ends with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Keeping:
    """What is kept now; ``take`` every generation in its turn."""

    workers: int  # reports in a round
    history: int  # rounds to go back
    every: int  # reports between two copies of the journal
    copied: int  # the generation that the copy ends with
    needed: dict[int, frozenset[str]]  # by kept generation, the names of the files that it goes on from
    dropped: list[int] = field(default_factory=list)  # that were kept before the last came
    held: dict[int, set[str]] = field(default_factory=dict)  # by worker, what its running interval may yet read
    late: set[str] = field(default_factory=set)  # files that are needed no more, but held

    def take(self, number: int, names: frozenset[str]) -> None:
        """The next generation."""
        first = number - (self.history + 1) * self.workers
        kept = {
            other: files
            for other, files in self.needed.items()
            if other == self.copied or (self.history and other % self.workers == 0 and other > first)
        }
        self.dropped = [other for other in self.needed if other not in kept]
        self.needed = {**kept, number: names}

    def free(self, gone: Iterable[str]) -> list[str]:
        """Of the files that are needed no more, these and earlier ones: those to remove now."""
        held = set().union(*self.held.values())
        found = (self.late | {*gone}) - held
        self.late = (self.late | {*gone}) & held
        return sorted(found)

    @property
    def names(self) -> frozenset[str]:
        """All files that are needed."""
        return frozenset().union(*self.needed.values())

"""Which generations are kept so that a run can go on from them, and which files they need.

In an asynchronous run a generation is one report, and the one before the last shares all files but one with it. What is
kept for ``firerl.doctor`` to go back to is therefore counted in rounds, as many reports as there are workers: one
generation a round, of so many rounds as ``checkpoints.keep_history`` says. Besides, those that the journal's copy knows
as kept: it is made now and then only, and where the journal is damaged the run goes on from what it says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from firerl.base.disk import files
from firerl.storage.generation import BestEver, File
from firerl.storage.journal import kept_generations
from firerl.storage.journal.journal_db import spare


@dataclass
class Keeping:
    """What is kept now of an asynchronous run; ``take`` every generation in its turn."""

    workers: int  # reports in a round
    history: int  # rounds to go back
    every: int  # reports between two copies of the journal
    needed: dict[int, frozenset[str]]  # by kept generation, the names of the files that it goes on from
    copied: tuple[int, ...] = ()  # those that the copy knows as kept
    dropped: list[int] = field(default_factory=list)  # that were kept before the last came
    held: dict[int, set[str]] = field(default_factory=dict)  # by worker, what its running interval may yet read
    late: set[str] = field(default_factory=set)  # files that are needed no more, but held

    def take(self, number: int, names: frozenset[str]) -> None:
        """The next generation."""
        kept = {*self._to_go_back(number), *self.copied, number}
        self.dropped = [other for other in self.needed if other not in kept]
        self.needed = {other: files for other, files in {**self.needed, number: names}.items() if other in kept}

    def _to_go_back(self, number: int) -> list[int]:
        """One generation a round, those of the last ``history`` rounds before ``number`` and the one under way."""
        first = number - (self.history + 1) * self.workers
        return [n for n in self.needed if self.history and n % self.workers == 0 and n > first]

    def due(self) -> bool:
        """Whether the journal is to be copied again."""
        return max(self.needed) - max(self.copied, default=0) >= self.every

    def copy_made(self) -> None:
        """The copy is as the journal now."""
        last = max(self.needed)
        self.copied = (*self._to_go_back(last), last)

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


def keep_only(db: sqlite3.Connection, keeping: Keeping) -> list[str]:
    """Let the states and the listed files go that are kept no more; the names of the files."""
    kept_generations.drop(db, keeping.dropped)
    names = kept_generations.best_ever_files(db)
    names |= {spare(name) for name in names} | keeping.names
    gone = [name for (name,) in db.execute("SELECT name FROM checkpoints").fetchall() if name not in names]
    db.executemany("DELETE FROM checkpoints WHERE name = ?", [(name,) for name in gone])
    return gone


def forget(db: sqlite3.Connection, first: int) -> None:
    """Of a synchronous run: keep of the generations before ``first`` only their promised rows, and the files of a
    best ever."""
    kept_generations.drop(db, [number for number in kept_generations.numbers(db) if number < first])
    best = kept_generations.best_ever_files(db)
    for name, generation in db.execute("SELECT name, generation FROM checkpoints").fetchall():
        spared = name.startswith(spare("")) or generation < first
        if spared and name not in best and name not in map(spare, best):
            db.execute("DELETE FROM checkpoints WHERE name = ?", (name,))


def second_copy(folder: Path, saved: Sequence[File], best_ever: BestEver | None) -> list[File]:
    """The best ever's file, if it is new, once more: it may be needed long after its generation has gone."""
    own = [] if best_ever is None else [file for file in saved if file.name == best_ever.file]
    for file in own:
        files.write(folder / spare(file.name), (folder / file.name).read_bytes())
    return [replace(file, name=spare(file.name)) for file in own]

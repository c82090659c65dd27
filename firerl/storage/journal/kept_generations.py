"""Which generations of a journal have a state: a list in ``meta``, so that nobody looks through all others for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from firerl.evolution import plain

KEY = "kept"


def numbers(db: sqlite3.Connection) -> list[int]:
    """In order. Raises ValueError on a list that is none."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (KEY,)).fetchone()
    if row is None:
        raise ValueError("it has no list of kept generations")
    found = plain.parsed(row[0])
    if not isinstance(found, list) or not all(type(number) is int and 0 <= number < 2**63 for number in found):
        raise ValueError(f"its list of kept generations is {row[0]:.40}")
    return found


def with_state(db: sqlite3.Connection) -> list[int]:
    """The same out of the rows themselves, all of which are read."""
    return [row[0] for row in db.execute("SELECT number FROM generations WHERE state NOT NULL ORDER BY number")]


def add(db: sqlite3.Connection, number: int) -> None:
    """A generation that was just inserted with its state, the last."""
    _put(db, [*(n for n in numbers(db) if n != number), number])


def drop(db: sqlite3.Connection, gone: Collection[int]) -> None:
    """Let the states of these generations go."""
    query = "UPDATE generations SET state = NULL, best_ever = NULL WHERE number = ?"
    db.executemany(query, [(number,) for number in gone])
    _put(db, [number for number in numbers(db) if number not in gone])


def recount(db: sqlite3.Connection) -> None:
    """The list anew, after generations went."""
    _put(db, with_state(db))


def best_ever_files(db: sqlite3.Connection) -> set[str]:
    """The files of those that are the best ever of a kept generation."""
    query = "SELECT best_ever FROM generations WHERE number = ?"
    found = (row[0] for number in numbers(db) for row in db.execute(query, (number,)))
    return {plain.loads(best)["file"] for best in found if best}


def _put(db: sqlite3.Connection, found: Iterable[int]) -> None:
    query = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
    db.execute(query, (KEY, plain.dumps([*found])))

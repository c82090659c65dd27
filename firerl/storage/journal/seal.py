"""Digests inside the journal that tell whether it is as it was committed, to the bit.

The hash chain of the generations covers what is promised. What a resume reads besides (the kept states, the rows of
the checkpoints, the settings) has no hash, and SQLite itself does not notice a flipped bit in a number. The journal's
copy shows that one of the two is damaged, and not which; of an asynchronous run it lies behind. So each commit
leaves two digests in ``meta``: ``rows``, a chain over the raw rows of reports and decisions, and ``seal``, over all the
rest and ``rows``.

A commit reads nothing of what was long before it: only the generations with a state
(``firerl.storage.journal.kept_generations``) count in ``seal``, and every generation's hash is in ``rows``.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Any

from firerl.storage.journal import kept_generations

_META = "SELECT key, value FROM meta WHERE key != 'seal' ORDER BY key"
_CHECKPOINTS = "SELECT name, worker, generation, size, sha256 FROM checkpoints ORDER BY name"
_KEPT = "SELECT number, step, hash, state, best_ever FROM generations WHERE number = ?"
_GENERATION = "SELECT number, step, hash FROM generations WHERE number = ?"
_ROWS = (
    "SELECT * FROM reports WHERE point BETWEEN ? AND ? ORDER BY point, worker",
    "SELECT * FROM decisions WHERE point BETWEEN ? AND ? ORDER BY point, position",
)


def add_rows(db: sqlite3.Connection, number: int, first: int, last: int) -> None:
    """Take a generation and its evaluation points ``first`` to ``last``, just inserted, into the digest of the rows."""
    _put(db, "rows", _chained(_get(db, "rows") or "", db, number, first, last))


def recount_rows(db: sqlite3.Connection) -> None:
    """The digest of the rows anew: of a new journal, or after some went."""
    _put(db, "rows", _all_rows(db))


def close(db: sqlite3.Connection) -> None:
    """Seal what the tables hold now; the last act of every transaction that changes them."""
    _put(db, "seal", _head(db))


def broken(db: sqlite3.Connection) -> str:
    """What is not as it was committed; "" if all is. Raises sqlite3.Error where the file cannot be read."""
    if kept_generations.numbers(db) != kept_generations.with_state(
        db
    ):  # first: whoever made it up may have made it long
        return "its kept generations are not those that were committed"
    if _get(db, "seal") != _head(db):
        return "its settings, states or list of checkpoints are not those that were committed"
    if _get(db, "rows") != _all_rows(db):
        return "its reports or decisions are not those that were committed"
    return ""


def _all_rows(db: sqlite3.Connection) -> str:
    """The chain over all generations, as their commits made it."""
    digest = ""
    query = "SELECT generation, min(point), max(point) FROM reports GROUP BY generation ORDER BY generation"
    points = {number: (first, last) for number, first, last in db.execute(query)}
    numbers = [row[0] for row in db.execute("SELECT number FROM generations WHERE number > 0")]
    for number in sorted({*points, *numbers}):
        digest = _chained(digest, db, number, *points.get(number, (1, 0)))
    return digest


def _chained(previous: str, db: sqlite3.Connection, number: int, first: int, last: int) -> str:
    rows = [row for query in _ROWS for row in db.execute(query, (first, last))]
    return _digest(previous, [*rows, *db.execute(_GENERATION, (number,))])


def _head(db: sqlite3.Connection) -> str:
    generations = (row for number in kept_generations.numbers(db) for row in db.execute(_KEPT, (number,)))
    return _digest("", (row for rows in (db.execute(_META), generations, db.execute(_CHECKPOINTS)) for row in rows))


def _digest(previous: str, rows: Iterable[tuple[Any, ...]]) -> str:
    found = hashlib.sha256(previous.encode())
    for row in rows:
        found.update(repr(row).encode())
    return found.hexdigest()


def _get(db: sqlite3.Connection, key: str) -> str | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def _put(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

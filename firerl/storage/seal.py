"""Digests inside the journal that tell whether it is as it was committed, to the bit.

The hash chain of the generations covers what is promised. What a resume reads besides (the kept states, the rows of
the checkpoints, the settings) has no hash, and SQLite itself does not notice a flipped bit in a number. So each commit
leaves two digests in ``meta``: ``rows``, a chain over the raw rows of reports and decisions, and ``seal``, over all the
rest and ``rows``. A journal of an earlier version has none and passes.

An asynchronous run has a generation a report: there only those with a state count in ``seal``, each for its own row,
and every generation's hash is in ``rows`` instead, so that a commit does not read all that were before it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Any

_HEAD = (
    "SELECT key, value FROM meta WHERE key != 'seal' ORDER BY key",
    "SELECT number, step, hash, state, best_ever FROM generations ORDER BY number",
    "SELECT name, worker, generation, size, sha256 FROM checkpoints ORDER BY name",
)
_OF = "seal of"  # the key in meta that says so
KEPT = "kept generations"
_WITH_STATE = "SELECT number, step, hash, state, best_ever FROM generations WHERE state NOT NULL ORDER BY number"
_GENERATIONS = "SELECT number, step, hash FROM generations WHERE number BETWEEN ? AND ? ORDER BY number"  # as points
_ROWS = (
    "SELECT * FROM reports WHERE point BETWEEN ? AND ? ORDER BY point, worker",
    "SELECT * FROM decisions WHERE point BETWEEN ? AND ? ORDER BY point, position",
)


def add_rows(db: sqlite3.Connection, first: int, last: int) -> None:
    """Take the evaluation points ``first`` to ``last``, just inserted, into the digest of the rows."""
    before = _get(db, "rows")
    if before is not None:  # else close counts all
        _put(db, "rows", _chained(before, db, first, last))


def recount_rows(db: sqlite3.Connection) -> None:
    """The digest of the rows anew, after some went."""
    _put(db, "rows", _all_rows(db))


def close(db: sqlite3.Connection) -> None:
    """Seal what the tables hold now; the last act of every transaction that changes them."""
    if _get(db, "rows") is None:  # a new journal, or one of an earlier version
        recount_rows(db)
    _put(db, "seal", _head(db))


def broken(db: sqlite3.Connection) -> str:
    """What is not as it was committed; "" if all is. Raises sqlite3.Error where the file cannot be read."""
    seal, rows = _get(db, "seal"), _get(db, "rows")
    if seal is None and rows is None:
        return ""
    if seal != _head(db):
        return "its settings, states or list of checkpoints are not those that were committed"
    if rows != _all_rows(db):
        return "its reports or decisions are not those that were committed"
    return ""


def _all_rows(db: sqlite3.Connection) -> str:
    """The chain over all generations, as their commits made it."""
    digest = ""
    for first, last in db.execute(
        "SELECT min(point), max(point) FROM reports GROUP BY generation ORDER BY generation"
    ).fetchall():
        digest = _chained(digest, db, first, last)
    return digest


def _chained(previous: str, db: sqlite3.Connection, first: int, last: int) -> str:
    queries = (*_ROWS, _GENERATIONS) if _get(db, _OF) else _ROWS
    return _digest(previous, (row for query in queries for row in db.execute(query, (first, last))))


def _head(db: sqlite3.Connection) -> str:
    meta, generations, checkpoints = _HEAD
    queries = (meta, _WITH_STATE if _get(db, _OF) else generations, checkpoints)
    return _digest("", (row for query in queries for row in db.execute(query)))


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

"""The origins of an asynchronous run's workers (``firerl.storage.origins``), out of the journal's rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from firerl.evolution import plain
from firerl.evolution.population import Decision, Report, State
from firerl.storage import origins

_MOVES = (
    "SELECT point, kind, data FROM decisions WHERE kind IN ('copy', 'start_evaluator', 'promote', 'set') "
    "ORDER BY point, position"
)


def origins_at(db: sqlite3.Connection, initial: State, at: Iterable[int]) -> dict[int, origins.Origins]:
    """After each of these generations, 0 among them. Raises sqlite3.Error, ValueError, TypeError, LookupError."""
    wanted = set(at)
    decided: dict[int, list[Decision]] = {}
    for point, kind, data in db.execute(_MOVES):
        decided.setdefault(point, []).append(plain.decision_from_plain(kind, plain.loads(data)))
    found = origins.first(initial)
    result = {0: found} if 0 in wanted else {}
    # A point is one report, and a generation of its own.
    for point, worker, failure in db.execute("SELECT point, worker, failure FROM reports ORDER BY point").fetchall():
        found = origins.follow(found, point, Report(worker, 0, failure=failure), decided.get(point, []))
        if point in wanted:
            result[point] = found
    return result

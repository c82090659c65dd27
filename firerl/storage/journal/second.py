"""``journal.bak``: a second database that gets the rows of the journal after they are committed there.

What a commit adds is copied, not what was before: its cost does not grow with the run. Rows are never changed but the
few that are replaced at every commit (settings, the list of checkpoints) and the states that are let go. A copy that
was killed in the middle is rolled back by SQLite, and what it lacks comes with the next.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from firerl.base.disk import durable
from firerl.storage.journal import kept_generations
from firerl.storage.journal.journal_file import connect_second
from firerl.storage.run_folder import COPY

_ADDED = (("reports", "point"), ("decisions", "point"), ("generations", "number"), ("timings", "generation"))
_REPLACED = (("meta", "key"), ("checkpoints", "name"))


class Second:
    """The copy of an open journal, held open by whoever holds the run folder."""

    def __init__(self, journal: sqlite3.Connection, run_dir: Path, usable: bool):
        """``usable``: what lies there is whole and of this run, however old; else it is made anew."""
        self._journal, self._run_dir = journal, run_dir
        self._path = run_dir / COPY
        self._db = connect_second(run_dir) if usable else None
        self._file = self._there()

    def follow(self) -> None:
        """Bring it up to date. Raises sqlite3.OperationalError where the disk does not let it."""
        if self._db is not None and self._file == self._there():
            try:
                with durable.transaction(self._db, self._path):
                    _follow(self._journal, self._db)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                    return  # somebody reads it at this moment: it gets these rows with the next
                raise
            except sqlite3.DatabaseError:  # somebody else wrote into it: it is made anew
                pass
        self.close()
        durable.back_up(self._journal, self._path)
        self._db, self._file = connect_second(self._run_dir), self._there()

    def _there(self) -> tuple[int, int] | None:
        """Which file lies there now: somebody may have removed or replaced it."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            durable.close(self._db, self._path)
            self._db = None


def _follow(journal: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """Make ``copy``, an earlier state of ``journal``, equal to it. Notes and times are copied as they come."""
    dropped = {*kept_generations.numbers(copy)} - {*kept_generations.numbers(journal)}
    for table, key in _ADDED:
        last = copy.execute(f"SELECT coalesce(max({key}), -1) FROM {table}").fetchone()[0]
        _insert(copy, table, journal.execute(f"SELECT * FROM {table} WHERE {key} > ?", (last,)).fetchall())
    last = copy.execute("SELECT coalesce(max(rowid), 0) FROM notes").fetchone()[0]
    _insert(copy, "notes", journal.execute("SELECT * FROM notes WHERE rowid > ?", (last,)).fetchall())
    query = "UPDATE generations SET state = NULL, best_ever = NULL WHERE number = ?"
    copy.executemany(query, [(number,) for number in dropped])
    for table, key in _REPLACED:
        now, before = ({*db.execute(f"SELECT * FROM {table}")} for db in (journal, copy))
        copy.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(row[0],) for row in before - now])
        _insert(copy, table, sorted(now - before))


def _insert(copy: sqlite3.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        copy.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

"""The seal finds what neither the chain of hashes nor SQLite does: one digit that has changed."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from firerl.errors import RunFolderError
from firerl.evolution import plain
from firerl.insight.health.chain import chain, points_of
from firerl.storage.journal import proof, seal
from firerl.storage.journal.journal_db import Journal

LAST = "number = (SELECT max(number) FROM generations)"
UNCHAINED = [  # table, column, which row
    ("meta", "value", "key = 'config'"),
    ("meta", "value", "key = 'usual'"),
    ("meta", "value", "key = 'kept'"),
    ("generations", "state", LAST),
    ("generations", "best_ever", LAST),
    ("checkpoints", "sha256", "name = (SELECT max(name) FROM checkpoints)"),
]
CHAINED = [("reports", "objective", "point = 3"), ("decisions", "data", "kind = 'copy'"), ("generations", "step", LAST)]


@pytest.mark.unverified("a digit of each is changed")
@pytest.mark.parametrize(("table", "column", "where"), [*UNCHAINED, *CHAINED])
def test_a_changed_digit_is_found_before_a_run_goes_on(
    told_run: Path, tmp_path: Path, table: str, column: str, where: str
) -> None:
    shutil.copytree(told_run, tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run/journal.sqlite", isolation_level=None)) as db:
        assert seal.broken(db) == ""
        (text,) = db.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        changed = re.sub(r"[0-9]", lambda found: "1" if found[0] != "1" else "2", str(text), count=1)
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed,))
        rows = Journal(db, tmp_path / "run").rows()
        points, misplaced = points_of(rows)
        wrong = [*misplaced, *chain(rows, points, plain.loads(rows.meta["promised"]))]
        assert bool(wrong) == ((table, column, where) in CHAINED)
        assert seal.broken(db)
    with pytest.raises(RunFolderError, match=r"is damaged: its .* are not those that were committed"):
        proof.prove(tmp_path / "run")

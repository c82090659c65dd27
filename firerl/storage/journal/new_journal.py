"""The journal of a run that begins: its settings and generation 0, from the first moment on."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firerl import __version__
from firerl.base.disk import durable
from firerl.evolution import plain
from firerl.evolution.population import State
from firerl.storage.generation import first_hash
from firerl.storage.journal import kept_generations, seal
from firerl.storage.journal.journal_file import FORMAT, SCHEMA


def create(
    run_dir: Path, config: Mapping[str, Any], promised: Mapping[str, Any], usual: Mapping[str, Any], state: State
) -> None:
    """``journal.sqlite``, which appears by rename. Raises sqlite3.OperationalError where it cannot be written."""
    meta = {
        "format": str(FORMAT),
        "firerl": __version__,
        "config": plain.dumps(config),
        "promised": plain.dumps(promised),
        "usual": plain.dumps(usual),
        "initial_state": plain.dumps(state),
    }
    new = run_dir / "journal.sqlite.new"
    db = sqlite3.connect(new, isolation_level=None)
    durable.journal_mode(db, new, "MEMORY")  # a killed process leaves nothing beside it
    with durable.transaction(db, new):
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        first = (first_hash(promised, state), meta["initial_state"])
        db.execute("INSERT INTO generations VALUES (0, 0, ?, ?, NULL)", first)
        kept_generations.recount(db)
        seal.recount_rows(db)
        seal.close(db)
    durable.close(db, new)
    durable.sync(new)
    durable.rename(new, run_dir / "journal.sqlite")

"""What lies at the address of a run, and which of it is the run.

``journal-<number>-<sha256>.sqlite``
    a snapshot of the journal (its copy ``journal.bak``, byte for byte). Its arrival is the moment of truth: the newest
    one that is whole is the run.
``checkpoints/<sha256>.pt``
    the files that it refers to, there before it is.
``lock``, ``config.yaml``, ``init.pt``, ``failures.log``, the results
    as in a local run folder; ``result.json`` comes last.

What the newest snapshot does not refer to is garbage, and goes after it has arrived.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firerl.base.disk import untrusted
from firerl.base.disk.files import digest
from firerl.base.disk.temporary import ENDING
from firerl.errors import FirerlError, RunFolderError
from firerl.storage.generation import File, Generation
from firerl.storage.journal.journal_db import Journal, check_name, reading
from firerl.storage.journal.journal_file import foreign, pages
from firerl.storage.journal.seal import broken
from firerl.storage.remote.address import Remote

SNAPSHOT = re.compile(r"journal-(\d{8})-([0-9a-f]{64})\.sqlite")
GARBAGE = re.compile(rf"(({SNAPSHOT.pattern}|[0-9a-f]{{64}}\.pt)({ENDING})?)")  # where nothing refers to it
LIMITS = {  # bytes
    "config.yaml": untrusted.YAML,
    "init.pt": untrusted.CHECKPOINT,
    "failures.log": 64 << 20,  # its end
    "best.pt": untrusted.CHECKPOINT,
    "best_ever.pt": untrusted.CHECKPOINT,
    "schedule.yaml": untrusted.YAML,
    "result.json": untrusted.JSON,
}
TRIES = 5  # to read a snapshot that the run under way may replace meanwhile


def snapshots(names: Iterable[str]) -> list[str]:
    """Those of them that are snapshots, the newest first."""
    return sorted((name for name in names if SNAPSHOT.fullmatch(name)), reverse=True)


def newest(remote: Remote) -> tuple[str, bytes] | None:
    """The newest snapshot that is whole, by name; None: there is none. Raises RunFolderError: all are damaged."""
    for _ in range(TRIES):
        found = snapshots(remote.sizes())
        if not found:
            return None
        for name in found:
            try:
                data = remote.get(name, untrusted.SNAPSHOT)
            except FileNotFoundError:  # replaced by a newer one
                break
            if digest(data) == name.split("-")[2].removesuffix(".sqlite"):
                return name, data
        else:
            raise RunFolderError(f"{remote.address}/{found[0]} is damaged, and there is no other snapshot")
    raise RunFolderError(f"{remote.address} changes faster than it can be read")


@dataclass(frozen=True)
class Contents:
    """What a journal says of its run."""

    chain: Sequence[tuple[int, int, str]]  # generation, step, hash
    config: str
    init: str | None  # digest of init.pt
    files: Sequence[File]
    needed: frozenset[str]  # digests of the files without which it cannot go on


def contents(db: sqlite3.Connection, folder: Path, called: str) -> Contents:
    """Of an open journal of ours. Raises RunFolderError, with what it is ``called``, where it is none or damaged."""
    try:
        foreign(db)
        if wrong := pages(db) or broken(db):
            raise ValueError(wrong)
        journal = Journal(db, folder)
        with reading(folder):
            last, config = journal.last(), journal.config()
            rows = [File(w, g, n, size, sha) for n, w, g, size, sha in db.execute("SELECT * FROM checkpoints")]
            for row in rows:
                check_name(row.name)
                if not re.fullmatch(r"[0-9a-f]{64}", row.sha256):
                    raise ValueError(f"{row.sha256:.70} is no digest")
            init = config.get("init_sha256")
            text = str(db.execute("SELECT value FROM meta WHERE key = 'config'").fetchone()[0])
            return Contents(journal.hashes(), text, None if init is None else str(init), rows, needed_by(last, rows))
    except (FirerlError, sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RunFolderError(f"{called} is damaged or not a journal of firerl: {error}") from error


def needed_by(last: Generation, listed: Sequence[File]) -> frozenset[str]:
    """The digests of the files without which a run cannot go on from its last generation."""
    best = None if last.best_ever is None else last.best_ever.file
    goes_on = {f.sha256 for f in (*last.files.values(), *last.networks.values())}
    return frozenset(goes_on | {f.sha256 for f in listed if f.name == best})

"""Journals that are hostile or broken: see ``mutations.py``."""

# ruff: noqa: E501  payloads are read best in one piece

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutations import canary, changed, json_text

from firerl.storage import checkpoint
from firerl.storage.journal import seal


def with_journal(folder: Path, change: Callable[[sqlite3.Connection], Any], name: str = "journal.sqlite") -> None:
    """Change the journal and seal it again, where that comes to an end: a view may have none."""
    db = sqlite3.connect(folder / name, isolation_level=None)
    try:
        change(db)
        begun = time.monotonic()
        db.set_progress_handler(lambda: time.monotonic() - begun > 1, 100_000)
        try:
            seal.recount_rows(db)
            seal.close(db)
        except (sqlite3.Error, TypeError, IndexError, ValueError):
            pass
    finally:
        db.close()


TABLES = {
    "meta": ["value"], "generations": ["step", "hash", "state", "best_ever", "number"],
    "reports": ["worker", "generation", "step", "objective", "metrics", "failure", "point"],
    "decisions": ["position", "generation", "kind", "data", "point"],
    "checkpoints": ["name", "worker", "generation", "size", "sha256"], "timings": ["data"], "notes": ["time", "text"],
}  # fmt: skip


def json_in_journal(folder: Path, name: str, rng: random.Random) -> None:
    """One entry of the JSON in a column, sealed again."""
    table, column = rng.choice([
        ("meta", "value"), ("meta", "value"), ("meta", "value"), ("generations", "state"), ("generations", "best_ever"),
        ("reports", "objective"), ("reports", "metrics"), ("decisions", "data"), ("timings", "data"),
    ])  # fmt: skip
    key = rng.choice(["config", "config", "config", "promised", "initial_state", "results", "format", "kept"])

    def change(db: sqlite3.Connection) -> None:
        rows = db.execute(f"SELECT {column} FROM {table} WHERE {column} NOT NULL").fetchall()
        if table == "meta":
            rows = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchall()
        if not rows:
            return
        old = rng.choice(rows)[0]
        new = rng.choice([json_text(changed(json.loads(old), rng), rng)] * 9 + ["[" * 100_000, "1" * 5000, "", "nul"])
        where = "key = ?" if table == "meta" else f"{column} = ?"
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, key if table == "meta" else old))

    with_journal(folder, change, name)


def names_code(folder: Path, name: str, rng: random.Random) -> None:
    """The settings name code of the current directory, of Python, of nobody."""
    evil = rng.choice([
        "evil_module.Own", "evil_package.sub.Own", "antigravity.Own", "os.system", "idlelib.__main__.Own", "no.such",
        "pip.__main__.Own", "this.x", "..evil_module", "evil_module", "numpy.evil.Own", "builtins.eval", "evil_module:Own-v0",
    ])  # fmt: skip
    place = rng.randrange(5)

    def change(db: sqlite3.Connection) -> None:
        for key in ("config", "promised"):
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            config = json.loads(row[0])
            if place == 0:
                config["learner"] = evil
            elif place == 1:
                config["algo"]["name"] = evil.partition(":")[0].rpartition(".")[0] or evil
            elif place == 2:
                config["settings"]["env"] = {"name": "evil_module:Own-v0", "kwargs": {}}
            elif place == 3:
                config["learner"], config["settings"] = "modelled", {**config["settings"], "of": evil}
            else:
                config["settings"] = {"_target_": "os.system", "_args_": [f"touch {canary(folder)}/ran"]}
                config["algo"]["_target_"] = "os.system"
            db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(config), key))

    with_journal(folder, change)
    if place in (0, 2, 3) and (folder / "best.pt").is_file():
        best = checkpoint.read(folder / "best.pt")
        best["learner"] = evil if place == 0 else "modelled" if place == 3 else best["learner"]
        best["settings"] = {**best["settings"], "of": evil, "env": {"name": "evil_module:Own-v0", "kwargs": {}}}
        (folder / "best.pt").write_bytes(checkpoint.dumps(best))


def columns(folder: Path, name: str, rng: random.Random) -> None:
    """A value of a column, of any type, past what STRICT allows; or a row less; sealed again."""
    table = rng.choice(list(TABLES))
    column = rng.choice(TABLES[table])
    value = rng.choice([None, -1, 2**63 - 1, -(2**63), 1.5, 1e400, "", "x", "../../../canary/file.txt", b"\x00\xff",
                        b"x" * 1000, "y" * 1_000_000, "evil", 10**6, "g000001-w0.pt/../../x", "0"])  # fmt: skip

    def change(db: sqlite3.Connection) -> None:
        ids = [row[0] for row in db.execute(f"SELECT {TABLES[table][-1]} FROM {table}")]
        if not ids:
            return
        where, one = f"{TABLES[table][-1]} = ?", rng.choice(ids)
        if table == "meta":
            where, one = "key = ?", rng.choice([row[0] for row in db.execute("SELECT key FROM meta")])
        if rng.random() < 0.2:
            db.execute(f"DELETE FROM {table} WHERE {where}", (one,))
            return
        sql = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
        db.execute("PRAGMA writable_schema = ON")
        loose = sql.replace("STRICT, WITHOUT", "WITHOUT").replace("STRICT", "").replace("NOT NULL", "")
        loose = loose.replace(" INTEGER", " BLOB").replace(" TEXT", " BLOB") if "PRIMARY KEY," not in sql else loose
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (loose, table))
        other = sqlite3.connect(folder / name, isolation_level=None)
        try:
            other.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, one))
        except sqlite3.Error:
            pass
        finally:
            other.close()
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))

    with_journal(folder, change, name)


def schema(folder: Path, name: str, rng: random.Random) -> None:
    """Views in place of tables, triggers, indices, generated columns, tables of other programs."""
    out = canary(folder) / "other.sqlite"
    endless = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r) SELECT"
    table = rng.choice(list(TABLES))
    statements = rng.choice([
        [f"ALTER TABLE {table} RENAME TO old", f"CREATE VIEW {table} AS SELECT * FROM old"],
        ["ALTER TABLE meta RENAME TO old", "CREATE VIEW meta AS SELECT key, hex(randomblob(900000000)) AS value FROM old"],
        ["DROP TABLE generations", f"CREATE VIEW generations AS {endless} i AS number, i AS step, 'h' AS hash, '{{}}' AS state, NULL AS best_ever FROM r"],
        ["DROP TABLE reports", f"CREATE VIEW reports AS {endless} i AS point, 0 AS worker, 0 AS generation, i AS step, '1' AS objective, '{{}}' AS metrics, NULL AS failure FROM r"],
        ["CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM reports; END"],
        ["CREATE TRIGGER t AFTER UPDATE ON meta BEGIN UPDATE generations SET hash = 'x'; END"],
        ["CREATE TABLE more (x)", "INSERT INTO more VALUES (zeroblob(1000000))"],
        ["CREATE INDEX i ON notes (text)"], ["CREATE TABLE g (a INTEGER, b AS (a + 1))"],
        [f"DROP TABLE {table}"], [f"DROP TABLE {table}", f"CREATE TABLE {table} (a, b, c, d, e, f, g)"],
        ["CREATE VIRTUAL TABLE f USING fts5(x)"], ["PRAGMA user_version = 77"], ["PRAGMA application_id = 7"],
        [f"ALTER TABLE {table} ADD COLUMN extra TEXT"], ["UPDATE meta SET value = '2' WHERE key = 'format'"],
        ["DELETE FROM meta"], ["DELETE FROM generations"], ["DELETE FROM reports"], ["DELETE FROM checkpoints"],
        ["PRAGMA journal_mode = WAL"], ["VACUUM INTO 'x.sqlite'"] if not out.exists() else ["VACUUM"],
        ["INSERT INTO notes VALUES (1, hex(zeroblob(40000000)))"], ["INSERT INTO meta VALUES ('x', hex(zeroblob(40000000)))"],
    ])  # fmt: skip

    def change(db: sqlite3.Connection) -> None:
        for statement in statements:
            try:
                db.execute(statement)
            except sqlite3.Error:
                return

    with_journal(folder, change, name)


def foreign(folder: Path, name: str, rng: random.Random) -> None:
    """A database of another program, or of ours in another form."""
    path = folder / name
    old = path.read_bytes()
    path.unlink()
    db = sqlite3.connect(path, isolation_level=None)
    kind = rng.randrange(4)
    if kind == 0:
        db.execute("PRAGMA encoding = 'UTF-16'")
    if kind == 1:
        db.execute("PRAGMA page_size = 512")
    db.execute("CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url TEXT)")
    db.execute("INSERT INTO moz_places VALUES (1, 'x')")
    if kind == 2:
        db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        db.execute("INSERT INTO meta VALUES ('format', '1')")
    db.close()
    if kind == 3:
        path.write_bytes(old)
        data = bytearray(old)
        data[rng.choice([16, 18, 19, 20, 21, 24, 28, 44, 52, 56, 60, 92, 96])] = rng.randrange(256)
        path.write_bytes(data)


def pages_shared(folder: Path, name: str, rng: random.Random) -> None:
    """Pages that are their own children, or whose children are all one page: without end, or as good as."""
    data = bytearray((folder / name).read_bytes())
    size = int.from_bytes(data[16:18], "big")
    count = len(data) // size
    for _ in range(rng.choice([1, 3])):
        page = rng.randrange(1, count) * size
        data[page] = rng.choice([5, 2, 13, 10])
        struct.pack_into(">H", data, page + 3, rng.choice([1, 50, 400]))
        struct.pack_into(">I", data, page + 8, rng.choice([page // size + 1, 2, count, count + 7]))
        for cell in range(min(50, (size - 20) // 2)):
            struct.pack_into(">H", data, page + 12 + 2 * cell, size - 10)
        struct.pack_into(">I", data, page + size - 10, rng.choice([page // size + 1, 2, 3, count]))
    (folder / name).write_bytes(data)


def logs_beside(folder: Path, name: str, rng: random.Random) -> None:
    """Write-ahead logs and rollback journals of other files, one that names a file to delete."""
    inside = canary(folder)
    work = folder.parent / "work.sqlite"
    kind = rng.randrange(5)
    if kind in (0, 1):
        db = sqlite3.connect(work, isolation_level=None)
        db.execute(f"PRAGMA journal_mode = {'WAL' if kind else 'PERSIST'}")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (zeroblob(50000))")
        for end in ("-wal", "-shm", "-journal"):
            if Path(f"{work}{end}").exists():
                shutil.copy(f"{work}{end}", f"{folder / 'journal.sqlite'}{end}")
        db.close()
    elif kind == 2:  # hot, with a super-journal: SQLite would roll back and delete it
        target = str(inside / "file.txt").encode()
        page = (folder / "journal.sqlite").read_bytes()[:4096]
        count = (folder / "journal.sqlite").stat().st_size // 4096
        magic, nonce = bytes.fromhex("d9d505f920a163d7"), 7
        head = magic + struct.pack(">IIIII", 1, nonce, count, 512, 4096)
        check = nonce + sum(page[i] for i in range(4096 - 200, 0, -200))
        body = head.ljust(512, b"\0") + struct.pack(">I", 1) + page + struct.pack(">I", check & 0xFFFFFFFF)
        tail = struct.pack(">I", 2**30 // 4096 + 1) + target + struct.pack(">II", len(target), sum(target) & 0xFFFFFFFF)
        Path(f"{folder / 'journal.sqlite'}-journal").write_bytes(body + tail + magic)
    else:
        end = rng.choice(["-wal", "-shm", "-journal", ".new", ".new-journal"])
        data = rng.choice([rng.randbytes(5000), bytes.fromhex("377f0682") + rng.randbytes(5000),
                           bytes.fromhex("d9d505f920a163d7") + rng.randbytes(5000), b""])  # fmt: skip
        Path(f"{folder / 'journal.sqlite'}{end}").write_bytes(data)
    work.unlink(missing_ok=True)

"""What a hostile or broken file may look like: every mutation that ``mutated_files.py`` tries.

A mutation is a function of (run folder, the file's path in it, a random generator); each leaves a folder that is wrong
in one way. What has digests is sealed again where that makes a difference: an attacker can do that, too.
"""

# ruff: noqa: E501  payloads are read best in one piece

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from firerl import checkpoint, files, seal

Mutate = Callable[[Path, str, random.Random], None]
WEIRD: list[Any] = [
    None, True, -1, 0, 3, 2**31, 2**63, 2**64, -(2**63), 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "x",
    "../../canary/file.txt", "/etc/passwd", "x" * 100_000, "\x00", "nan", [], [[]], {}, {"a": 1}, [1] * 1000,
    {"float": "x"}, {"float": []}, {"mapping": 3}, "evil_module.Own", "evil_module", "evil_module:Own-v0",
]  # fmt: skip


def canary(folder: Path) -> Path:
    """The tree that nobody may touch."""
    return folder.parents[2] / "canary"


# -- any file ------------------------------------------------------------------------------------------------------


def flip(folder: Path, name: str, rng: random.Random) -> None:
    data = bytearray((folder / name).read_bytes())
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    (folder / name).write_bytes(data)


def cut(folder: Path, name: str, rng: random.Random) -> None:
    os.truncate(folder / name, rng.randrange(max(1, (folder / name).stat().st_size)))


def block(folder: Path, name: str, rng: random.Random) -> None:
    """Zeros, noise, or another part of the file in the place of a block; or a block more."""
    data = bytearray((folder / name).read_bytes())
    at, length = rng.randrange(max(1, len(data))), rng.choice([1, 4, 16, 512, 4096])
    other = rng.randrange(max(1, len(data)))
    new = rng.choice([bytes(length), rng.randbytes(length), bytes(data[other : other + length]), b"\xff" * length])
    data[at : at + (0 if rng.random() < 0.3 else length)] = new
    (folder / name).write_bytes(data)


def odd(folder: Path, name: str, rng: random.Random) -> None:
    """Empty, noise, a text, another file of the run, something at the end."""
    path = folder / name
    others = sorted(p for p in folder.rglob("*") if p.is_file() and p != path and p.suffix != ".mp4")
    new = [b"", rng.randbytes(rng.choice([1, 100, 10_000])), b"hello\n" * 10, b"\x00" * 4096, b"PK\x05\x06" + bytes(18)]
    new += [b"SQLite format 3\x00" + rng.randbytes(4080), path.read_bytes() + rng.randbytes(rng.choice([1, 22, 5000]))]
    new += [rng.choice(others).read_bytes(), rng.randbytes(100) + path.read_bytes()]
    path.write_bytes(rng.choice(new))


def huge(folder: Path, name: str, rng: random.Random) -> None:
    """As good as without end: a sparse file, with or without its old beginning."""
    if rng.random() < 0.5:
        (folder / name).write_bytes(b"")
    os.truncate(folder / name, rng.choice([20 << 20, 900 << 20, 3 << 30, 200 << 30]))


def no_file(folder: Path, name: str, rng: random.Random) -> None:
    """Nothing, a folder, a pipe, a link to a device, to itself, to the canary tree, by a relative path."""
    path = folder / name
    path.unlink(missing_ok=True)
    kind = rng.randrange(9)
    inside = canary(folder)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind < 8:
        targets = ["/dev/zero", "/dev/null", "/dev/tty", path.name, inside / "file.txt", inside / "other.sqlite"]
        path.symlink_to(rng.choice([*targets, os.path.relpath(inside / "file.txt", path.parent)]))
        return


def link_beside(folder: Path, name: str, rng: random.Random) -> None:
    """A link under a name that the run itself would write: it leads into the canary tree."""
    inside = canary(folder)
    name = rng.choice([
        "lock", "failures.log", "journal.bak", "config.yaml", "report.html", "journal.sqlite-wal", "journal.sqlite-shm",
        "journal.sqlite-journal", "result.json", "best.pt", "replay.json", "journal.sqlite.new", "schedule.yaml",
        *(f"{n}.{os.getpid() + i}.tmp" for n in ("journal.bak", "config.yaml", "report.html") for i in range(3)),
    ])  # fmt: skip
    path = folder / name
    path.unlink(missing_ok=True)
    target = inside / rng.choice(["file.txt", "other.sqlite"])
    if rng.random() < 0.2 and not name.endswith(".tmp"):
        os.link(target, path)
    else:
        path.symlink_to(target)


def link_folder(folder: Path, name: str, rng: random.Random) -> None:
    """checkpoints/ or tensorboard/ leads into the canary tree."""
    own = rng.choice(["checkpoints", "tensorboard"])
    shutil.rmtree(folder / own, ignore_errors=True)
    (folder / own).symlink_to(canary(folder) / "folder")


def film(folder: Path, name: str, rng: random.Random) -> None:
    """What the report would put into its page."""
    path = folder / "film.mp4"
    kind = rng.randrange(4)
    if kind == 0:
        path.symlink_to(canary(folder) / "file.txt")
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.mkdir()
    else:
        path.write_bytes(b"")
        os.truncate(path, 100 << 30)


# -- checkpoints ---------------------------------------------------------------------------------------------------


def records(data: bytes) -> dict[str, bytes]:
    """The records of a checkpoint by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Runs:
    """A pickle of it runs a command."""

    def __init__(self, command: str, how: int):
        self.command, self.how = command, how

    def __reduce__(self) -> Any:
        import builtins
        import subprocess

        code = f"__import__('os').system({self.command!r})"
        calls: list[Any] = [
            (os.system, (self.command,)), (builtins.eval, (code,)), (builtins.exec, (code,)),
            (subprocess.call, (["sh", "-c", self.command],)), (__import__, ("evil_module",)),
            (os.mkdir, ("evil",)), (builtins.print, (code,)),
        ]  # fmt: skip
        return calls[self.how % len(calls)]


def raw_opcodes(command: str, rng: random.Random) -> bytes:
    """Pickles written by hand, with opcodes that torch.save never writes."""
    text = command.encode()
    short = b"X" + struct.pack("<I", len(text)) + text
    return rng.choice([
        b"cos\nsystem\n(" + short + b"tR.", b"(" + short + b"ios\nsystem\n.", b"(cos\nsystem\n" + short + b"o.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93" + short + b"\x85R.", b"\x80\x02cposix\nsystem\n" + short + b"\x85R.",
        b"\x80\x02ctorch\nload\n" + short + b"\x85R.", b"\x80\x02ctorch.serialization\nload\n" + short + b"\x85R.",
        b"\x80\x02ctorch\nFloatStorage\nX\x01\x00\x00\x00a\x85\x81.", b"\x80\x02\x82\x01.", b"\x80\x02\x84\xff\xff\xff\xff.",
        b"\x80\x02]r\xff\xff\xff\x7f.", b"\x80\x02" + b"]" * 200_000 + b".", b"\x80\x02" + b"(" * 3_000_000 + b"t.",
        b"\x80\x02" + b"]" * 7_000_000 + b"0" * 10 + b".", b"\x80\x02" + b"}" * 7_000_000 + b".",
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1.", b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.", b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x02]q\x00" + b"(" + b"h\x00" * 10 + b"e.", b"\x80\x05\x97.", b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00ab.",
        b"\x80\x02" + b"]q\x01" + b"".join(b"](" + b"h" + bytes([i]) * 1 + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1]) for i in range(1, 40)) + b".",
        b"\x80\xff.", b"", b".", b"\x80\x02N" + b"\x85" * 100_000 + b".", b"\x80\x02N" + b"2\x86" * 200 + b".",
        b"ctorch.hub\nload\n(" + short + b"tR.", b"\x80\x02cfirerl.launch\nmain\n]\x85R.",
    ])  # fmt: skip


def run_code(folder: Path, name: str, rng: random.Random) -> None:
    """A pickle that would run a command: bare, in torch's old format, in an archive, as one entry of a state."""
    command = f"touch {canary(folder)}/ran"
    kind, path = rng.randrange(6), folder / name
    payload = Runs(command, rng.randrange(7))
    content = records(path.read_bytes())
    head = next(record for record in content if record.endswith("data.pkl"))
    if kind == 0:
        path.write_bytes(pickle.dumps(payload, protocol=rng.randrange(6)))
    elif kind == 1:
        buffer = io.BytesIO()
        torch.save({"weights": payload}, buffer, _use_new_zipfile_serialization=rng.random() < 0.5)
        path.write_bytes(buffer.getvalue())
    elif kind == 2:
        content[head] = pickle.dumps(("firerl checkpoint", 1, payload), protocol=rng.randrange(6))
        path.write_bytes(packed(content))
    elif kind == 3:  # in front of what was there: it runs, and the state comes after it
        content[head] = raw_opcodes(command, rng)[:-1] + b"0" + content[head]
        path.write_bytes(packed(content))
    else:
        content[head] = raw_opcodes(command, rng)
        path.write_bytes(packed(content))


def bomb(folder: Path, name: str, rng: random.Random) -> None:
    """Archives that are more than they seem: compressed, overlapping, named twice, with names that lead out."""
    path = folder / name
    content = records(path.read_bytes())
    base = next(iter(content)).partition("/")[0]
    kind = rng.randrange(8)
    if kind == 0:
        content[f"{base}/data/0"] = bytes(rng.choice([64, 400]) << 20)
        path.write_bytes(packed(content, zipfile.ZIP_DEFLATED))
    elif kind == 1:
        path.write_bytes(packed(content, rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])))
    elif kind == 2:
        path.write_bytes(packed({**content, rng.choice(["../../canary/ran", "/tmp/firerl-ran", f"{base}/../x"]): b"x"}))
    elif kind == 3:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for _ in range(rng.choice([2, 3])):
                for record, data in content.items():
                    info = zipfile.ZipInfo(record)
                    archive.writestr(info, data)
        path.write_bytes(buffer.getvalue())
    elif kind == 4:  # sizes in the table of contents
        data = bytearray(path.read_bytes())
        at = data.rfind(b"PK\x01\x02")
        struct.pack_into("<II", data, at + 20, rng.choice([0, 1, 2**31, 2**32 - 1]), rng.choice([0, 2**32 - 1, 2**31]))
        path.write_bytes(data)
    elif kind == 5:  # the end record
        data = bytearray(path.read_bytes())
        at = data.rfind(b"PK\x05\x06")
        struct.pack_into("<HHII", data, at + 8, *(rng.choice([0, 1, 65535]) for _ in range(2)),
                         *(rng.choice([0, 2**31, 2**32 - 1]) for _ in range(2)))  # fmt: skip
        path.write_bytes(data)
    elif kind == 6:
        path.write_bytes(packed({**content, **{f"{base}/data/{i}": b"" for i in range(1000, 4000)}}))
    else:  # large, and nothing refers to it
        content[f"{base}/data/999"] = bytes(200 << 20)
        path.write_bytes(packed(content))


def claims(folder: Path, name: str, rng: random.Random) -> None:
    """Tensors that claim to be what they are not: the numbers in the pickle."""
    path = folder / name
    content = records(path.read_bytes())
    head = next(record for record in content if record.endswith("data.pkl"))
    data = bytearray(content[head])
    if rng.random() < 0.5:  # sizes, strides, storages: small integers become others
        places = [i for i in range(len(data) - 1) if data[i : i + 1] in (b"K", b"M", b"J")]
        for at in rng.sample(places, min(len(places), rng.choice([1, 2, 4]))):
            width = {b"K": 2, b"M": 3, b"J": 5}[bytes(data[at : at + 1])]
            new = b"J" + struct.pack("<i", rng.choice([-1, 0, 2**31 - 1, 2**20, rng.randrange(1000), -(2**31)]))
            data[at : at + width] = rng.choice(
                [new, b"\x8a\x08" + struct.pack("<q", rng.choice([2**62, -1, 2**40])), new]
            )
            break
    else:
        one = torch.arange(4.0)
        tensors = [one.as_strided((10**6, 10**6), (0, 0)), one.as_strided((2,), (2,)), torch.zeros(4)[1:],
                   one.expand(3, 4), torch.nn.Parameter(one), one.to_sparse(), torch.zeros(2, device="meta")]  # fmt: skip
        state = {"weights": rng.choice(tensors), "stream": None, "a": one, "b": one}
        buffer = io.BytesIO()
        torch.save(("firerl checkpoint", 1, state), buffer)
        path.write_bytes(buffer.getvalue())
        return
    content[head] = bytes(data)
    path.write_bytes(packed(content))


def words(folder: Path, name: str, rng: random.Random) -> None:
    """Entries of our own encoding that no state of ours has."""
    numbers = torch.zeros(8, dtype=torch.uint8)
    shared: list[Any] = []
    for _ in range(40):
        shared = [shared] * 3
    deep: Any = 0
    for _ in range(rng.choice([500, 5000])):
        deep = [deep]
    wrong = rng.choice([
        ("ndarray", "O", [1], numbers), ("ndarray", "f8,f8", [1], numbers), ("ndarray", "<f8", [2**60], numbers),
        ("ndarray", "<f8", [-1, -1], numbers), ("ndarray", 3, [1], numbers), ("ndarray", "<f8", "x", numbers),
        ("ndarray", "<f8", [1], [1]), ("scalar", "<f8", numbers[:0].clone()), ("scalar", "U1000000", numbers),
        ("int", "f" * 1_000_000), ("int", 3), ("int", "zz"), ("bytes", 3), ("bytes", torch.zeros(3)), ("tuple", 3),
        ("what", 1), (), ("ndarray",), shared, deep, ("M8[s]", 1), {("int", "x"): 1}, [("tuple", shared)],
    ])  # fmt: skip
    best = checkpoint.read(folder / name)
    encoded = checkpoint._encode(best, "state", {})
    if isinstance(encoded, dict) and rng.random() < 0.7:
        encoded[rng.choice(list(encoded))] = wrong
    else:
        encoded = wrong
    buffer = io.BytesIO()
    try:
        torch.save(("firerl checkpoint", rng.choice([1, 1, 1, 2]), encoded), buffer)
    except RecursionError:
        buffer = io.BytesIO(b"")
    (folder / name).write_bytes(buffer.getvalue())


def entries(folder: Path, name: str, rng: random.Random) -> None:
    """A checkpoint whose encoding is right, and one of its entries is not."""
    state = checkpoint.read(folder / name)
    data = checkpoint.dumps(changed(state, rng))
    (folder / name).write_bytes(data)


def changed(value: Any, rng: random.Random) -> Any:
    """The same data with one entry replaced, removed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list | tuple) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        items = [changed(item, rng) if i == at else item for i, item in enumerate(value)]
        return type(value)(items)
    if hasattr(value, "shape") and rng.random() < 0.6:
        return rng.choice(
            [value[:0] if len(value.shape) else value, torch.full((3, 5), float("nan")), value.reshape(-1)]
        )
    return rng.choice(WEIRD)


def reseal_checkpoint(folder: Path, name: str, mutate: Mutate, rng: random.Random) -> None:
    """A mutated checkpoint with its new digest in the journal."""
    mutate(folder, name, rng)
    path = folder / name
    if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 30:
        row = (path.stat().st_size, files.digest(path.read_bytes()), path.name)
        with_journal(folder, lambda db: db.execute("UPDATE checkpoints SET size = ?, sha256 = ? WHERE name = ?", row))


# -- the journal ---------------------------------------------------------------------------------------------------


def with_journal(folder: Path, change: Callable[[sqlite3.Connection], Any], name: str = "journal.sqlite") -> None:
    """Change the journal and seal it again."""
    db = sqlite3.connect(folder / name, isolation_level=None)
    try:
        change(db)
        try:
            seal.recount_rows(db)
            seal.close(db)
        except (sqlite3.Error, TypeError, IndexError):
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
    key = rng.choice(["config", "config", "config", "promised", "initial_state", "results", "format"])

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


# -- texts ---------------------------------------------------------------------------------------------------------


def json_text(value: Any, rng: random.Random) -> str:
    text = json.dumps(value)
    return text.replace("NaN", rng.choice(["NaN", "1e999", "-Infinity"]))


def json_file(folder: Path, name: str, rng: random.Random) -> None:
    """One entry of a JSON file."""
    value = json.loads((folder / name).read_text())
    (folder / name).write_text(json_text(changed(value, rng), rng))


def json_wild(folder: Path, name: str, rng: random.Random) -> None:
    """JSON that is deep, long, or none."""
    text = rng.choice([
        "[" * 200_000, "[" * 200_000 + "]" * 200_000, '{"a":' * 100_000, "1" * 100_000, "-1e99999", "NaN", "null", "[]",
        '"' + "x" * 20_000_000 + '"', "[" + "[]," * 3_000_000 + "[]]", "[" + "1," * 4_000_000 + "1]", '{"hash": 1}',
        '{"a": 1, "a": 2}', "\ufeff{}", '"\\ud800"', "{" + ",".join(f'"{i}":[]' for i in range(300_000)) + "}",
    ])  # fmt: skip
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass") if rng.random() < 0.9 else rng.randbytes(300))


def yaml_wild(folder: Path, name: str, rng: random.Random) -> None:
    """YAML that names objects, multiplies, goes deep or takes long."""
    laughs = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 30)
    )
    run = f"touch {canary(folder)}/ran"
    text = rng.choice([
        f"!!python/object/apply:os.system ['{run}']", f"schedule: !!python/object/apply:subprocess.call [[sh, -c, '{run}']]",
        "schedule: !!python/module:evil_module {}", "!!python/name:os.system", "!!python/object/new:os.system [x]",
        f"_target_: os.system\n_args_: ['{run}']\nschedule: []", laughs, laughs + "schedule: *a29", merges,
        "schedule: &a [*a]", "&a {schedule: *a}", "[" * 100_000, "- " * 100_000 + "x", "{a: " * 50_000,
        "schedule: " + "1:" * 300_000 + "1", "schedule: 0x" + "f" * 900_000, "a: 2001-99-99", "? [a]\n: b",
        "? {a: b}\n: c", "schedule: [{from: 0, to: 10, hyperparameters: {lr: 0.1}}]", "schedule:\n" + "- {}\n" * 200_000,
        "schedule: " + "9" * 10_000, "--- a\n--- b", "%YAML 9.9\n---\na", "!!binary '////'", "schedule: !!set {a, b}",
        "schedule: !!timestamp 2001-01-01", "schedule: [.nan]", "\x00", "schedule: !!omap [a: b]", "x" * 1_400_000,
        "schedule: " + "[" * 40 + "]" * 40, "- [" + "[],"  * 400_000 + "]", "*a", "a: *b", "schedule: !<tag:x> y",
    ])  # fmt: skip
    (folder / name).write_text(text)


def by_hand(folder: Path, name: str, rng: random.Random) -> None:
    """A schedule edited by hand: rows and values that are not what they must be."""
    import yaml

    content = yaml.safe_load((folder / name).read_text())
    (folder / name).write_text(yaml.safe_dump(plain(changed(content, rng)), sort_keys=False))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def text_line(folder: Path, name: str, rng: random.Random) -> None:
    """What else ``lock`` may say."""
    here = os.uname().nodename
    line = rng.choice(["1 x y", f"{os.getpid()} {here} z", f"{10**30} {here}", "-1 a", "\u0663 " + here, "\x1b[2J", "9" * 5000,
                       f"99999999999 {here} x", "1 " + "h" * 100_000, f"0 {here}", "\n" * 50])  # fmt: skip
    (folder / name).write_text(line)


def arrays(folder: Path, name: str, rng: random.Random) -> None:
    """A cache file with a right digest around what are no arrays of ours."""
    import hashlib

    import numpy as np

    buffer = io.BytesIO()
    kind = rng.randrange(4)
    if kind == 0:
        np.savez_compressed(buffer, x=np.zeros(60_000_000))
    elif kind == 1:
        np.savez(buffer, x=np.array([Runs(f"touch {canary(folder)}/ran", 0)], dtype=object))
    elif kind == 2:
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % rng.choice([10**9, 10**12, 10**18, -1])
        head = head.ljust(117) + b"\n"
        buffer.write(packed({"x.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"x"}))
    else:
        buffer.write(
            rng.choice([packed({"x.npy": b"\x93NUMPY\x09\x00" + b"z" * 100}), packed({"../x": b"y"}), b"", b"PK"])
        )
    content = buffer.getvalue()
    (folder / name).write_bytes(hashlib.sha256(content).hexdigest().encode() + content)

"""Checkpoints that are hostile or broken: see ``mutations.py``."""

# ruff: noqa: E501  payloads are read best in one piece

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from mutations import Mutate, canary, changed
from mutations_journal import with_journal

from firerl.base.disk import files
from firerl.storage import checkpoint


def parts(data: bytes) -> tuple[dict[str, Any], Any, bytes]:
    """A checkpoint's table of tensors, its other words, and its numbers."""
    end = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:end])
    return table, json.loads(table.pop("__metadata__")["firerl"].split(" ", 2)[2]), data[end:]


def packed(table: dict[str, Any], text: str, numbers: bytes, version: str = "2") -> bytes:
    """A checkpoint of these, with right checksums of the words."""
    told = f"{version} {zlib.crc32(text.encode())} {text}"
    head = json.dumps({"__metadata__": {"firerl": told}, **table}).encode()
    return struct.pack("<Q", len(head)) + head + numbers


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


class Runs:
    """A pickle of it runs a command."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self) -> Any:
        return (os.system, (self.command,))


def run_code(folder: Path, name: str, rng: random.Random) -> None:
    """A pickle that would run a command: bare, in both formats of torch.save, in front of what was there, as a word."""
    path = folder / name
    payload = Runs(f"touch {canary(folder)}/ran")
    bare, kind = pickle.dumps(payload, protocol=rng.randrange(6)), rng.randrange(4)
    if kind == 0:
        path.write_bytes(bare)
    elif kind == 1:
        buffer = io.BytesIO()
        torch.save({"weights": payload}, buffer, _use_new_zipfile_serialization=rng.random() < 0.5)
        path.write_bytes(buffer.getvalue())
    elif kind == 2:
        path.write_bytes(bare + path.read_bytes())
    else:
        table, _, numbers = parts(path.read_bytes())
        path.write_bytes(packed(table, json.dumps(["pickle", bare.hex()]), numbers))


def heads(folder: Path, name: str, rng: random.Random) -> None:
    """Headers that are long, deep, many, or not what they say."""
    path = folder / name
    table, words, numbers = parts(path.read_bytes())
    kind = rng.randrange(6)
    if kind == 0:  # how long it is
        length = rng.choice([0, 1, 7, 8 << 20, (8 << 20) + 1, 100_000_000, 2**31, 2**63, 2**64 - 1])
        path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    elif kind == 1:
        head = rng.choice([b"[" * 4_000_000, b'{"a":' * 1_000_000, b"{}", b"null", b'{"__metadata__":null}', b"\xff" * 99,
                           b'{"__metadata__":{"firerl":3}}', b'{"__metadata__":{"firerl":"2"}}', b" " * (7 << 20)])  # fmt: skip
        path.write_bytes(struct.pack("<Q", len(head)) + head + numbers)
    elif kind == 2:  # tensors without numbers
        shape = rng.choice([[0], [0, 2**62], [2**62, 2**62, 0], [0] * 20])
        end = len(numbers)
        more = {f"{i}": {"dtype": "F32", "shape": shape, "data_offsets": [end, end]} for i in range(20_000)}
        path.write_bytes(packed({**table, **more}, json.dumps(words), numbers))
    elif kind == 3:
        text = rng.choice(["{}," * 2_000_000, '["list"],' * 700_000, "0," * 3_500_000, '"",' * 2_000_000, "[[]],"])
        path.write_bytes(packed(table, f'["list",{text}0]', numbers))
    elif kind == 4:
        deep = rng.choice([500, 5_000, 1_000_000])
        path.write_bytes(packed(table, '["list",' * deep + "0" + "]" * deep, numbers))
    else:
        more = {
            "more": {"dtype": "U8", "shape": [200 << 20], "data_offsets": [len(numbers), len(numbers) + (200 << 20)]}
        }
        path.write_bytes(packed({**table, **more}, json.dumps(words), numbers + bytes(200 << 20)))


def claims(folder: Path, name: str, rng: random.Random) -> None:
    """Tensors that claim to be what they are not."""
    path = folder / name
    table, words, numbers = parts(path.read_bytes())
    number = rng.choice([-1, 0, 1, 2**20, 2**31, 2**40, 2**62, 2**63, 2**64 - 1, 10**30, 1.5, None, "x", [1]])
    for entry in rng.sample(list(table.values()), min(len(table), rng.choice([1, 2, 4]))):
        kind = rng.randrange(5)
        if kind == 0:
            entry["data_offsets"][rng.randrange(2)] = number
        elif kind == 1:
            entry["shape"] = rng.choice([[number], [number] * 2, [*entry["shape"], number], [1] * 100_000, number])
        elif kind == 2:
            entry["dtype"] = rng.choice(
                ["F64", "F32", "BOOL", "U8", "F8_E8M0", "F4", "C64", "O", "", "x" * 100_000, None]
            )
        elif kind == 3:
            entry["data_offsets"] = rng.choice(list(table.values()))["data_offsets"]
        else:
            entry[rng.choice(["more", "dtype", "shape"])] = number
    path.write_bytes(packed(table, json.dumps(words), numbers))


def words(folder: Path, name: str, rng: random.Random) -> None:
    """Entries of our own encoding that no state of ours has."""
    path = folder / name
    table, told, numbers = parts(path.read_bytes())
    table = {**table, "x": {"dtype": "U8", "shape": [8], "data_offsets": [len(numbers), len(numbers) + 8]}}
    ours = ["x", zlib.crc32(bytes(8))]
    wrong = rng.choice([
        ["ndarray", *ours, "O", [1]], ["ndarray", *ours, "f8,f8", [1]], ["ndarray", *ours, "<f8", [2**60]],
        ["ndarray", *ours, "<f8", [-1, -1]], ["ndarray", *ours, 3, [1]], ["ndarray", *ours, "<f8", "x"], ["ndarray"],
        ["scalar", *ours, "U1000000"], ["scalar", *ours, "<f8", 1], ["bytes", "y", 0], ["bytes", "x", 0], ["bytes", [], {}],
        ["laid", *ours, "float32", [10**6, 10**6], [0, 0]], ["laid", *ours, "float32", [2], [2]], ["laid", *ours, "quint8", [8], [1]],
        ["laid", *ours, "float32", [2], [-1]], ["laid", *ours, "float32", [2**62, 4], [1, 1]], ["laid", *ours, "float32", 2, 1],
        ["laid", *ours, "float32", [2] + [1] * 1_000_000, [1] * 1_000_001], ["laid", *ours, [], [2], [1]],
        ["int", "f" * 1_000_000], ["int", 3], ["int", "zz" * 100_000], ["float", "00"], ["float", "x" * 100_000], ["tuple"],
        ["dict", 1], ["dict", [[], 1]], ["dict", [["list"], 1]], ["what" * 1000, 1], [], [[]], ["tensor", *ours], 10**30, 1e999,
        ["list", ["tensor", *ours], ["tensor", *ours]],
    ])  # fmt: skip
    if isinstance(told, dict) and rng.random() < 0.7:
        wrong = {**told, rng.choice(list(told)): wrong}
    path.write_bytes(packed(table, json.dumps(wrong), numbers + bytes(8), rng.choice(["2", "2", "2", "3", ""])))


def entries(folder: Path, name: str, rng: random.Random) -> None:
    """A checkpoint whose encoding is right, and one of its entries is not."""
    state = checkpoint.read(folder / name)
    data = checkpoint.dumps(changed(state, rng))
    (folder / name).write_bytes(data)


def reseal_checkpoint(mutate: Mutate, folder: Path, name: str, rng: random.Random) -> None:
    """A mutated checkpoint with its new digest in the journal."""
    mutate(folder, name, rng)
    path = folder / name
    if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 30:
        row = (path.stat().st_size, files.digest(path.read_bytes()), path.name)
        with_journal(folder, lambda db: db.execute("UPDATE checkpoints SET size = ?, sha256 = ? WHERE name = ?", row))


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
        buffer.write(zipped("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"x"))
    else:
        bad = [zipped("x.npy", b"\x93NUMPY\x09\x00" + b"z" * 100), zipped("../x", b"y"), b"", b"PK"]
        buffer.write(rng.choice(bad))
    content = buffer.getvalue()
    (folder / name).write_bytes(hashlib.sha256(content).hexdigest().encode() + content)

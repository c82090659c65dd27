"""Checkpoints that are hostile or broken: see ``mutations.py``."""

# ruff: noqa: E501  payloads are read best in one piece

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from mutations import Mutate, canary, changed
from mutations_journal import with_journal

from firerl.base.disk import files
from firerl.storage import checkpoint


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
        buffer.write(packed({"x.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"x"}))
    else:
        buffer.write(
            rng.choice([packed({"x.npy": b"\x93NUMPY\x09\x00" + b"z" * 100}), packed({"../x": b"y"}), b"", b"PK"])
        )
    content = buffer.getvalue()
    (folder / name).write_bytes(hashlib.sha256(content).hexdigest().encode() + content)

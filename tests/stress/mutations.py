"""What a hostile or broken file may look like: every mutation that ``mutated_files.py`` tries.

A mutation is a function of (run folder, the file's path in it, a random generator); each leaves a folder that is wrong
in one way. What has digests is sealed again where that makes a difference: an attacker can do that, too.
"""

# ruff: noqa: E501  payloads are read best in one piece

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Mutate = Callable[[Path, str, random.Random], None]
WEIRD: list[Any] = [
    None, True, -1, 0, 3, 2**31, 2**63, 2**64, -(2**63), 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "x",
    "../../canary/file.txt", "/etc/passwd", "x" * 100_000, "\x00", "nan", [], [[]], {}, {"a": 1}, [1] * 1000,
    {"float": "x"}, {"float": []}, {"mapping": 3}, "evil_module.Own", "evil_module", "evil_module:Own-v0",
]  # fmt: skip


def canary(folder: Path) -> Path:
    """The tree that nobody may touch."""
    return folder.parents[2] / "canary"


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

"""Files of anybody: what is read, what is refused, and how large it may be."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mutations_checkpoint import packed, parts

from firerl import api
from firerl.base.disk import untrusted
from firerl.errors import RunFolderError, SettingError
from firerl.evolution import plain
from firerl.insight.report.films import films
from firerl.storage import checkpoint
from firerl.storage.journal.journal_db import Journal
from firerl.storage.lock import Lock
from firerl.storage.run_folder import check_files
from firerl.storage.store import Store


def test_an_ordinary_file_is_read_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert untrusted.read_bytes(tmp_path / "file", 3) == b"abc"
    assert untrusted.read_bytes(tmp_path / "file", 1 << 62) == b"abc"  # a limit is no request for memory
    with pytest.raises(ValueError, match="it has 3 bytes, at most 2 are read"):
        untrusted.read_bytes(tmp_path / "file", 2)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="no ordinary file"):
            untrusted.read_bytes(path, 10)
    with pytest.raises(IsADirectoryError):
        untrusted.read_bytes(tmp_path, 10)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        (
            "[" * 5_000,
            "nested more than 50 deep|did not find|maximum nesting depth",
        ),  # libyaml's own stack would end the process
        ("- " * 5_000 + "x", "nested more than 50 deep"),
        ("a: &a [*a]", "aliases make more than"),
        (
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
            "aliases",
        ),
        ("a0: &a0 {x: 1}\na1: {<<: *a0}", "merges"),
        ("a: " + "1:" * 5_000 + "1", "a word of 10,001 characters"),
        ("a: 2001-99-99", "month must be in|ValueError"),
        ("a: [", "while parsing"),
    ],
)
def test_yaml_is_plain_and_small(text: str, why: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=why):
        untrusted.parse_yaml(text)
    assert time.process_time() - started < 2


def test_aliases_that_repeat_little_are_read() -> None:
    assert untrusted.parse_yaml("a: &x {lr: 0.1}\nb: *x") == {"a": {"lr": 0.1}, "b": {"lr": 0.1}}


def test_json_is_no_deeper_than_python_goes(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        untrusted.read_json(tmp_path / "x")
    with pytest.raises(ValueError, match="nested too deeply"):
        plain.loads("[" * 100_000)
    with pytest.raises(ValueError, match="entries"):
        plain.loads("[" + "[]," * 2_100_000 + "[]]")


def test_a_tensor_is_as_large_as_its_numbers(tmp_path: Path) -> None:
    table, told, numbers = parts(checkpoint.dumps({"x": torch.arange(12.0), "turned": torch.randn(3, 4).t()}))
    whole = json.dumps(told)
    entry, form = table["x"], "[4, 3], [1, 4]"
    assert form in whole
    for wrong, text, why in (
        ({"shape": [2**30]}, whole, "no checkpoint"),
        ({"data_offsets": [0, 44], "shape": [11]}, whole, "no checkpoint"),
        ({"data_offsets": [4, 48], "shape": [11]}, whole, "no checkpoint"),
        ({"shape": [1] * 65 + [12]}, whole, "damaged"),
        ({}, whole.replace(form, "[1000000, 1000000], [0, 0]"), "larger than its numbers"),
        ({}, whole.replace(form, "[4, 3], [9, 9]"), "none of ours"),
        ({}, whole.replace('"float32"', '"quint8"'), "none of ours"),
        ({}, whole.replace('["tensor", "x"', '["tensor", "y"'), "none of ours"),
        ({}, "{}", "nothing refers to its tensor 'turned'"),
    ):
        (tmp_path / "x.pt").write_bytes(packed({**table, "x": {**entry, **wrong}}, text, numbers))
        with pytest.raises(RunFolderError, match=why):
            checkpoint.read(tmp_path / "x.pt")


def test_what_dumps_writes_read_reads(tmp_path: Path) -> None:
    state = {
        "channels": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), "turned": torch.randn(3, 4).t(),
        "none": torch.zeros(0, 3), "one": torch.tensor(2), "wide": torch.ones(1, 3).expand(4, 3),
        "small": torch.zeros(3, dtype=torch.uint16), "half": torch.zeros(2, dtype=torch.bfloat16),
        "numbers": np.arange(6.0).reshape(2, 3), "large": 2**80, "nested": [(1, (), b"x", None)],
    }  # fmt: skip
    (tmp_path / "x.pt").write_bytes(checkpoint.dumps(state))
    assert checkpoint.dumps(checkpoint.read(tmp_path / "x.pt")) == checkpoint.dumps(state)


def test_a_state_that_could_not_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="keep numbers in arrays"):
        checkpoint.dumps({"weights": [float(i) for i in range(1_000_000)]})
    monkeypatch.setattr(untrusted, "CHECKPOINT", 1000)
    with pytest.raises(SettingError, match="a checkpoint has at most 1,000"):
        checkpoint.dumps({"weights": torch.zeros(1000)})


def test_a_header_is_no_longer_than_may_be_read(tmp_path: Path) -> None:
    head = b" " * (untrusted.HEADER + 1)
    (tmp_path / "x.pt").write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(RunFolderError, match="bytes besides its tensors, at most"):
        checkpoint.read(tmp_path / "x.pt")


# -- the folder ----------------------------------------------------------------------------------------------------

RUN = {"population": [2], "evaluators": 0, "algo": "pbt", "steps": 20, "eval_interval": 5, "ready_interval": 20,
       "engine": "inline", "progress": False}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    api.run("quadratic", run_dir=tmp_path / "run", **RUN)
    return tmp_path / "run"


@pytest.mark.parametrize(
    "name", ["lock", "failures.log", "journal.bak", "config.yaml.77.tmp", "checkpoints", "tensorboard"]
)
@pytest.mark.unverified("its folder is spoilt on purpose")
def test_a_link_in_a_run_folder_leads_nowhere(run: Path, tmp_path: Path, name: str) -> None:
    """Whoever went on with it wrote where ``lock`` led, and removed what ``checkpoints`` led to."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "g000001-w0.pt").write_text("mine")
    target = precious if name in ("checkpoints", "tensorboard") else precious / "g000001-w0.pt"
    if (run / name).is_dir():
        (run / name).rename(run.parent / "aside")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    for act in (lambda: Store.open(run), lambda: api.resume(run, steps=40, progress=False), lambda: Lock(run)):
        with pytest.raises(RunFolderError, match=f"{name} is a link"):
            act()
    assert (precious / "g000001-w0.pt").read_text() == "mine"
    assert len(list(precious.iterdir())) == 1


@pytest.mark.unverified("its folder is spoilt on purpose")
def test_a_second_name_is_no_place_to_write(run: Path, tmp_path: Path) -> None:
    (run / "failures.log").unlink(missing_ok=True)
    (tmp_path / "precious").write_text("mine")
    os.link(tmp_path / "precious", run / "failures.log")
    check_files(run)  # reading it does no harm
    with pytest.raises(RunFolderError, match="has a second name"):
        Store.open(run)


@pytest.mark.unverified("its folder is spoilt on purpose")
def test_a_rollback_journal_names_no_file_to_delete(run: Path, tmp_path: Path) -> None:
    """SQLite, where it rolls one back, deletes the super-journal that it names, whatever file that is."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    page, size = (run / "journal.sqlite").read_bytes()[:4096], (run / "journal.sqlite").stat().st_size
    magic, name, nonce = bytes.fromhex("d9d505f920a163d7"), str(precious).encode(), 7
    head = (magic + struct.pack(">IIIII", 1, nonce, size // 4096, 512, 4096)).ljust(512, b"\0")
    check = nonce + sum(page[i] for i in range(4096 - 200, 0, -200))
    body = head + struct.pack(">I", 1) + page + struct.pack(">I", check)
    log = body + struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes((run / "journal.sqlite").read_bytes())
    Path(f"{copy}-journal").write_bytes(log)
    db = sqlite3.connect(copy)
    db.execute("SELECT * FROM meta").fetchall()
    db.close()
    assert not precious.exists()  # so it is

    precious.write_text("mine")
    (run / "journal.sqlite-journal").write_bytes(log)
    for act in (Store.open, Journal.open):
        with pytest.raises(RunFolderError, match="names another file"):
            act(run)
    assert precious.read_text() == "mine"


def test_the_journal_of_a_large_and_long_run_can_be_read() -> None:
    """1,000 workers, 15,000 evaluations each, some 520 bytes a report (docs/lab/scale.md)."""
    assert untrusted.JOURNAL > 1000 * 15_000 * 520


@pytest.mark.unverified("its journal is spoilt on purpose")
@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE notes RENAME TO o", "CREATE VIEW notes AS SELECT 1 AS time, 'x' AS text"],
        ["CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM reports; END"],
        ["CREATE TABLE more (x)"],
        ["CREATE INDEX i ON notes (text)"],
    ],
)
def test_a_journal_holds_our_tables_and_no_code(run: Path, statements: list[str]) -> None:
    db = sqlite3.connect(run / "journal.sqlite")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    with pytest.raises(RunFolderError, match="which is none of ours"):
        Journal.open(run)


@pytest.mark.unverified("its folder is spoilt on purpose")
def test_the_report_shows_no_file_that_a_link_leads_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (run / "film.mp4").symlink_to(tmp_path / "secret")
    assert films(run, run / "report.html", 10**6) == []


def test_nothing_listens(tmp_path: Path) -> None:
    """A population in processes of its own opens no socket that anybody could connect to."""
    import subprocess
    import sys

    code = """
import sys
seen = []
def look(event, arguments):
    # urllib3, where something brings it along, binds ::1 for a moment to learn whether the machine has IPv6.
    if event in ("socket.bind", "socket.connect") and arguments[1] != ("::1", 0):
        seen.append((event, arguments[1]))
sys.addaudithook(look)
import firerl
firerl.run("quadratic", population=[2], evaluators=0, algo="pbt", steps=20, eval_interval=5, ready_interval=20,
           processes=2, progress=False, run_dir="run")
assert not seen, seen
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Printing: nothing steers a terminal, whatever it comes from, and no stream ends a run."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import firerl
from firerl.base import terminal
from firerl.base.terminal import Lasting, clean, clean_lines, lasting, say
from firerl.commands import main
from firerl.errors import FirerlError, SettingError, unknown
from firerl.storage.journal import seal

ROOT = Path(firerl.__file__).parents[1]
EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\u202eevil\r\n\x00\ud800"
SHOWN = r"\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\u202eevil\r\n\x00\ud800"
SMALL = [
    "learner=quadratic", "population.sizes=[2]", "population.evaluators=0", "algo=pbt", "eval_interval=10",
    "ready_interval=30", "steps=60", "logger=none",
]  # fmt: skip
PRINTS = """
import sys
from firerl.agents.quadratic.learner import Quadratic


class Prints(Quadratic):
    def train(self, steps):
        for stream in (sys.stdout, sys.stderr):
            print("größe " * 200, file=stream, flush=True)
        return super().train(steps)
"""


def test_clean() -> None:
    assert clean(EVIL) == SHOWN
    assert clean(clean(EVIL)) == SHOWN
    assert clean("a\tb größe → 数 \U0001f600") == "a\tb größe → 数 \U0001f600"
    assert clean_lines("a\nb\x1b[0m\n") == "a\nb\\x1b[0m\n"
    assert str(SettingError(f"x={EVIL}")).isprintable() or "\n" in str(SettingError(f"x={EVIL}"))
    assert "\x1b" not in str(unknown("learner", EVIL, [EVIL])) + repr(FirerlError("x"))


def test_nothing_is_printed_but_by_say() -> None:
    """A line that goes another way is a line that nobody cleans."""
    ways = re.compile(r"\bprint\(|\b(stdout|stderr)\.write\(")
    others = [
        path.relative_to(ROOT).as_posix()
        for room in ("firerl", "agents", "envs")
        for path in (ROOT / room).rglob("*.py")
        if path.name != "terminal.py" and ways.search(re.sub(r"console\.print\(|_print\(", "", path.read_text()))
    ]
    assert others == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_an_escape(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say("größe → \x1b[2J", "two")
    with lasting():
        print("größe →")
    stream.flush()
    ascii_only = b"gr\\xf6\\xdfe \\u2192 \\x1b[2J\ntwo\ngr\\xf6\\xdfe \\u2192\n"
    assert (
        data.getvalue()
        == {
            "ascii": ascii_only,
            "latin-1": ascii_only.replace(b"\\xf6\\xdf", "öß".encode("latin-1")),
            "utf-8": "größe → \\x1b[2J\ntwo\ngröße →\n".encode(),
        }[encoding]
    )


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_is_lost_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(OSError, match="No space"):
        say("x")
    with lasting():
        say("x")
        print("x")
        sys.stdout.flush()
        assert not sys.stdout.isatty()
        with lasting():
            say("x")
    told = "firerl: standard output cannot be written (No space left on device); the run goes on without it\n"
    assert capsys.readouterr().err == told
    monkeypatch.setattr(sys, "stderr", Broken())
    say("x", error=True)
    terminal.overwrite("x")
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        kept = Lasting(stream, "standard error")
        assert kept.write("x") == 1
        kept.flush()
        assert not kept.isatty()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    say("x")
    say("x", error=True)
    terminal.overwrite("x")


@pytest.mark.parametrize(
    ("engine", "where"),
    [
        ("inline", ">/dev/full"), ("local", ">/dev/full 2>&1"), ("inline", ">&- 2>&- <&-"),
        ("local", "| head -n 1"),
    ],
)  # fmt: skip
def test_no_stream_ends_a_run(engine: str, where: str, tmp_path: Path) -> None:
    """Also where the learner prints, in the engine's processes, what an ASCII terminal lacks."""
    (tmp_path / "prints.py").write_text(PRINTS)
    words = [sys.executable, "-m", "firerl.launch", *SMALL[1:], "learner=prints.Prints", f"engine={engine}"]
    line = " ".join(f"'{word}'" for word in [*words, "engine.processes=null", "run_dir=größe"])
    done = shell(f"set -o pipefail; {line} {where}", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "größe/result.json").read_text())["steps"] == 60
    assert not (tmp_path / "größe/failures.log").exists()
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, timeout=200
    )


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose journal holds what steers a terminal wherever a text may stand."""
    run_dir = tmp_path_factory.mktemp("evil") / "run"
    assert main(["launch", *SMALL, "engine=inline", f"run_dir={run_dir}"]) == 0
    shutil.copytree(run_dir, run_dir.with_name("other"))
    for name in ("journal.sqlite", "journal.bak"):
        with closing(sqlite3.connect(run_dir / name, isolation_level=None)) as db:
            config = json.loads(db.execute("select value from meta where key='config'").fetchone()[0])
            config["task"] = EVIL
            config["settings"][EVIL] = EVIL
            db.execute("update meta set value=? where key='config'", (json.dumps(config, sort_keys=True),))
            db.execute("update reports set metrics=?", (json.dumps({EVIL: 1.0}),))
            db.execute("update reports set failure=? where worker=1 and step=10", (EVIL.replace("\ud800", ""),))
            seal.recount_rows(db)
            seal.close(db)
    return run_dir


@pytest.mark.unverified("its journal is changed on purpose")
@pytest.mark.parametrize(
    "command",
    [
        ["explain"], ["explain", "--verify"], ["journal", "--reports"], ["report"], ["play"], ["doctor"],
        ["compare", "../other", "--no-plot"], ["compare", "../other", "--no-plot", "--csv=-"], ["replay"],
        ["export", "--onnx", "x.onnx"], ["launch"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_strangers_run_steers_no_terminal(
    command: Sequence[str], evil: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(evil)
    where = f"resume={evil}" if command[0] == "launch" else str(evil)
    main([command[0], where, *command[1:]])
    printed = "".join(capsys.readouterr())
    assert printed
    assert clean_lines(printed) == printed


def test_names_steer_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What a person pastes: settings, options, folders."""
    for arguments in (
        ["launch", f"learner={EVIL[:-1]}"], ["launch", f"{EVIL[:-1]}=1"],
        ["launch", "learner=quadratic", "space.lr=\x1b[2J"],
        ["explain", str(tmp_path / "\x1b[2J")], ["check", "quadratic", "seed=\x1b"], ["\x1b[2J"],
        ["journal", "x", "--\x1b"],
        ["plan", "learner=\x1b"], ["report", "x", "--out", str(tmp_path / "\x1b" / "x.html")],
    ):  # fmt: skip
        assert main(arguments) != 0
        printed = "".join(capsys.readouterr())
        assert "x1b" in printed, arguments
        assert clean_lines(printed) == printed

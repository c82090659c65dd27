"""The entry point: what becomes of a reader that leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from firerl import commands


@pytest.mark.parametrize(
    ("text", "flush"), [("short", False), ("short", True), ("long\n" * 9_000, False)], ids=["kept", "flushed", "long"]
)
def test_a_reader_that_has_left_is_no_error(
    text: str, flush: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def action() -> int:
        print(text, flush=flush)
        return 1

    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert commands.guarded(action) == 0
        assert commands.guarded(action) == 1  # from now on it goes nowhere
    assert capfd.readouterr().err == ""


def test_another_broken_pipe_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        raise BrokenPipeError("of a process")

    assert commands.guarded(action) == 1
    assert capsys.readouterr().err == "firerl: of a process\n"


def test_commands_survive_a_reader_that_leaves() -> None:
    command = f"set -o pipefail; {sys.executable} -m firerl.plan --help | head -c 0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "a/b"), "cannot use a/b: No space left on device"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "cannot move a to b: Invalid cross-device link"),
        (OSError(28, "cannot write a/b: No space left on device"), "cannot write a/b: No space left on device"),
        (OSError("cannot write a: disk I/O error"), "cannot write a: disk I/O error"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_what_the_system_refuses_is_told_with_its_file(
    error: OSError, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> int:
        raise error

    assert commands.guarded(action) == 1
    assert capsys.readouterr().err == f"firerl: {line}\n"


def test_a_file_that_cannot_be_opened_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        with open("no/such/file", "w"):
            return 0

    assert commands.guarded(action) == 1
    assert capsys.readouterr().err == "firerl: cannot use no/such/file: No such file or directory\n"

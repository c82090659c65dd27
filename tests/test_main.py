"""The entry point: what becomes of a reader that leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from firerl import main


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
        assert main.guarded(action) == 0
        assert main.guarded(action) == 1  # from now on it goes nowhere
    assert capfd.readouterr().err == ""


def test_another_broken_pipe_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        raise BrokenPipeError("of a process")

    assert main.guarded(action) == 1
    assert capsys.readouterr().err == "firerl: of a process\n"


def test_commands_survive_a_reader_that_leaves() -> None:
    command = f"set -o pipefail; {sys.executable} -m firerl.plan --help | head -c 0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

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


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_every_command_runs_as_a_module_and_tells_its_help_at_once(command: str) -> None:
    """Both ``python -m firerl <command>`` and ``python -m firerl.<command>``."""
    for module in (["firerl", command], [f"firerl.{command}"]):
        before = os.times()
        line = [sys.executable, "-m", *module, "--help"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        spent = os.times().children_user - before.children_user  # of this process alone: others may be at work
        assert (done.returncode, done.stderr) == (0, "")
        assert command in done.stdout
        assert spent < 1.5


def test_the_package_runs_as_a_module() -> None:
    line = [sys.executable, "-m", "firerl"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"  {command} " in done.stdout for command in commands.COMMANDS)
    done = subprocess.run([*line, "lanch"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'launch'" in done.stderr

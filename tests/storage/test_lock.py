"""One run folder, one process: who is refused, who is not blocked, who has to stop."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import firerl
from firerl.errors import RunFolderError
from firerl.session.watching.progress import Silent
from firerl.storage.lock import Lock, refuse_if_held

HOLD = "import sys, time; from pathlib import Path; from firerl.storage.lock import Lock\n"
HOLD += "held = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
SMALL = {"steps": 120, "engine": "inline", "progress": False}


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_with_the_first_ones_process_id(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    for door in (Lock, refuse_if_held):
        with pytest.raises(RunFolderError, match=rf"in use by another firerl \(process {holder.pid}\)"):
            door(tmp_path)
    with pytest.raises(RunFolderError, match=f"process {holder.pid}"):
        firerl.run("quadratic", run_dir=tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_dead_holder_blocks_nobody(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    refuse_if_held(tmp_path)
    Lock(tmp_path).close()


def test_a_run_that_goes_on_refuses_start_and_resume(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    firerl.run("quadratic", run_dir=run_dir, **SMALL)
    held = Lock(run_dir)
    mine = rf"in use by another firerl \(process {os.getpid()}\)"
    with pytest.raises(RunFolderError, match=mine):
        firerl.run("quadratic", run_dir=run_dir, **SMALL)
    with pytest.raises(RunFolderError, match=mine):
        firerl.resume(run_dir, steps=180, progress=False)
    held.close()
    firerl.resume(run_dir, steps=180, progress=False)


def test_a_holder_elsewhere_is_named_with_its_machine(tmp_path: Path) -> None:
    held = Lock(tmp_path)
    path = tmp_path / "lock"
    path.write_text(path.read_text().replace(socket.gethostname(), "node-3"))
    with pytest.raises(RunFolderError, match=rf"process {os.getpid()} on node-3"):
        Lock(tmp_path)
    held.close()


def test_a_forked_child_does_not_hold_the_folder(tmp_path: Path) -> None:
    """Such as a learner's data loader, which may outlive its parent."""
    held = Lock(tmp_path)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    held.close()
    try:
        Lock(tmp_path).close()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def test_a_lock_that_was_removed_is_taken_again(tmp_path: Path) -> None:
    held = Lock(tmp_path)
    (tmp_path / "lock").unlink()
    held.check()
    with pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        Lock(tmp_path)
    held.close()
    Lock(tmp_path).close()


@pytest.mark.parametrize("how", ["no locks across machines", "the lock was removed"])
def test_where_two_hold_one_folder_the_first_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    first = Lock(tmp_path)
    first.check()
    if how == "the lock was removed":
        (tmp_path / "lock").unlink()
    else:
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    second = Lock(tmp_path)
    second.check()
    with pytest.raises(RunFolderError, match=rf"was given to process {os.getpid()}"):
        first.check()
    second.close()
    first.close()


def test_a_run_whose_folder_was_given_away_stops_at_its_next_commit(tmp_path: Path) -> None:
    run_dir, rounds = tmp_path / "r", []

    class Thief(Silent):
        def round_done(self, round: object) -> None:
            rounds.append(round)
            if len(rounds) == 8:
                (run_dir / "lock").unlink()
                Lock(run_dir)

    with pytest.raises(RunFolderError, match=re.escape(f"{run_dir} was given to process {os.getpid()}")):
        firerl.run("quadratic", run_dir=run_dir, observer=Thief(), **SMALL)
    assert len(rounds) < 12  # the next ready

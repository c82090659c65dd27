"""What learners start must not outlive their engine: simulators' servers, pools of readers, whatever they start.

Each process of an engine has a mark in its environment, which what it starts inherits, also what leaves it. On Linux
all processes that bear it, and all that descend from an engine's processes, are found in /proc and killed: when the
engine is closed, and those with the mark, by a guard that waits for the end of the controller, also when that was
killed itself. Elsewhere nothing is found.

A thread's environment is that of its process. A run's own helpers, as a logger's process, may be started while a
learner of the inline engine is at work: they are given the ``unmarked`` environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

_PREFIX = "FIRERL_ENGINE_"
_PATIENCE = 10.0  # seconds: killed processes take a moment to go
_ours: set[str] = set()  # the marks of this process's engines


def new_mark() -> str:
    """The name of an environment variable that nobody else has; in use until its ``end``."""
    mark = _PREFIX + uuid.uuid4().hex
    _ours.add(mark)
    return mark


def unmarked() -> dict[str, str]:
    """The environment without the marks of this process's engines: for what the run itself starts, as a logger's
    process, at whatever moment, in whatever thread. Marks that this process was born with stay: it is a learner's."""
    names = [name for name in os.environ if name not in _ours]
    found = ((name, os.environ.get(name)) for name in names)  # another thread may remove one meanwhile
    return {name: value for name, value in found if value is not None}


@contextlib.contextmanager
def marked(mark: str) -> Iterator[None]:
    """What starts inside bears the mark."""
    os.environ[mark] = "1"
    try:
        yield
    finally:
        os.environ.pop(mark, None)


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """What starts inside, in this process too, ends there."""
    mark = new_mark()
    try:
        with marked(mark):
            yield
    finally:
        end(mark)


def adopt() -> None:
    """Become the parent of those of this process's descendants whose own parent ends, so that ``tree`` finds them."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            pr_set_child_subreaper = 36
            ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def tree(roots: Sequence[int]) -> list[int]:
    """These processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for process in _processes():
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has gone
            parent = int(Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(process)
    found = list(roots)
    for process in found:
        found += children.get(process, [])
    return found


def kill(processes: Sequence[int]) -> None:
    """At once, and those that are there yet."""
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def end(mark: str, patience: float = _PATIENCE) -> None:
    """Kill all processes but this that bear the mark, and those that they start meanwhile; wait until they are gone."""
    until = time.monotonic() + patience
    while (found := _bearers(mark)) and time.monotonic() < until:
        kill(found)
        time.sleep(0.01)
    _ours.discard(mark)


def _bearers(mark: str) -> list[int]:
    """Other processes of ours that bear the mark."""
    wanted = f"{mark}=".encode()
    found = []
    for process in _processes():
        with contextlib.suppress(OSError):  # another user's, or gone; that of a dead process is empty
            if process != os.getpid() and wanted in Path(f"/proc/{process}/environ").read_bytes():
                found.append(process)
    return found


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:  # no such folder
        return []


class Guard:
    """A small process that ends what bears the mark when this process has ended, however it did."""

    def __init__(self, mark: str):
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", __file__, mark]
            with contextlib.suppress(OSError):  # without it a controller that is killed leaves them behind
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,  # which ends with this process: nobody inherits it
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is not for it
                    cwd="/",
                )

    def close(self) -> None:
        """It is needed no more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process = None


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(sys.argv[1])

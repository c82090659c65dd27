"""What can happen to a run: for tests/stress/faults.py. Each fault is done to a real command with real processes."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ENDS_WITHIN = 90.0  # seconds, for a command that a fault should end; machines may be busy


@dataclass
class Case:
    """A command that runs, and where."""

    process: subprocess.Popen[bytes]  # leads a session of its own
    space: Path  # a file system or folder of its own, which holds the run folder
    own_disk: bool  # whether ``space`` is a small file system of its own
    draw: random.Random

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self.space / "run"

    def workers(self) -> list[int]:
        """The engine's processes."""
        return [pid for pid in session(self.process.pid) if "spawn_main" in command(pid)]

    def worker(self) -> int | None:
        """One of them."""
        found = self.workers()
        return self.draw.choice(found) if found else None

    def ended(self, seconds: float = ENDS_WITHIN) -> bool:
        """Wait for the command's end."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(path.name))
    return sorted(found)


def command(pid: int) -> str:
    """A process's command line, "" where it has gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def send(pid: int | None, number: int) -> bool:
    """Send a signal; False where there is nobody."""
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def group(case: Case, number: int) -> bool:
    """Send a signal to all processes of the command."""
    with suppress(ProcessLookupError):
        os.killpg(case.process.pid, number)
        return True
    return False


def kill_worker(case: Case) -> bool:
    return send(case.worker(), signal.SIGKILL)


def kill_controller(case: Case) -> bool:
    return send(case.process.pid, signal.SIGKILL) and case.ended()


def kill_group(case: Case) -> bool:
    return group(case, signal.SIGKILL) and case.ended()


def pause_worker(case: Case) -> bool:
    worker = case.worker()
    stopped = send(worker, signal.SIGSTOP)
    time.sleep(case.draw.uniform(0.3, 1.5))
    return stopped and send(worker, signal.SIGCONT)


def pause_group(case: Case) -> bool:
    stopped = group(case, signal.SIGSTOP)
    time.sleep(case.draw.uniform(0.3, 1.5))
    return stopped and group(case, signal.SIGCONT)


def hang_worker(case: Case) -> bool:
    """It never answers again: engine.timeout ends it."""
    return send(case.worker(), signal.SIGSTOP)


def starve_worker(case: Case) -> bool:
    """From now on every request for memory of one process is refused: it dies or raises MemoryError."""
    worker = case.worker()
    if worker is None:
        return False
    with suppress(ProcessLookupError):
        resource.prlimit(worker, resource.RLIMIT_AS, (1, resource.RLIM_INFINITY))
        return True
    return False


def fill_disk(case: Case) -> bool:
    """No byte is left (else: no file may grow beyond 1,000 bytes), until the command has ended."""
    with _full(case):
        return case.ended()


@contextmanager
def _full(case: Case) -> Iterator[None]:
    if not case.own_disk:
        for pid in session(case.process.pid):
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        yield
        return
    ballast = case.space / "ballast"
    try:
        with suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
    finally:
        ballast.unlink(missing_ok=True)


def forbid_writing(case: Case) -> bool:
    """The run folder is read-only until the command has ended."""
    if not case.run_dir.exists():
        return False
    folders = [case.run_dir, case.run_dir / "checkpoints"]
    if case.own_disk:  # root may write whatever the bits say: lay a read-only mount over it
        subprocess.run(["mount", "--bind", case.run_dir, case.run_dir], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", case.run_dir], check=True)
    elif os.geteuid():
        for folder in filter(Path.exists, folders):
            folder.chmod(0o555)
    else:
        return False
    try:
        return case.ended()
    finally:
        if case.own_disk:
            subprocess.run(["umount", "--lazy", case.run_dir], check=True)
        else:
            for folder in filter(Path.exists, folders):
                folder.chmod(0o755)


def jump_clock(case: Case) -> bool:
    """The wall clock goes back or on by up to a month."""
    month = 30 * 86400
    (case.space / "clock").write_text(str(case.draw.uniform(-month, month)))
    return True


def interrupt(case: Case) -> bool:
    return group(case, signal.SIGINT) and case.ended()


def interrupt_twice(case: Case) -> bool:
    sent = group(case, signal.SIGINT)
    time.sleep(case.draw.choice([0.0, 0.02, 0.1, 0.3]))
    group(case, signal.SIGINT)
    return sent and case.ended()


def terminate(case: Case) -> bool:
    """As a scheduler ends a job: to the first process or to all of them."""
    if case.draw.random() < 0.5:
        return send(case.process.pid, signal.SIGTERM) and case.ended()
    return group(case, signal.SIGTERM) and case.ended()


# What is done, and whether it must end the command.
KINDS: dict[str, tuple[Callable[[Case], bool], bool]] = {
    "SIGKILL of a worker process": (kill_worker, False),
    "SIGKILL of the controller": (kill_controller, True),
    "SIGKILL of the whole group": (kill_group, True),
    "SIGSTOP of a worker process, then SIGCONT": (pause_worker, False),
    "SIGSTOP of the whole group, then SIGCONT": (pause_group, False),
    "a worker process hangs": (hang_worker, False),
    "a worker process gets no more memory": (starve_worker, False),
    "the disk is full": (fill_disk, True),
    "the run folder is read-only": (forbid_writing, True),
    "the clock jumps": (jump_clock, False),
    "Ctrl-C": (interrupt, True),
    "Ctrl-C twice": (interrupt_twice, True),
    "SIGTERM": (terminate, True),
}

"""A spoilt run beside a tree of canaries, and what a reader may take and touch: how ``mutated_files.py`` judges."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from mutated_cases import Case

SECONDS = 5  # of the processor, for one reader
WALL = 60  # by the clock: other work may go on; who waits for ever takes no processor
MEMORY = 1 << 30  # above the warmed process
BAD = ("code_ran", "crashes", "hangs", "over_memory", "outside_touched", "unclear")


def spoil(case: Case, folder: Path) -> Path:
    """The spoilt run in a fresh folder."""
    run = folder / "case" / "inner" / case.plan.run
    shutil.rmtree(folder / "case", ignore_errors=True)
    run.parent.mkdir(parents=True)
    shutil.copytree(folder / "base" / case.plan.run, run)
    rng = random.Random(f"{case.plan.name} {case.seed}")
    name = case.plan.file
    if name.endswith("*"):
        name = str(rng.choice(sorted(run.glob(name))).relative_to(run))
    case.plan.mutate(run, name, rng)
    return run


class Guard:
    """What the interpreter is told to do outside a folder, noted by its audit events."""

    WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
              "os.utime", "os.chown", "shutil.rmtree")  # fmt: skip
    RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")

    def __init__(self) -> None:
        self.allowed: str | None = None
        self.found: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in self.RUNS:
            self.found.append(f"{event}{arguments!r:.80}")
        elif event == "open" and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._look(event, arguments[0])
        elif event in self.WRITES:
            paths = arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]
            inside = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            for path in paths:
                if isinstance(inside, int) and inside >= 0 and isinstance(path, str):  # in an open folder
                    path = os.path.join(os.readlink(f"/proc/self/fd/{inside}"), path)
                self._look(event, path)
        elif event == "sqlite3.connect" and "mode=ro" not in str(arguments[0]):
            self._look(event, str(arguments[0]).removeprefix("file://").partition("?")[0])

    def _look(self, event: str, path: Any) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike):
            return
        text = os.fspath(path)
        # Where a name leads, but for a last link, which rename and remove take itself.
        real = os.path.realpath(text) if event in ("open", "os.truncate", "os.chmod", "sqlite3.connect") else (
            os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text)))  # fmt: skip
        if not real.startswith(self.allowed or "") and real not in ("/dev/null", "/dev/tty", ":memory:", ""):
            self.found.append(f"{event} {real[:120]}")


GUARD = Guard()


def canary(folder: Path) -> dict[str, Any]:
    """The canary tree as it is: names, times, contents."""
    found = {}
    for path in sorted((folder / "canary").rglob("*")):
        told = path.lstat()
        found[str(path)] = (told.st_mtime_ns, told.st_size, path.read_bytes() if path.is_file() else b"")
    return found


def peak() -> int:
    """The most memory since it was last forgotten, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def forget_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def repair_canary(folder: Path) -> None:
    shutil.rmtree(folder / "canary")
    shutil.copytree(folder / "spare", folder / "canary")

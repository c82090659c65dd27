"""What a process and all below it take of the machine: memory and bytes written, watched from outside. Linux only."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

EVERY = 0.5  # seconds between two looks


def family(root: int) -> list[int]:
    """``root`` and all processes below it."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found, new = [root], [root]
    while new:
        new = [pid for pid, parent in parents.items() if parent in new]
        found += new
    return found


def pss(pid: int) -> int:
    """Bytes of memory of a process, of what it shares its share; 0 where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def written(pid: int) -> int:
    """Bytes that a process has sent towards a disk so far; 0 where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    return 0


class Watch:
    """Looks at a family of processes until ``stop``.

    What a process has written counts for its parent once that has waited for its end: the sum over the living is all.
    """

    def __init__(self, root: int):
        self.root = root
        self.peak = 0  # bytes of memory, all together
        self.processes = 0  # the most at a time
        self.written = 0  # bytes sent towards a disk, by all of them
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        """Once."""
        pids = family(self.root)
        sizes = [pss(pid) for pid in pids]
        self.peak = max(self.peak, sum(sizes))
        self.processes = max(self.processes, sum(size > 0 for size in sizes))
        self.written = max(self.written, sum(written(pid) for pid in pids))

    def _watch(self) -> None:
        while not self._end.wait(EVERY):
            self.look()

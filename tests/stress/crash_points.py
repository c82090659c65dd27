"""Kill a small population before and after every durable action, go on, and compare with a run that nobody disturbed.

    python tests/stress/crash_points.py           every point of every scenario; minutes
    python tests/stress/crash_points.py --quick   every 10th point

A point is a moment of one action of ``firerl.base.disk.durable`` (before it, after it, in the middle of a write's
bytes). The process gets a real SIGKILL there. Some points come twice or thrice, as a power failure would leave the
disk: ``short`` and ``torn`` (half of a file's bytes gone, or zeros) before its fsync, ``torn`` in the middle of a
SQLite commit (half of what it wrote to the write-ahead log is there), ``undone`` (a rename that the folder has
forgotten).

Progress is kept in ``--out``, so that the same line goes on where it was broken off. The last line is a JSON object:
``points``; ``lost`` (a committed generation was gone, or the run could not go on), ``differ`` (another result),
``unreferenced`` (a file is left that nothing refers to).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # results_file

from crash_scenarios import Bench, Scenario, committed, damage, differences, fresh, outcome
from results_file import append, read

from firerl.base.disk import durable
from firerl.engine.threads import one_thread
from firerl.storage.run_folder import COPY

TIMEOUT = 600  # seconds, for any child: machines may be busy
KINDS = ("lost", "differ", "unreferenced")


@dataclass(frozen=True)
class Point:
    """Where a process is killed, and how the disk looks then."""

    index: int  # of the watcher's calls
    moment: str
    action: str
    name: str  # of the file
    variant: str  # kill, short, torn, undone
    committed: int  # generations that must be there after it

    def __str__(self) -> str:
        how = "" if self.variant == "kill" else f", {self.variant}"
        return f"{self.index}: {self.moment} {self.action} of {self.name}{how}"


def child(work: Callable[[], Any]) -> tuple[int, Any]:
    """(wait status, what ``work`` returned or {"error": ...}) of a forked child, silent and of limited time."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        signal.alarm(TIMEOUT)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            answer = work()
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    return os.waitpid(pid, 0)[1], json.loads(data) if data else None


def record(scenario: Scenario, run_dir: Path) -> list[Point]:
    """All points of a scenario that nobody kills."""

    def work() -> list[list[Any]]:
        found: list[list[Any]] = []
        there = [committed(run_dir) if scenario.generations_count else -1] * 2  # before the last commit, after it

        def watch(moment: str, action: str, path: Path) -> None:
            if (moment, action) == ("after", "commit") and scenario.generations_count:
                there[:] = [there[1], committed(run_dir)]
            elif (moment, action, path.name) == ("after", "rename", "journal.sqlite"):
                there[:] = [-1, 0]
            name = re.sub(r"\.\d+\.tmp", ".tmp", path.name)
            for variant in variants(moment, action, path):
                kept = there[0] if variant in ("torn", "undone") and moment == "after" else there[1]
                found.append([len(calls), moment, action, name, variant, kept])
            calls.append(None)

        calls: list[None] = []
        durable.watcher = watch
        scenario.action(run_dir)
        return found

    fresh(scenario.base, run_dir)
    _, answer = child(work)
    if not isinstance(answer, list):
        raise RuntimeError(f"{scenario.name}: {answer}")
    return [Point(*row) for row in answer]


def variants(moment: str, action: str, path: Path) -> list[str]:
    """How a process can be killed at this moment."""
    if (moment, action) == ("before", "fsync") and path.is_file():
        return ["kill", "short", "torn"]
    if (moment, action) == ("after", "rename"):
        return ["kill", "undone"]
    if (moment, action) == ("after", "commit") and (Path(f"{path}-wal").exists() or path.name == COPY):
        return ["kill", "torn"]
    return ["kill"]


class Killer:
    """A watcher that ends its process at a point."""

    def __init__(self, point: Point):
        self.point = point
        self.calls = 0
        self.before: Any = None  # the file that is replaced, the length of the write-ahead log

    def __call__(self, moment: str, action: str, path: Path) -> None:
        if moment == "before":
            self.remember(action, path)
        if self.calls == self.point.index:
            self.spoil(action, path)
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(TIMEOUT)
        self.calls += 1

    def remember(self, action: str, path: Path) -> None:
        if action == "rename":
            self.before = path.read_bytes() if path.exists() else None
        elif action == "commit":
            log, old = Path(f"{path}-wal"), Path(f"{path}-journal")
            self.before = log.stat().st_size if log.exists() else 0
            if old.exists():  # no write-ahead log: the pages as they were, and the file that they are of
                self.before = (old.read_bytes(), path.read_bytes())

    def spoil(self, action: str, path: Path) -> None:
        """Leave the disk as a power failure might."""
        if self.point.variant == "kill":
            return
        if action == "fsync":
            data = path.read_bytes()
            half = len(data) // 2
            path.write_bytes(data[:half] + (bytes(len(data) - half) if self.point.variant == "torn" else b""))
        elif action == "rename":
            path.rename(path.with_name(f"{path.name}.{os.getpid()}.tmp"))
            if self.before is not None:
                path.write_bytes(self.before)
        elif action == "commit" and path.name == COPY:
            half_done(path, *self.before)
        elif action == "commit":
            log = Path(f"{path}-wal")
            os.truncate(log, self.before + (log.stat().st_size - self.before) // 2)


def half_done(path: Path, log: bytes, before: bytes) -> None:
    """A commit without a write-ahead log that the power ended: half of the file is new, the old pages lie beside it,
    counted and durable, as SQLite leaves them before it writes the first new one."""
    data = path.read_bytes()
    half = len(before) // 2
    path.write_bytes(data[:half] + before[half:])
    sector, page = (int.from_bytes(log[at : at + 4], "big") for at in (20, 24))
    count = (len(log) - sector) // (page + 8)  # a number, the page, a checksum
    Path(f"{path}-journal").write_bytes(bytes.fromhex("d9d505f920a163d7") + count.to_bytes(4, "big") + log[12:])


def attempt(scenario: Scenario, point: Point, run_dir: Path, expected: dict[str, Any]) -> dict[str, str]:
    """Kill, go on, compare: {"lost": why, ...}, {} where all is well."""
    fresh(scenario.base, run_dir)

    def work() -> None:
        durable.watcher = Killer(point)
        scenario.action(run_dir)

    status, answer = child(work)
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        return {"differ": f"the point was not reached: {answer}"}

    def go_on() -> dict[str, int]:
        there = committed(run_dir) if scenario.generations_count else point.committed
        scenario.recover(run_dir)
        return {"there": there}

    status, answer = child(go_on)
    if status or "error" in answer:
        return {"lost": str(answer or f"it ended with status {status}")}
    if answer["there"] < point.committed:
        return {"lost": f"generation {point.committed} was committed, {answer['there']} is there"}
    try:
        wrong, extra = differences(expected, outcome(run_dir))
    except Exception as error:  # whatever is wrong with it, it is the point's finding
        return {"differ": f"{type(error).__name__}: {error}"}
    found = {"differ": ", ".join(wrong), "unreferenced": ", ".join(extra)}
    return {kind: text for kind, text in found.items() if text}


def prepare(bench: Bench) -> dict[str, Any]:
    """The folders that scenarios begin with, and the undisturbed run's outcome."""
    from crash_scenarios import Shaky, config_of

    def made(work: Callable[[], object]) -> None:
        status, answer = child(lambda: work() and None)
        if status or answer is not None:
            raise RuntimeError(str(answer))

    from firerl.session.start import start

    made(lambda: start(config_of(bench.folder / "before", 20), Shaky))
    made(lambda: bench.begin(bench.folder / "whole"))
    made(lambda: bench.begin(bench.folder / "short", bench.steps - 20))
    scenario = bench.scenarios()[0]
    points = record(scenario, bench.folder / "recorded")
    for name, share in (("killed", 0.5), ("damaged", 0.7)):
        point = points[int(share * len(points))]
        child(lambda point=point, name=name: kill_at(point, bench, bench.folder / name))
    damage(bench.folder / "damaged")
    return outcome(bench.folder / "whole")


def kill_at(point: Point, bench: Bench, run_dir: Path) -> None:
    """Begin a run that dies there."""
    durable.watcher = Killer(point)
    bench.begin(run_dir)


def warm() -> None:
    """Load all that a run loads, before anything is forked."""
    import firerl.engine.inline
    import firerl.loggers.tensorboard  # noqa: F401

    one_thread()


def scratch() -> Path | None:
    """Where fsync costs nothing, if there is such a place."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None


def study(bench: Bench, every: int, out: Path) -> dict[str, Counter[str]]:
    """Of each scenario: how many points, and how many ended badly, by kind. What ``out`` holds is not done again."""
    mode = "" if bench.sync else "asynchronous "
    done = {(row["steps"], row["scenario"], row["point"]): row["found"] for row in read(out)}
    expected, run_dir, totals = prepare(bench), bench.folder / "run", {}
    for scenario in bench.scenarios():
        points = record(scenario, run_dir)[::every]
        began, counts = time.monotonic(), Counter(points=len(points))
        for number, point in enumerate(points, start=1):
            key = (bench.steps, mode + scenario.name, str(point))
            if key not in done:
                done[key] = attempt(scenario, point, run_dir, expected)
                append(out, dict(zip(("steps", "scenario", "point", "found"), (*key, done[key]), strict=True)))
            for kind, text in done[key].items():
                counts[kind] += 1
                print(f"{scenario.name}, {point}: {kind}: {text}")
            if number % 50 == 0 or number == len(points):
                seconds = time.monotonic() - began
                print(f"{scenario.name}: {number} of {len(points)}, {seconds:.0f} s", file=sys.stderr)
        totals[scenario.name] = counts
    return totals


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every 10th point")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth point (1)")
    parser.add_argument("--asynchronous", action="store_true", help="runs with sync=false")
    parser.add_argument("--steps", type=int, default=60, help="of the run; a generation takes 20 (60)")
    parser.add_argument("--out", type=Path, default=Path("crash_points.jsonl"), help="progress (crash_points.jsonl)")
    options = parser.parse_args()
    warm()
    with TemporaryDirectory(prefix="firerl-crash-", dir=scratch()) as folder:
        bench = Bench(Path(folder), options.steps, sync=not options.asynchronous)
        totals = study(bench, 10 if options.quick else options.every, options.out)
    columns = ("points", *KINDS)
    print(f"{'scenario':16}" + "".join(f"{column:>14}" for column in columns))
    for name, counts in totals.items():
        print(f"{name:16}" + "".join(f"{counts[column]:14}" for column in columns))
    print(json.dumps({column: sum(counts[column] for counts in totals.values()) for column in columns}))


if __name__ == "__main__":
    main()

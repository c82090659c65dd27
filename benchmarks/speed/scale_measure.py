"""One run of ``scale.py``, in a process of its own: what each part of a round takes, on the wall and of this process.

    python benchmarks/speed/scale_measure.py '{"algo": "pbt", "sizes": [22], ...}'

Prints one line of JSON. The parts are timed from outside, around the functions that do them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # a cluster of one machine listens on loopback

import numpy as np
import ray
from scale_learner import Ballast

import firerl
from firerl.engine.ray.ray import RayEngine
from firerl.evolution import find
from firerl.session.watching.progress import Round, Silent
from firerl.storage import store as store_module
from firerl.storage.store import Store

# Of a round, in seconds on the wall: the learners' part, and what all wait for.
PARTS = ("advance", "decide", "journal", "copies", "save", "remove")


class Meter:
    """Seconds by part; what is inside another part counts only there."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._inner = [0.0]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """From now on a call of this method is a part."""
        inside: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return inside(*arguments, **named)

        setattr(owner, method, timed)

    def take(self) -> dict[str, float]:
        """The seconds since the last call."""
        taken, self.seconds = self.seconds, dict.fromkeys(PARTS, 0.0)
        return taken


class Rounds(Silent):
    """Keeps a row for each round; after each ready it writes as many bytes in as many files, for comparison."""

    def __init__(self, meter: Meter, folder: Path):
        self.meter, self.folder = meter, folder
        self.rows: list[dict[str, Any]] = []
        self.begun = self.cpu = 0.0

    def started(self, *_: Any) -> None:
        self.meter.take()
        self.begun, self.cpu = time.perf_counter(), time.process_time()

    def round_done(self, round: Round) -> None:
        seconds, cpu = time.perf_counter() - self.begun, time.process_time() - self.cpu
        parts = self.meter.take()
        row = {
            "seconds": seconds, "cpu": cpu, "ready": round.committed, **parts,
            "copied": sum(type(d).__name__ in ("Copy", "StartEvaluator", "Promote") for d in round.point.decisions),
        }  # fmt: skip
        if round.committed:
            newest = f"g{max(int(path.name[1:7]) for path in self.folder.glob('g*-w*.pt')):06d}"
            sizes = [path.stat().st_size for path in self.folder.glob(f"{newest}-w*.pt")]
            row |= {"files": len(sizes), "bytes": sum(sizes), "plain": write_plainly(self.folder.parent, sizes)}
        self.rows.append(row)
        self.begun, self.cpu = time.perf_counter(), time.process_time()


def write_plainly(folder: Path, sizes: list[int]) -> float:
    """Seconds to write and fsync files of these sizes, one after the other; they are removed again."""
    content = np.random.default_rng(0).bytes(max(sizes))
    with TemporaryDirectory(dir=folder.parent) as inside:
        began = time.perf_counter()
        for number, size in enumerate(sizes):
            with open(Path(inside) / str(number), "wb") as file:
                file.write(memoryview(content)[:size])
                file.flush()
                os.fsync(file.fileno())
        return time.perf_counter() - began


def status(field: str) -> float:
    """MB of a line of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def put_bytes() -> int:
    """All bytes that were ever put into Ray's object stores."""
    from ray._private.internal_api import node_stats

    made = 0
    for node in ray.nodes():
        stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
        made += stats.store_stats.cumulative_created_bytes
    return made


def measure(cell: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The rows of all rounds of the run that ``cell`` describes, and the figures of the whole."""
    meter = Meter()
    meter.wrap(find.algorithm(cell["algo"]), "decide", "decide")
    for method, name in (("advance", "advance"), ("transfer", "copies"), ("save", "save")):
        meter.wrap(RayEngine, method, name)
    meter.wrap(Store, "commit", "journal")
    meter.wrap(store_module, "second_copy", "save")  # the best ever's state once more
    meter.wrap(Store, "make_room", "remove")
    meter.wrap(Store, "collect_garbage", "remove")
    run_dir = folder / "run"
    told = Rounds(meter, run_dir / "checkpoints")
    store: dict[str, int] = {}
    close = RayEngine.close

    def closing(engine: RayEngine) -> None:
        if not store and ray.is_initialized():
            store.update(store_bytes=put_bytes())
        close(engine)

    RayEngine.close = closing  # type: ignore[method-assign]
    ray.init("local", num_cpus=cell["cpus"], include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    began = time.perf_counter()
    firerl.run(
        Ballast, settings={"megabytes": cell["megabytes"], "metrics": cell["metrics"]}, algo=cell["algo"],
        population=cell["sizes"], evaluators=cell["evaluators"], steps=cell["rounds"], ready_interval=cell["ready"],
        engine="ray", run_dir=run_dir, progress=False, observer=told, logger="none", devices="cpu",
    )  # fmt: skip
    return {
        "rows": told.rows, "whole": time.perf_counter() - began, "controller_mb": status("VmHWM"),
        "controller_own_mb": status("RssAnon"), "journal_bytes": (run_dir / "journal.sqlite").stat().st_size, **store,
    }  # fmt: skip


def main() -> None:
    """Measure the cell that the command line holds."""
    cell = json.loads(sys.argv[1])
    with TemporaryDirectory(prefix="firerl-scale-", dir=cell.get("folder")) as folder:
        print(json.dumps(measure(cell, Path(folder))))


if __name__ == "__main__":
    main()

"""How large a run folder gets, how soon its journal is open, what a commit costs early and late in a long run.

    python benchmarks/speed/run_disk.py            1,000 rounds with 50 workers, 10,000 commits of 22; ten minutes
    python benchmarks/speed/run_disk.py --quick    a tenth of the rounds, 300 commits

Two runs of the quadratic: one with 12 numbers in each report, as many as V-MPO's (its journal is measured), and one of
30 rounds whose states are large (its checkpoints are). The folder is measured after every durable action, so that no
moment is missed. Then generations are committed by hand: one evaluation point each, 22 reports with 8 metrics, a copy
every third generation, small checkpoints. ``commit_ms`` and ``commit_cpu_ms`` are medians over the 50 generations that
end with the one named, without the saving of the states: on the clock, and of the processor, which other work on the
machine disturbs less. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.base.disk import durable, files
from firerl.evolution.population import Copy, Decision, Report, Setup, State, initial_state
from firerl.evolution.space import Space
from firerl.storage.generation import BestEver, File, Point
from firerl.storage.journal.journal_db import Journal
from firerl.storage.run_folder import COPY
from firerl.storage.store import Store

MB = 10**6
WORKERS, STEP = 22, 100  # of the commits
NUMBERS = {f"metric_{index}": 0.123456789 * index for index in range(8)}
NAMED, AROUND = (200, 2_500, 10_000), 50  # generations that the documents speak of


class Talkative(Quadratic):
    """A quadratic with 12 metrics."""

    def train(self, steps: int) -> dict[str, float]:
        super().train(steps)
        return {f"metric_{index}": float(self.theta[index]) for index in range(12)}


class Heavy(Quadratic):
    """A quadratic whose weights weigh something."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "ballast": 250_000}

    def __init__(self, settings: Mapping[str, Any], *more: Any):
        super().__init__(settings, *more)
        self.ballast = np.zeros(int(settings["ballast"]))

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {**state, "weights": {**state["weights"], "ballast": self.ballast}}


class Scale:
    """Weighs a folder after every durable action: bytes at most, by generation."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.most: dict[str, int] = {}

    def __call__(self, moment: str, action: str, path: Path) -> None:
        if moment == "before" or not self.folder.exists():
            return
        found = list(self.folder.iterdir())
        key = max((p.name.removeprefix("best-")[:7] for p in found), default="g000000")
        self.most[key] = max(self.most.get(key, 0), sum(p.stat().st_size for p in found))


def journal(run_dir: Path, rounds: int) -> dict[str, float]:
    """Bytes of the journal and its copy, seconds to read and to go on."""
    began = time.perf_counter()
    firerl.run(
        Talkative, population=[8, 8, 8, 8], evaluators=18, steps=10 * rounds,
        ready_interval=50, engine="inline", progress=False, run_dir=run_dir,
    )  # fmt: skip
    whole = time.perf_counter() - began
    with closing(Journal.open(run_dir)) as read:
        save = sum(timing.get("save", 0.0) for timing in read.timings())
    began = time.perf_counter()
    with closing(Journal.open(run_dir)) as read:
        generation = read.last()
    opened = time.perf_counter() - began
    began = time.perf_counter()
    with Store.open(run_dir) as store:
        resumed = time.perf_counter() - began
        began = time.perf_counter()
        store.check_files(generation)
        checked = time.perf_counter() - began
        (run_dir / COPY).unlink()  # else it gets what is new alone
        began = time.perf_counter()
        store.copy_journal()
        copied = time.perf_counter() - began
    return {
        "journal_mb": (run_dir / "journal.sqlite").stat().st_size / MB,
        "read_seconds": opened,
        "resume_seconds": resumed,
        "check_seconds": checked,
        "copy_seconds": copied,
        "run_seconds": whole,
        "save_seconds": save,
    }


def states(run_dir: Path, rounds: int) -> dict[str, float]:
    """The checkpoints at their fullest, in all workers' states."""
    scale = durable.watcher = Scale(run_dir / "checkpoints")
    try:
        firerl.run(
            Heavy, population=[8, 8], evaluators=6, steps=10 * rounds, ready_interval=20, engine="inline",
            progress=False, run_dir=run_dir,
        )  # fmt: skip
    finally:
        durable.watcher = None
    with closing(Journal.open(run_dir)) as read:
        one = sum(file.size for file in read.last().files.values())
    peaks = [scale.most[key] for key in sorted(scale.most)]
    return {"states_mb": one / MB, "peak_share": max(peaks) / one, "last_share": peaks[-1] / one}


def point(number: int) -> Point:
    """What is reported and decided at a generation."""
    reports = [Report(worker, STEP * number, 1 / (1 + worker + number), NUMBERS) for worker in range(WORKERS)]
    values = {"lr": 0.001 + number * 1e-9}
    decisions: list[Decision] = []
    if number % 3 == 0:
        decisions = [Copy(1, 0, STEP * number, STEP * number, values, values, None, 0.5, fresh=False)]
    return Point(reports, decisions)


def saved(store: Store, number: int) -> list[File]:
    """Small states of all workers, as an engine saves them."""
    found = []
    for worker in range(WORKERS):
        name, data = f"g{number:06d}-w{worker}.pt", b"state" * 20
        (store.checkpoints / name).write_bytes(data)
        found.append(File(worker, number, name, len(data), files.digest(data)))
    return found


def commits(run_dir: Path, generations: int) -> dict[str, float]:
    """Milliseconds of a commit, by generation."""
    setup = Setup((WORKERS,), 0, Space.parse({"lr": {"log_uniform": [1e-4, 1.0]}}), 0, STEP, STEP)
    state: State = initial_state(setup)
    spent: dict[str, list[float]] = {"commit_ms": [], "commit_cpu_ms": []}
    with Store.create(run_dir, {"checkpoints": {"keep_history": 1}}, {"seed": 0}, state) as store:
        last = store.last()
        for number in range(1, generations + 1):
            listed = saved(store, number)
            best = last.best_ever or BestEver(0, STEP, 0.5, {"lr": 0.1}, listed[0].name)
            began, used = time.perf_counter(), time.process_time()
            last = store.commit(last, STEP * number, [point(number)], state, listed, best, {"seconds": 1.0})
            spent["commit_ms"].append(1000 * (time.perf_counter() - began))
            spent["commit_cpu_ms"].append(1000 * (time.process_time() - used))
    ends = [number for number in NAMED if number <= generations] or [generations]
    return {f"{name}_at_{end}": median(ms[max(0, end - AROUND) : end]) for name, ms in spent.items() for end in ends}


def main() -> None:
    """Run, print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where run folders are made; default: the system's for such files")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds, 300 commits")
    options = parser.parse_args()
    rounds, generations = (100, 300) if options.quick else (1000, max(NAMED))
    with TemporaryDirectory(prefix="firerl-disk-", dir=options.folder) as name:
        folder = Path(name)
        found = (
            states(folder / "states", 30)
            | journal(folder / "journal", rounds)
            | commits(folder / "commits", generations)
        )
    for name, value in found.items():
        print(f"{name:24}{value:10.3f}")
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()

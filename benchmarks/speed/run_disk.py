"""How large a run folder gets, and how long its journal takes to open.

    python benchmarks/speed/run_disk.py                   1,000 rounds with 50 workers (4 x 8 + 18); minutes
    python benchmarks/speed/run_disk.py --rounds 100      shorter

Two runs of the quadratic: one with ``--metrics`` numbers in each report, as many as V-MPO's (its journal is measured),
and one of 30 rounds whose states are large (its checkpoints are). The folder is measured after every durable action,
so that no moment is missed. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.storage import durable
from firerl.storage.journal_db import Journal
from firerl.storage.run_folder import COPY
from firerl.store import Store

MB = 10**6


class Talkative(Quadratic):
    """A quadratic with metrics."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "metrics": 12}

    def __init__(self, settings: Mapping[str, Any], *more: Any):
        super().__init__(settings, *more)
        self.metrics = int(settings["metrics"])

    def train(self, steps: int) -> dict[str, float]:
        super().train(steps)
        return {f"metric_{index}": float(self.theta[index % len(self.theta)]) for index in range(self.metrics)}


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


def journal(run_dir: Path, rounds: int, metrics: int) -> dict[str, float]:
    """Bytes of the journal and its copy, seconds to read and to go on."""
    began = time.perf_counter()
    firerl.run(
        Talkative, settings={"metrics": metrics}, population=[8, 8, 8, 8], evaluators=18, steps=10 * rounds,
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


def main() -> None:
    """Run, print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="evaluation points of the journal's run (1000)")
    parser.add_argument("--metrics", type=int, default=12, help="numbers in each report (12)")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="firerl-disk-") as folder:
        found = {**states(Path(folder) / "states", 30), **journal(Path(folder) / "j", options.rounds, options.metrics)}
    for name, value in found.items():
        print(f"{name:16}{value:10.3f}")
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()

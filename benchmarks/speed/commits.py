"""What one commit costs, early and late in a long run.

    python benchmarks/speed/commits.py                       10,000 generations of 22 workers; minutes
    python benchmarks/speed/commits.py --generations 300     shorter

Generations are committed by hand into a real run folder (on a disk, unless ``--folder`` says otherwise): one evaluation
point each, 22 reports with 8 metrics, a copy every third generation, small checkpoints. The figures are the medians of
``Store.commit`` over the 50 generations that end with the one named, without the saving of the states: ``ms`` on the
clock, ``cpu_ms`` of the processor, which other work on the machine disturbs less.
The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from firerl.evolution.population import Copy, Decision, Report, Setup, State, initial_state
from firerl.space import Space
from firerl.storage import files
from firerl.storage.generation import BestEver, File, Point
from firerl.store import Store

WORKERS = 22
METRICS = {f"metric_{index}": 0.123456789 * index for index in range(8)}
NAMED = (200, 2_500, 10_000)  # generations that the documents speak of
AROUND = 50
STEP = 100


def point(number: int) -> Point:
    """What is reported and decided at a generation."""
    reports = [Report(worker, STEP * number, 1 / (1 + worker + number), METRICS) for worker in range(WORKERS)]
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


def measure(run_dir: Path, generations: int) -> tuple[list[float], list[float]]:
    """Seconds of each commit, on the clock and of the processor."""
    setup = Setup((WORKERS,), 0, Space.parse({"lr": {"log_uniform": [1e-4, 1.0]}}), 0, STEP, STEP)
    state: State = initial_state(setup)
    seconds, processor = [], []
    with Store.create(run_dir, {"seed": 0}, {"seed": 0}, state) as store:
        last = store.last()
        for number in range(1, generations + 1):
            listed = saved(store, number)
            best = last.best_ever or BestEver(0, STEP, 0.5, {"lr": 0.1}, listed[0].name)
            began, used = time.perf_counter(), time.process_time()
            last = store.commit(last, STEP * number, [point(number)], state, listed, best, {"seconds": 1.0})
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - used)
    return seconds, processor


def main() -> None:
    """Run, print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=max(NAMED), help=f"in all ({max(NAMED):,})")
    parser.add_argument(
        "--folder", type=Path, help="where the run folder is made; default: the system's for such files"
    )
    options = parser.parse_args()
    with TemporaryDirectory(prefix="firerl-commits-", dir=options.folder) as folder:
        both = measure(Path(folder) / "run", options.generations)
    ends = [number for number in NAMED if number <= options.generations] or [options.generations]
    found = {}
    for name, seconds in zip(("ms", "cpu_ms"), both, strict=True):
        row = [1000 * statistics.median(seconds[max(0, end - AROUND) : end]) for end in ends]
        found |= {f"{name}_at_{end}": value for end, value in zip(ends, row, strict=True)}
        found[f"{name}_last_to_first"] = row[-1] / row[0]
    for name, value in found.items():
        print(f"{name:24}{value:10.3f}")
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()

"""How much of the processes' time is idle: nobody moves, workers move to where they are done earlier, two processes
share a worker (``chunk``).

    python benchmarks/speed/balance.py            six cases, three times each; some nine minutes
    python benchmarks/speed/balance.py --quick    two of them

22 workers on 2, 3 and 4 processes, one of which takes twice as long for the same steps, or none. The learner sleeps
instead of computing, so that a machine with two cores can play one with four; all else is real (``engine=local``). The
idle share is what firerl's own clock says, of all rounds after the third ready. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

import multiprocess

import firerl
from firerl.engine.placement import Placement
from firerl.learner import Learner
from firerl.progress import Round, Silent

WORKERS = 22
SECONDS = 0.1  # of an interval, in a process of full speed
CHUNKS = 10  # of an interval, where there are some
CASES = [(2, False), (3, False), (4, False), (2, True), (3, True), (4, True)]
SETTLED = 3  # readies


class Sleeper(Learner):
    """Sleeps for a while, twice as long in the last process if that is slow."""

    space: ClassVar[Mapping[str, Any]] = {"lr": {"log_uniform": [1e-3, 1.0]}}
    settings: ClassVar[Mapping[str, Any]] = {"slow": "none"}
    eval_interval = CHUNKS

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        here = multiprocess.current_process().name
        self.seconds = SECONDS * (2 if here == settings["slow"] else 1)
        self.steps = 0
        self.lr = hyperparameters["lr"]

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        self.lr = values["lr"]

    def train(self, steps: int) -> Any:
        time.sleep(self.seconds * steps / CHUNKS)
        self.steps += steps
        return {}

    def evaluate(self, seed: int) -> float:
        return self.steps * self.lr

    def state(self) -> Any:
        return {"weights": {"steps": self.steps}, "stream": {}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.steps = weights["steps"]


class Idle(Silent):
    """The idle shares of all rounds."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.seconds: list[float] = []

    def round_done(self, done: Round) -> None:
        self.shares.append(done.parts["idle"])
        self.seconds.append(done.seconds)


def measure(processes: int, slow: bool, balanced: bool, chunk: int | None, folder: Path) -> tuple[float, float]:
    """Mean idle share and mean seconds of a round."""
    from firerl.engine.local import LocalEngine

    balance, heard = LocalEngine.balance, Idle()
    if not balanced:
        LocalEngine.balance = lambda self: 0  # type: ignore[method-assign]
    try:
        firerl.run(
            Sleeper, settings={"slow": f"firerl-{processes - 1}" if slow else "none"}, population=[WORKERS],
            evaluators=0, algo="random", steps=25 * CHUNKS, ready_interval=5 * CHUNKS, chunk=chunk, processes=processes,
            progress=False, observer=heard, logger="none", run_dir=folder / f"{processes}-{slow}-{balanced}-{chunk}",
        )  # fmt: skip
    finally:
        LocalEngine.balance = balance  # type: ignore[method-assign]
    rounds = slice(5 * SETTLED, None)
    return mean(heard.shares[rounds]), mean(heard.seconds[rounds])


def least(processes: int, slow: bool) -> float:
    """The least idle share that whole workers can leave."""
    best = 1.0
    pace = [1.0] * (processes - 1) + [2.0 if slow else 1.0]
    for last in range(WORKERS + 1):
        rest = Placement(processes - 1)
        counts = [0] * (processes - 1)
        for worker in range(WORKERS - last):
            counts[rest.process_of(worker)] += 1
        loads = [count * speed for count, speed in zip([*counts, last], pace, strict=True)]
        best = min(best, 1 - sum(loads) / (processes * max(loads)))
    return best


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cases")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    print("| processes | idle, not moved | moved | the least with whole workers | shared | seconds of a round |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for processes, slow in CASES[3::2] if options.quick else CASES:
            fixed, before = measure(processes, slow, False, None, Path(folder))
            moved, between = measure(processes, slow, True, None, Path(folder))
            shared, after = measure(processes, slow, True, 1, Path(folder))
            name = f"{processes}{', one at half speed' if slow else ''}"
            print(
                f"| {name} | {fixed:.1%} | {moved:.1%} | {least(processes, slow):.1%} | {shared:.1%} "
                f"| {before:.2f}, {between:.2f}, {after:.2f} |",
                flush=True,
            )
            key = f"{processes}{'_slow' if slow else ''}"
            figures |= {f"idle_{key}": round(moved, 4), f"idle_shared_{key}": round(shared, 4)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

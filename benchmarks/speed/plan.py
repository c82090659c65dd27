"""Does a run take as long as ``firerl.plan`` says? The plan, then the run itself, with 1 and with 2 processes.

    python benchmarks/speed/plan.py env=Humanoid                    launch's arguments; laptop: an hour on 2 quiet cores
    python benchmarks/speed/plan.py --quick                         learner=quadratic, a short probe; a minute
    python benchmarks/speed/plan.py env=Humanoid --minutes 3        of each probe (2)
    python benchmarks/speed/plan.py env=Ant preset=smoke --repeats 3 medians of three, plan and run in turn

``duration_ratio_<processes>`` is the predicted duration by the real one, the wall time of the whole command;
``predicted_promotions`` are those of the modelled run, ``counted_promotions`` those of the real one (both with 1
process; with 2 they are the same run). What else runs on the machine changes both, not always alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from firerl.config.compose import compose
from firerl.config.learners import find_learner
from firerl.config.request import resolve
from firerl.engine import usable_cores
from firerl.insight.plan.forecast import Forecast, forecast, shares
from firerl.insight.plan.probe import probe
from firerl.storage.journal.journal_db import Journal

PROCESSES = (1, 2)


def plan(arguments: list[str], processes: int, minutes: float) -> Forecast:
    """What a plan says of duration, disk and promotions."""
    config = resolve(compose([*arguments, f"engine.processes={processes}"]))
    learner = find_learner(config.learner)
    measured = probe(config, learner, min(processes, usable_cores()), 60 * minutes)
    return forecast(config, measured, processes)


def run(arguments: list[str], folder: Path) -> tuple[float, dict[str, Any], int, dict[str, float]]:
    """Seconds of the real run, its ``result.json``, the bytes it leaves, shares of its time by part."""
    run_dir = folder / "run"
    began = time.perf_counter()
    command = [sys.executable, "-m", "firerl.launch", *arguments, f"run_dir={run_dir}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began

    journal = Journal.open(run_dir)
    timings = journal.timings()
    journal.close()
    size = sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file())
    return seconds, json.loads((run_dir / "result.json").read_text()), size, shares(timings)


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arguments", nargs="*", help="launch's (learner=quadratic)")
    parser.add_argument("--minutes", type=float, help="of each probe (2, with --quick 0.1)")
    parser.add_argument("--repeats", type=int, default=1, help="of plan and run, in turn (1)")
    parser.add_argument("--quick", action="store_true", help="a short probe")
    options = parser.parse_args()
    minutes = options.minutes or (0.1 if options.quick else 2.0)
    arguments = options.arguments or ["learner=quadratic"]
    ratios: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    figures: dict[str, float] = {}
    print(
        f"{'processes':>9} {'predicted s':>12} {'real s':>9} {'ratio':>6} {'idle: predicted':>16} {'real':>6} "
        f"{'disk MB: predicted':>19} {'left':>6} {'promotions':>16}"
    )
    for _ in range(options.repeats):
        for processes in PROCESSES:
            mine = [*arguments, f"engine.processes={processes}"]
            said = plan(arguments, processes, minutes)
            with TemporaryDirectory(prefix="firerl-bench-") as folder:
                seconds, result, size, parts = run(mine, Path(folder))
            ratios[processes].append(said.seconds / seconds)
            promotions = said.evolution["evaluator_successes"] / said.played
            counted = result["evolution"]["evaluator_successes"]
            print(
                f"{processes:>9} {said.seconds:>12.1f} {seconds:>9.1f} {said.seconds / seconds:>6.2f} "
                f"{said.shares['idle']:>16.1%} {parts['idle']:>6.1%} {said.disk_bytes / 1e6:>19.2f} "
                f"{size / 1e6:>6.2f} {f'{promotions:.0f} of {counted}':>16}",
                flush=True,
            )
            if processes == 1:
                figures["predicted_promotions"], figures["counted_promotions"] = promotions, counted
    durations = {f"duration_ratio_{processes}": round(median(ratios[processes]), 3) for processes in PROCESSES}
    print(json.dumps({**durations, **figures}))


if __name__ == "__main__":
    main()

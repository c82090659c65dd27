"""PBT under Ray Tune and under firerl: the same learner, workers, steps and machine.

    python benchmarks/speed/vs_ray_tune.py            5 seeds and 2 kills of each, some 15 minutes on 2 cores
    python benchmarks/speed/vs_ray_tune.py --quick    one short seed and one kill of each, kept nowhere

22 members of the noisy quadratic with 1 MB of weights beside it train 36 rounds of 10 steps and an evaluation, with a
ready every 6 rounds: 6 members copy one of the best 6, and multiply its rate by 1.2 or 0.8. The sides:

tune         ``PopulationBasedTraining(synch=True)`` as its documentation has it for speed: ``reuse_actors``, a CPU for
             each trial, so that two actors take the 22 trials in turn; no loggers
tune_logged  the same with the loggers that Tune brings along by itself (CSV, JSON, TensorBoard)
tune_often   as ``tune``, but for TUNE_GLOBAL_CHECKPOINT_S=1: how often the search itself is saved, by itself every ten
             seconds at most; only for the kills, since these runs are so short
ray, local   ``algo=pbt`` with ``engine=ray`` and ``engine=local``, two actors or processes; no loggers

Seconds are told three times: from the first interval trained to the last; of ``fit()`` and ``run()``, which import
libraries (firerl torch, Tune pandas and pyarrow) and start processes; and of the whole command, Ray's start with it.
Memory is the proportional share (PSS) of all
processes together at its peak, bytes are what they sent towards the disk. Then the process that decides is killed with
SIGKILL when 35 and 75 % of all intervals are trained, and the run restored; ``lost`` is what was trained twice, in
rounds of all members. Each finished run is a line of ``--results`` and is not done again.

The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

from physics import progress
from processes import Watch, family
from results_file import append, read

HERE = Path(__file__).resolve().parents[1]  # benchmarks/
SIDES = ("tune", "tune_logged", "tune_often", "ray", "local")
KILLED = ("tune", "tune_often", "ray", "local")
CELL = {
    "workers": 22, "copied": 6, "interval": 10, "rounds": 36, "ready": 6, "megabytes": 1.0, "cpus": 2, "at_once": 2,
}  # fmt: skip
QUICK = {**CELL, "workers": 6, "copied": 1, "rounds": 8, "ready": 2, "megabytes": 0.1}
SHARES = (0.35, 0.75)
PATIENCE = 120.0  # seconds for a run, before it counts as one that never ends
Row = dict[str, Any]


def begin(cell: Mapping[str, Any], side: str, folder: Path) -> subprocess.Popen[str]:
    """Start one run, or its restoration."""
    more = {"FIRERL_BENCHMARK_NOTES": str(folder / "notes")}
    if side != "tune_logged":
        more["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    if side == "tune_often":
        more["TUNE_GLOBAL_CHECKPOINT_S"] = "1"
    with open(folder / "errors", "a") as errors:
        return subprocess.Popen(
            [sys.executable, str(HERE / "vs_ray_tune_run.py"), json.dumps({**cell, "side": side.partition("_")[0]})],
            stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True, env={**os.environ, **more},
        )  # fmt: skip


def end(process: subprocess.Popen[str], patience: float = PATIENCE) -> Row | None:
    """What a run has printed; None where it never ends, and has been killed. Raises RuntimeError where it failed."""
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        kill(process)
        return None
    except BaseException:
        kill(process)
        raise
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with code {process.returncode}")
    found: Row = json.loads(output.splitlines()[-1])
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the process that decides; what it has started gets a while to end by itself."""
    below = family(process.pid)[1:]
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 15
    while (below := [pid for pid in below if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in below:  # idle helpers of Ray's
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def trained(folder: Path) -> list[float]:
    """When the learners of a run have begun to train an interval, each of them, so far."""
    notes = folder / "notes"
    return [float(line) for line in notes.read_text().split()] if notes.exists() else []


def copied_at(folder: Path) -> list[int]:
    """The rounds after which Tune has copied."""
    told = folder / "tune" / "pbt" / "pbt_global.txt"
    return sorted({json.loads(line)[2] for line in told.read_text().splitlines()}) if told.exists() else []


def undisturbed(cell: Mapping[str, Any], side: str, folder: Path) -> Row:
    """One run from its start to its end."""
    began = time.perf_counter()
    process = begin(cell, side, folder)
    watch = Watch(process.pid)
    try:
        found = end(process)
    finally:
        watch.stop()
    if found is None:
        raise RuntimeError(f"{side} has not ended within {PATIENCE:g} s")
    times = trained(folder)
    return {
        **found, "command": time.perf_counter() - began, "peak_mb": watch.peak / 1e6,
        "written_mb": watch.written / 1e6, "processes": watch.processes, "trained": len(times),
        "training": max(times) - min(times),
    }  # fmt: skip


def disturbed(cell: Mapping[str, Any], side: str, folder: Path, share: float) -> Row:
    """One run that is killed in the middle, and restored."""
    needed = cell["workers"] * cell["rounds"]
    process = begin(cell, side, folder)
    deadline = time.monotonic() + PATIENCE
    while len(trained(folder)) < share * needed and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    kill(process)
    before, copied = len(trained(folder)), copied_at(folder)
    found = end(begin({**cell, "resume": True}, side, folder))
    after = len(trained(folder))
    return {
        **(found or {}), "killed_at": before / cell["workers"], "ended": found is not None,
        "lost": (after - needed) / cell["workers"], "copied_before": copied, "copied": copied_at(folder),
    }  # fmt: skip


def plan(seeds: int, shares: Sequence[float]) -> list[Row]:
    """All runs, the sides of a seed side by side."""
    runs = [
        {"side": side, "seed": seed, "share": 0.0}
        for seed in range(seeds)
        for side in SIDES
        if side != "tune_often" and (side != "tune_logged" or seed == 0)
    ]
    return runs + [{"side": side, "seed": 0, "share": share} for share in shares for side in KILLED]


def study(cell: Mapping[str, Any], todo: Sequence[Row], results: Path, work: Path | None) -> list[Row]:
    """The rows of all runs; those that ``results`` holds are not done again."""
    rows = [row for row in read(results) if row["cell"] == dict(cell)]
    done = {(row["side"], row["seed"], row["share"]) for row in rows}
    for number, run in enumerate(todo):
        if (run["side"], run["seed"], run["share"]) in done:
            continue
        progress(f"run {number + 1} of {len(todo)}: {run['side']}, seed {run['seed']}, killed at {run['share']:.0%}")
        with TemporaryDirectory(prefix="firerl-tune-", dir=work) as made:
            folder = Path(made)
            given = {**cell, "seed": run["seed"], "folder": made}
            if run["share"]:
                found = disturbed(given, run["side"], folder, run["share"])
            else:
                found = undisturbed(given, run["side"], folder)
        append(results, {**run, "cell": cell, **found})
        rows.append({**run, "cell": cell, **found})
    progress("")
    return rows


def spread(rows: Sequence[Row], key: str) -> tuple[float, float, float]:
    """Median, least and most."""
    values = [row[key] for row in rows]
    return median(values), min(values), max(values)


FIGURES = {
    "training": "seconds from the first interval to the last",
    "seconds": "seconds of the run",
    "command": "seconds of the command",
    "written_mb": "MB written",
    "peak_mb": "MB of memory, all processes",
    "processes": "processes",
    "objective": "-log10 loss of the best at the end",
}


def table(rows: Sequence[Row]) -> list[str]:
    """Median and range of every figure, a side a column."""
    sides = [side for side in SIDES if any(row["side"] == side for row in rows)]
    lines = ["| | " + " | ".join(sides) + " |", "|---|" + "--:|" * len(sides)]
    for key, title in FIGURES.items():
        cells = []
        for side in sides:
            whole = [row for row in rows if row["side"] == side and not row["share"]]
            if not whole:
                cells.append("")
                continue
            mid, low, high = spread(whole, key)
            digits = 2 if key == "objective" else 1 if high < 100 else 0
            cells.append(f"{mid:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for share in sorted({row["share"] for row in rows} - {0.0}):
        cells = []
        for side in sides:
            found = [row for row in rows if row["side"] == side and row["share"] == share]
            cells.append(f"{found[0]['lost']:.1f}" if found and found[0]["ended"] else "never ends" if found else "")
        lines.append(f"| rounds trained twice, killed at {share:.0%} | " + " | ".join(cells) + " |")
    return lines


def report(rows: Sequence[Row]) -> None:
    """The table and the JSON line."""
    print("\n".join(table(rows)))
    figures: dict[str, Any] = {}
    for side in SIDES:
        whole = [row for row in rows if row["side"] == side and not row["share"]]
        killed = [row for row in rows if row["side"] == side and row["share"]]
        if whole:
            figures[side] = {key: round(spread(whole, key)[0], 3) for key in FIGURES}
        if killed:
            figures.setdefault(side, {})["lost"] = [round(row["lost"], 2) if row["ended"] else None for row in killed]
            hashes = {row.get("hash") for row in [*whole, *killed] if row["seed"] == 0}
            figures[side]["same_result_after_kill"] = len(hashes) == 1 and None not in hashes
    same = {row["hash"] for row in rows if row["side"] in ("ray", "local") and row["seed"] == 0 and "hash" in row}
    print(json.dumps({**figures, "same_journal": len(same) == 1}))


def main() -> None:
    """Compute what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "vs_ray_tune.jsonl")
    parser.add_argument("--work", type=Path, help="where the runs' folders lie meanwhile (the temporary folder)")
    parser.add_argument("--quick", action="store_true", help="one short seed and one kill of each, kept nowhere")
    options = parser.parse_args()
    if options.quick:
        with TemporaryDirectory() as folder:
            short = [run for run in plan(1, [0.55]) if run["side"] in ("tune", "ray", "local")]
            report(study(QUICK, short, Path(folder) / "quick.jsonl", options.work))
        return
    report(study(CELL, plan(options.seeds, SHARES), options.results, options.work))


if __name__ == "__main__":
    main()

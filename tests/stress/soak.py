"""Hours of two populations with faults sprinkled in: does anything creep?

    python tests/stress/soak.py                  two hours, on all cores, in the background of other work
    python tests/stress/soak.py --quick          three minutes, kept nowhere

22 workers each, in two processes each, side by side: the quadratic learner and V-MPO on InvertedPendulum. Once a minute
a line of JSON tells of every process its memory, file descriptors and threads, and of the run its steps, processor
seconds and bytes on disk. Every half an hour a worker process is killed, or stopped for a while, or the controller is
killed and resumed. The same command goes on where it was interrupted, with the samples in ``--work``. At the end every
decision is replayed (``firerl.explain --verify``). Linux only.

Flat means, for a process: the median of its last ten minutes against that of its second ten minutes, of those that
lived for 30 minutes at least. The last line is a JSON object: ``memory_growth`` (the worst process, as a share),
``descriptors_grown``, ``threads_grown``, ``speed_ratio`` (steps for a processor second, last third of the hours to
first), ``checkpoints_growth``, ``journal_kb_a_round`` (first half, second half), ``orphans``, ``verified``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # results_file

import psutil
from faults_kinds import session
from results_file import append, read

from firerl.storage.journal.journal_db import Journal

COMMON = ["population.sizes=[8,8]", "population.evaluators=6", "engine=local", "engine.processes=2", "seed=1"]
RUNS = {
    "quadratic": ["learner=quadratic", "ready_interval=20000", "eval_interval=4000", "steps=2000000000", *COMMON],
    "InvertedPendulum": ["env=InvertedPendulum", "ready_interval=800", "eval_interval=200", "steps=80000000", *COMMON],
}
FAULTS = ("a worker process killed", "a worker process stopped for 20 s", "the controller killed")
MB = 2**20
Row = dict[str, Any]


class Run:
    """One population under way."""

    def __init__(self, name: str, run_dir: Path):
        self.name, self.run_dir = name, run_dir
        self.start()

    def start(self) -> None:
        """Begin, or go on with what is there."""
        begun = (self.run_dir / "journal.sqlite").exists()
        given = [f"resume={self.run_dir}"] if begun else [*RUNS[self.name], f"run_dir={self.run_dir}"]
        self.run_dir.parent.mkdir(parents=True, exist_ok=True)
        with open(self.run_dir.parent / f"{self.name}.log", "a") as log:
            self.controller = psutil.Popen(
                [sys.executable, "-m", "firerl.launch", *given],
                stdout=log, stderr=log, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip

    def workers(self) -> list[psutil.Process]:
        """The processes of its workers, oldest first (multiprocessing's resource tracker is none)."""
        found = [p for p in self.controller.children() if "spawn_main" in " ".join(p.cmdline())]
        return sorted(found, key=lambda p: (p.create_time(), p.pid))

    def hurt(self, fault: str) -> None:
        """One fault; afterwards the run goes on by itself or is resumed."""
        if fault == FAULTS[2]:
            self.controller.kill()
            self.controller.wait()
            self.start()
            return
        if workers := self.workers():
            if fault == FAULTS[0]:
                workers[0].kill()
            else:
                workers[0].suspend()
                time.sleep(20)
                workers[0].resume()

    def sample(self, minute: float) -> Row:
        """What is seen from outside."""
        if self.controller.poll() is not None:
            raise SystemExit(f"{self.name} ended with code {self.controller.returncode}: see {self.run_dir.parent}")
        processes = []
        for role, process in [("controller", self.controller), *(("worker", p) for p in self.workers())]:
            try:
                times = process.cpu_times()
                processes.append({
                    "role": role, "id": f"{process.pid}-{process.create_time():.0f}",
                    "mb": round(process.memory_info().rss / MB, 2), "descriptors": process.num_fds(),
                    "threads": process.num_threads(), "cpu": round(times.user + times.system, 2),
                })  # fmt: skip
            except psutil.NoSuchProcess:
                continue
        return {"run": self.name, "minute": round(minute, 2), "processes": processes, **on_disk(self.run_dir)}

    def end(self) -> int:
        """Ctrl-C; returns how many processes are left ten seconds later."""
        group = self.controller.pid
        self.controller.send_signal(signal.SIGINT)
        self.controller.wait(60)
        deadline = time.monotonic() + 10
        while (left := session(group)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return len(left)


def on_disk(run_dir: Path) -> Row:
    """Steps and rounds of the last generation, bytes."""
    if not (run_dir / "journal.sqlite").exists():
        return {"step": 0, "generation": 0, "checkpoints": 0, "journal": 0}
    journal = Journal.open(run_dir)
    try:
        last = journal.last()
    finally:
        journal.close()
    sizes = []
    for path in (run_dir / "checkpoints").iterdir():
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # a generation went just now
            continue
    return {
        "step": last.step, "generation": last.number, "checkpoints": sum(sizes),
        "journal": (run_dir / "journal.sqlite").stat().st_size,
    }  # fmt: skip


def soak(folder: Path, results: Path, minutes: float, every: float, faults_every: float) -> int:
    """Run, sample and hurt until ``minutes`` are over, those of earlier calls counted; processes left over."""
    runs = [Run(name, folder / name) for name in RUNS]
    before = max((row["minute"] for row in read(results)), default=0.0)
    began, hurt = time.monotonic(), int(before / faults_every)
    try:
        while (minute := before + (time.monotonic() - began) / 60) < minutes:
            print(f"\r{minute:6.1f} of {minutes:g} minutes, {hurt} faults in each run ", end="", file=sys.stderr)
            if minute > before:
                for run in runs:
                    append(results, run.sample(minute))
            # The last ten minutes are left alone: they are compared with the first.
            if hurt < int(minute / faults_every) and minutes - minute > min(10.0, faults_every / 2):
                for number, run in enumerate(runs):
                    fault = FAULTS[(hurt + number) % len(FAULTS)]
                    run.hurt(fault)
                    append(results, {"run": run.name, "minute": round(minute, 2), "fault": fault})
                hurt += 1
            time.sleep(60 * every)
    finally:
        left = sum(run.end() for run in runs)
    return left


def lives(rows: Sequence[Row], name: str) -> Iterator[tuple[str, list[tuple[float, Row]]]]:
    """Role of each process of a run, its (age in minutes, sample) pairs."""
    found: dict[tuple[str, str], list[tuple[float, Row]]] = defaultdict(list)
    for row in rows:
        for process in row.get("processes", ()) if row["run"] == name else ():
            found[process["role"], process["id"]].append((row["minute"], process))
    for (role, _), samples in found.items():
        yield role, [(minute - samples[0][0], process) for minute, process in samples]


def grown(rows: Sequence[Row], name: str, unit: float) -> dict[str, tuple[float, float, float]]:
    """Of each role, the worst process: memory (share), descriptors, threads; ``unit``: a tenth of half an hour, 10."""
    worst: dict[str, tuple[float, float, float]] = {}
    for role, samples in lives(rows, name):
        age = samples[-1][0]
        if age < 3 * unit:
            continue
        early = [process for at, process in samples if unit <= at <= 2 * unit]
        late = [process for at, process in samples if at >= age - unit]
        ends = {key: (median(p[key] for p in early), median(p[key] for p in late)) for key in early[0] if key in KEYS}
        figures = (
            ends["mb"][1] / ends["mb"][0] - 1,
            ends["descriptors"][1] - ends["descriptors"][0],
            ends["threads"][1] - ends["threads"][0],
        )
        worst[role] = max(figures, worst.get(role, figures))
    return worst


KEYS = ("mb", "descriptors", "threads")


def speeds(samples: Sequence[Row]) -> list[tuple[float, float]]:
    """(minute, steps of all workers for a processor second) between samples with the same processes."""
    found = []
    for one, two in pairwise(samples):
        before = {process["id"]: process["cpu"] for process in one["processes"]}
        after = {process["id"]: process["cpu"] for process in two["processes"]}
        if before.keys() == after.keys() and len(after) == 3:
            spent = sum(after.values()) - sum(before.values())
            if spent > 0:
                found.append((two["minute"], 22 * (two["step"] - one["step"]) / spent))
    return found


def figures_of(rows: Sequence[Row], name: str, unit: float) -> dict[str, Any]:
    """What a run's samples say."""
    samples = [row for row in rows if row["run"] == name and "processes" in row]
    speed = [value for _, value in speeds(samples)]
    third, half = max(1, len(speed) // 3), len(samples) // 2
    mid = samples[half]
    settled = [row["checkpoints"] for row in samples if row["generation"] >= 3]
    kb = [
        (b["journal"] - a["journal"]) / 1000 / max(1, b["generation"] - a["generation"])
        for a, b in ((samples[0], mid), (mid, samples[-1]))
    ]
    return {
        "minutes": samples[-1]["minute"],
        "rounds": samples[-1]["generation"],
        "faults": sum("fault" in row for row in rows if row["run"] == name),
        "grown": grown(rows, name, unit),
        "speed_ratio": sum(speed[-third:]) / sum(speed[:third]),
        "checkpoints_growth": median(settled[-third:]) / median(settled[:third]) - 1 if settled else 0.0,
        "journal_kb_a_round": kb,
    }


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """For people, as in docs/lab/reliability.md."""
    lines = ["| run | process | memory | descriptors | threads |", "|---|---|---|---|---|"]
    for name, figures in found.items():
        for role, (memory, descriptors, threads) in figures["grown"].items():
            lines.append(f"| {name} | {role} | {memory:+.1%} | {descriptors:+g} | {threads:+g} |")
    lines += ["", "| run | rounds | faults | steps for a processor second, last third to first | checkpoints | "
              "journal, kB a round: first half, second half |", "|---|---|---|---|---|---|"]  # fmt: skip
    for name, figures in found.items():
        first, second = figures["journal_kb_a_round"]
        lines.append(
            f"| {name} | {figures['rounds']:,} | {figures['faults']} | {figures['speed_ratio']:.2f} | "
            f"{figures['checkpoints_growth']:+.1%} | {first:.1f}, {second:.1f} |"
        )
    return lines


def verified(folder: Path) -> bool:
    """Whether every decision of both journals replays."""
    commands = [[sys.executable, "-m", "firerl.explain", str(folder / name), "--verify"] for name in RUNS]
    return all(subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0 for command in commands)


def report(rows: Sequence[Row], unit: float, more: dict[str, Any]) -> None:
    """The table and the JSON line."""
    found = {name: figures_of(rows, name, unit) for name in RUNS}
    print("\n".join(table(found)))
    growths = [figures for run in found.values() for figures in run["grown"].values()]
    print(json.dumps({
        "memory_growth": round(max((g[0] for g in growths), default=float("nan")), 4),
        "descriptors_grown": max((g[1] for g in growths), default=None),
        "threads_grown": max((g[2] for g in growths), default=None),
        "speed_ratio": {name: round(run["speed_ratio"], 3) for name, run in found.items()},
        "checkpoints_growth": round(max(run["checkpoints_growth"] for run in found.values()), 4),
        "journal_kb_a_round": {name: [round(x, 2) for x in run["journal_kb_a_round"]] for name, run in found.items()},
        "faults": sum(run["faults"] for run in found.values()),
        **more,
    }))  # fmt: skip


def study(work: Path, minutes: float, every: float, faults_every: float, unit: float) -> None:
    """Soak, then report."""
    samples = work / "samples.jsonl"
    left = soak(work, samples, minutes, every, faults_every)
    report(read(samples), unit, {"orphans": left, "verified": verified(work)})


def main() -> None:
    """The hours, or three minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120, help="in all, earlier calls included (120)")
    parser.add_argument("--work", type=Path, default=Path("runs/soak"), help="folder of the two runs (runs/soak)")
    parser.add_argument("--quick", action="store_true", help="three minutes, kept nowhere")
    given = parser.parse_args()
    if given.quick:
        with TemporaryDirectory() as folder:
            study(Path(folder), minutes=3, every=0.05, faults_every=0.7, unit=0.2)
    else:
        study(given.work, given.minutes, every=1.0, faults_every=32, unit=10)


if __name__ == "__main__":
    main()

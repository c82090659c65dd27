"""firerl's commands on spoilt files, as real processes: what ``mutated_files.py`` does after the readers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mutated_cases import Case, Plan, plans
from mutated_spoilt import MEMORY, SECONDS, WALL, canary, spoil

COMMANDS: dict[str, tuple[list[str], str]] = {  # arguments, the runs that they fit
    "launch resume": (["launch", "resume={run}", "engine=inline"], "open whole"),
    "launch init": (
        ["launch", "learner=quadratic", "init={run}", "run_dir={run}-new", "preset=smoke", "engine=inline"],
        "whole",
    ),
    "replay": (["replay", "{run}", "seed=9", "engine=inline", "out={run}-again"], "whole"),
    "report": (["report", "{run}"], "open whole"),
    "explain": (["explain", "{run}"], "open whole"),
    "explain --verify": (["explain", "{run}", "--verify"], "open whole"),
    "journal": (["journal", "{run}", "--reports"], "open whole"),
    "ls": (["ls", "{run}"], "open whole"),
    "stop": (["stop", "{run}"], "open whole"),
    "play": (["play", "{run}", "--episodes", "1"], "open whole agent"),
    "compare": (["compare", "{run}", "{base}/rival", "--allow", "steps", "--no-plot"], "open whole"),
    "export": (["export", "{run}", "--onnx", "{run}/x.onnx"], "agent"),
    "doctor": (["doctor", "{run}"], "open whole"),
    "doctor --repair": (["doctor", "{run}", "--repair"], "open whole"),
    "plan --probe": (["plan", "learner=quadratic", "preset=smoke", "--probe", "{run}/probe.json"], "texts"),
}


WHOLE = {run: Plan(f"{run} whole", 0, lambda *_: None, run, "lock", []) for run in ("open", "whole", "agent", "texts")}


def command_cases(each: int) -> Iterator[tuple[str, Case]]:
    """``each`` cases for every command, one of each command after another."""
    for seed in range(each):
        for command, (_, runs) in COMMANDS.items():
            fit = [plan for plan in plans() if plan.run in runs.split()]
            if command == "launch init":
                fit = [plan for plan in fit if plan.file == "best.pt"]
            elif command == "plan --probe":
                fit = [plan for plan in fit if plan.file == "probe.json"]
            rng = random.Random(f"{command} {seed}")
            yield command, Case(rng.choices(fit, [plan.share for plan in fit])[0], 10_000 + seed)


def as_a_command(command: str, case: Case, folder: Path, bare: tuple[float, int]) -> dict[str, Any]:
    """A real process in the directory of evil modules; ``bare`` is what it takes with a whole file: seconds, bytes."""
    run, before = spoil(case, folder), canary(folder)
    words = [word.format(run=run, base=folder / "base") for word in COMMANDS[command][0]]
    line = [sys.executable, "-m", f"firerl.{words[0]}", *words[1:]]
    bad, text = "", ""
    with open(folder / "out.txt", "w+") as out_file, open(folder / "err.txt", "w+") as err_file:
        process = subprocess.Popen(line, cwd=folder / "here", stdout=out_file, stderr=err_file, start_new_session=True)
        until = time.monotonic() + 3 * WALL
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0 and time.monotonic() < until:
            time.sleep(0.02)
        if ended[0] == 0:
            os.killpg(process.pid, signal.SIGKILL)
            ended, bad = os.wait4(process.pid, 0), "hangs"
    out, err = ((folder / name).read_text(errors="replace") for name in ("out.txt", "err.txt"))
    code, usage = os.waitstatus_to_exitcode(ended[1]), ended[2]
    process.returncode = code
    seconds, largest = usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
    lines = [row for row in err.splitlines() if row.strip() and not row.startswith("note:")]
    if not bad and seconds - bare[0] > SECONDS:
        bad = "hangs"
    if not bad and largest - bare[1] > MEMORY:
        bad = "over_memory"
    if not bad and code < 0:
        bad = "crashes"
    if not bad and ("Traceback" in out + err or code not in (0, 1, 2) or (code == 2 and len(lines) != 1)):
        bad = "unclear"
    if not bad and code == 1 and not (command.startswith(("doctor", "explain --verify")) or lines):
        bad = "unclear"
    if canary(folder) != before or set(os.listdir(folder / "here")) - {"evil_module.py", "evil_package", "__pycache__"}:
        bad = "outside_touched"
    if (folder / "canary/ran").exists():
        bad = "code_ran"
    text = f"exit code {code}, {seconds:.1f} s: {(lines or [''])[-1][:300]}"
    outcome = "read" if code == 0 else "refused"
    row = {"case": str(case), "reader": f"command {command}", "outcome": outcome, "bad": bad, "text": text}
    return {**row, "seconds": seconds, "bytes": largest}

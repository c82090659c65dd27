"""Spoil files in every way that comes to mind, and let firerl read them: nothing may happen but an error in one line.

    python tests/stress/mutated_files.py             10,000 files through the readers, 50 through every command
    python tests/stress/mutated_files.py --quick     300 files, no commands: about a minute

A file is spoilt in a copy of a small run (``mutations.py``), then two of the functions that read it do so, in turn
(``mutated_readers.py``), in a child forked from this process, which has imported everything. Good is what reads the
file rightly, or refuses it with one of firerl's errors. Bad is: code of a file runs (a canary file appears), a signal,
more than 5 seconds of the processor, more than 1 GB of memory above the warmed process, anything outside the run's
folder that is opened for writing, moved or removed (audit events of the interpreter; a tree of canary files compared
after each reading), and any other exception. Commands are real processes, judged by their exit code and by what they
print. Progress is kept in ``--out``; the same line goes on. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # results_file

import results_file
from mutated_cases import RUN_READERS, Case, cases
from mutated_children import Row, in_children
from mutated_commands import COMMANDS, WHOLE, as_a_command, command_cases
from mutated_readers import READERS, prepare, quiet
from mutated_spoilt import BAD, repair_canary


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="firerl-mutated-", dir=memory if os.access(memory, os.W_OK) else None)


def ready(folder: Path) -> None:
    """All that the cases need, and everything imported."""
    from firerl.engine.threads import one_thread

    one_thread()
    quiet(lambda: prepare(folder))
    shutil.copytree(folder / "canary", folder / "spare")
    others = [("play", "agent"), ("policy", "agent"), ("probe", "texts")]
    for name, run in (*others, *((n, "whole") for n in (*RUN_READERS, "retrace", "init", "schedule"))):
        shutil.rmtree(folder / "case", ignore_errors=True)
        (folder / "case/inner").mkdir(parents=True)
        shutil.copytree(folder / "base" / run, folder / "case/inner" / run)
        quiet(partial(READERS[name], folder / "case/inner" / run))


def table(rows: Sequence[Row]) -> str:
    """One line a kind of file, or a command."""

    def kind(row: Row) -> str:
        return row["reader"] if row["reader"].startswith("command") else row["case"].partition(" ")[0]

    lines = [
        f"{'file or command':28}{'files':>7}{'readings':>10}{'read':>8}{'refused':>9}"
        + "".join(f"{b:>17}" for b in BAD)
    ]
    for name in [*dict.fromkeys(map(kind, rows)), "all"]:
        own = [row for row in rows if name in (kind(row), "all")]
        counts, good = Counter(row["bad"] for row in own), Counter(row["outcome"] for row in own)
        cells = "".join(f"{counts[b]:17,}" for b in BAD)
        lines.append(
            f"{name:28}{len({r['case'] for r in own}):7,}{len(own):10,}{good['read']:8,}{good['refused']:9,}{cells}"
        )
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> dict[str, int]:
    """The figures of the last line."""
    files = {(row["case"], row["reader"] if row["reader"].startswith("command") else "") for row in rows}
    commands = sum(bool(reader) for _, reader in files)
    counts = {bad: sum(row["bad"] == bad for row in rows) for bad in BAD}
    return {"files": len(files) - commands, "commands": commands, "readings": len(rows) - commands, **counts}


def of_readers(chosen: Sequence[Case], folder: Path) -> Iterator[Row]:
    """What the readers of these cases came to; progress on standard error."""
    begun = time.monotonic()
    for done, case in enumerate(chosen, start=1):
        yield from in_children([case], folder)
        if done % 200 == 0:
            left = (time.monotonic() - begun) / done * (len(chosen) - done)
            print(f"{done} of {len(chosen)} files, {left:.0f} s left", file=sys.stderr, flush=True)


def of_commands(chosen: Sequence[tuple[str, Case]], folder: Path) -> Iterator[Row]:
    """What each command came to, beside what it takes with whole files."""
    bare: dict[str, tuple[float, int]] = {}
    for command, case in chosen:
        if not (folder / "canary/file.txt").exists() or (folder / "canary/ran").exists():
            repair_canary(folder)
        if command not in bare:
            runs = COMMANDS[command][1].split()
            whole = [as_a_command(command, Case(WHOLE[run], 0), folder, (1e9, 1 << 40)) for run in runs]
            bare[command] = (max(row["seconds"] for row in whole), max(row["bytes"] for row in whole))
        yield as_a_command(command, case, folder, bare[command])


def main() -> int:
    """What ``--out`` lacks, then the table; 1 if anything was bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 files, no commands")
    parser.add_argument("--files", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--commands", type=int, default=50, help="files for every command (50)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("mutated_files.jsonl"), help="progress (mutated_files.jsonl)")
    options = parser.parse_args()
    count, each = (300, 0) if options.quick else (options.files, options.commands)
    rows = results_file.read(options.out)
    there = {(row["case"], row["reader"]) for row in rows}
    chosen = [c for c in cases(count) if options.only in str(c) and (str(c), c.readers[0]) not in there]
    to_command = [(command, c) for command, c in command_cases(each) if (str(c), f"command {command}") not in there]
    to_command = [(command, c) for command, c in to_command if options.only in str(c)]
    with scratch() as name, open(options.out, "a", buffering=1) as out:  # a line is there once it is written
        folder = Path(name)
        ready(folder)
        for row in chain(of_readers(chosen, folder), of_commands(to_command, folder)):
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            if row["bad"]:
                print(f"{row['bad']}: {row['case']}, {row['reader']}: {row['text']}", flush=True)
    print(f"\n{table(rows)}\n")
    print(json.dumps(summary(rows)))
    return 1 if any(row["bad"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

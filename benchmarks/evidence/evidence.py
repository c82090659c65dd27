"""What grids of evidence share: the command line, the runs that are missing, tables in the document."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parents[1]))  # results_file

from evidence_grid import Cell
from evidence_runs import Measure, run_cell
from results_file import append, read

Row = dict[str, Any]
HERE = Path(__file__).resolve().parents[1]  # benchmarks/
DOCS = HERE.parent / "docs"


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """The options of every grid; ``name`` is that of its results file and of the folder of its runs."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--hours", type=float, default=1000.0, help="start no run after this time")
    made.add_argument("--first-seed", type=int, default=0, help="pilots take 100 and up")
    made.add_argument("--results", type=Path, default=HERE / "results" / f"{name}.jsonl")
    made.add_argument("--work", type=Path, default=HERE.parent / "runs" / name, help="folder of the runs under way")
    made.add_argument("--processes", type=int, default=None, help="of a run; default: one a core")
    made.add_argument("--list", action="store_true", help="run nothing")
    made.add_argument("--plot", action="store_true", help="only write docs/, from the results file")
    made.add_argument("--quick", action="store_true", help="a short pair, kept nowhere")
    return made


def load(path: Path) -> dict[str, Row]:
    """The finished runs by key."""
    return {row["key"]: row for row in read(path)}


def work_through(
    wanted: Sequence[Cell], given: argparse.Namespace, measure: Measure, describe: Callable[[Row], str]
) -> list[Row]:
    """List the runs, or run those that are missing until the time is over; returns the rows that are there."""
    rows = load(given.results)
    missing = [cell for cell in wanted if cell.key() not in rows]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there")
    if given.list:
        for cell in wanted:
            row = rows.get(cell.key())
            print(describe(row) if row else f"{cell.name:<30} missing")
    elif not given.plot:
        try:
            run_missing(missing, given, measure, describe)
        except KeyboardInterrupt:
            print("\ninterrupted: the same command goes on", file=sys.stderr)
        rows = load(given.results)
    return [rows[cell.key()] for cell in wanted if cell.key() in rows]


def run_missing(
    missing: Sequence[Cell], given: argparse.Namespace, measure: Measure, describe: Callable[[Row], str]
) -> None:
    """Run the cells until the time is over."""
    end = time.monotonic() + 3600 * given.hours
    for number, cell in enumerate(missing):
        if time.monotonic() > end:
            print(f"{given.hours:g} hours are over: {len(missing) - number} runs are left")
            return
        begun = time.monotonic()
        row = run_cell(cell, given.work, given.processes, measure)
        append(given.results, row)
        print(f"{describe(row)}   {(time.monotonic() - begun) / 60:.1f} min", flush=True)


def put_tables(tables: Mapping[str, Sequence[str]], *pages: Path) -> None:
    """Print the tables and put each into the documents at its marks."""
    for name, lines in tables.items():
        print(f"\n{name}\n" + "\n".join(lines))
    for page in pages:
        text = page.read_text()
        for name, lines in tables.items():
            text = _at_mark(text, name, lines)
        page.write_text(text)


def _at_mark(text: str, name: str, lines: Sequence[str]) -> str:
    begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
    before, marked, after = text.partition(begin)
    return before + begin + "\n".join(lines) + "\n" + end + after.partition(end)[2] if marked else text

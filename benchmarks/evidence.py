"""What grids of evidence share: results as lines of JSON, runs that are missing, tables in the document."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from evidence_runs import Cell

Row = dict[str, Any]
DOCS = Path(__file__).resolve().parents[1] / "docs"


def load(path: Path) -> dict[str, Row]:
    """The finished runs by key. A last line that a crash cut off is left out."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["key"]] = row
    return rows


def append(path: Path, row: Row) -> None:
    """One line more, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def run_missing(
    missing: Sequence[Cell],
    results: Path,
    hours: float,
    run: Callable[[Cell], Row],
    describe: Callable[[Row], str],
) -> int:
    """Run the cells until the time is over; returns how many were finished."""
    end, done = time.monotonic() + 3600 * hours, 0
    for number, cell in enumerate(missing):
        if time.monotonic() > end:
            print(f"{hours:g} hours are over: {len(missing) - number} runs are left")
            break
        begun = time.monotonic()
        row = run(cell)
        append(results, row)
        done += 1
        print(f"{describe(row)}   {(time.monotonic() - begun) / 60:.1f} min", flush=True)
    return done


def put_tables(tables: Mapping[str, Sequence[str]]) -> None:
    """Print the tables and put each into docs/evidence.md at its mark."""
    page = DOCS / "evidence.md"
    text = page.read_text()
    for name, lines in tables.items():
        print(f"\n{name}\n" + "\n".join(lines))
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, marked, after = text.partition(begin)
        if marked:
            text = before + begin + "\n".join(lines) + "\n" + end + after.partition(end)[2]
    page.write_text(text)

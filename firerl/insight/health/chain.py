"""The evaluation points that a journal's rows tell, and whether the chain of hashes covers them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from firerl.evolution import plain
from firerl.storage.generation import Point, first_hash, next_hash
from firerl.storage.journal.journal_db import Rows, read_report


def points_of(rows: Rows) -> tuple[dict[int, list[Point]], list[str]]:
    """The evaluation points by generation, and the rows that are not where they belong."""
    wrong = []
    last = rows.generations[-1][0]
    if [row[0] for row in rows.generations] != list(range(last + 1)):
        wrong.append(f"the generations are not numbered 0 to {last:,}")
    decisions: dict[int, list[tuple[int, int, str, str]]] = {}
    for point, position, filed, kind, data in rows.decisions:
        decisions.setdefault(point, []).append((position, filed, kind, data))
    made: dict[int, list[Point]] = {}
    before = 1
    for expected, (point, group) in enumerate(groupby(rows.reports, lambda row: row[0]), start=1):
        reports = list(group)
        generation = reports[0][2]
        taken = decisions.pop(point, [])
        if point != expected:
            wrong.append(f"evaluation point {expected:,} has no reports; the next that has is {point:,}")
        if not before <= generation <= min(before + 1, last) or {row[2] for row in reports} != {generation}:
            wrong.append(f"evaluation point {point:,}: its reports are filed under another generation")
        if any(row[1] != generation for row in taken):
            wrong.append(f"evaluation point {point:,}: its decisions are filed under another generation")
        if [row[0] for row in taken] != list(range(len(taken))):
            wrong.append(f"evaluation point {point:,}: its decisions are not numbered 0 to {len(taken) - 1}")
        told = [read_report(row[1], row[3], row[4], row[5], row[6]) for row in reports]
        kinds = [plain.decision_from_plain(kind, plain.loads(data)) for _, _, kind, data in taken]
        made.setdefault(generation, []).append(Point(told, kinds))
        before = max(before, generation)
    wrong += [f"evaluation point {point:,} has decisions and no reports" for point in decisions]
    return made, wrong


def chain(rows: Rows, points: Mapping[int, Sequence[Point]], promised: Mapping[str, Any]) -> Iterator[str]:
    """The generations whose hash is not that of their rows and of the hash before."""
    number, step, previous, *_ = rows.generations[0]
    state = plain.state_from_plain(plain.loads(rows.meta["initial_state"]))
    if first_hash(promised, state) != previous:
        yield "generation 0: its hash is not that of the settings and the first population"
    if step:
        yield f"generation 0 is at step {step:,}, must be 0"
    for number, step, stored, *_ in rows.generations[1:]:
        inside = points.get(number, [])
        at = max((report.step for report in inside[-1].reports), default=0) if inside else 0
        if at != step:
            yield f"generation {number} is at step {step:,}, its last report at step {at:,}"
        if next_hash(previous, step, inside) != stored:
            yield f"generation {number} (step {step:,}): its hash is not that of its rows and the hash before"
        previous = stored
    for number in sorted(points.keys() - {row[0] for row in rows.generations}):
        yield f"generation {number} has reports and was never committed"

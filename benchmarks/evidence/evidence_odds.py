"""Are evaluators of FIRE's runs promoted more often than networks that equal their child's would be?

Single evaluations are played with the rules' own verdict (``firerl.insight.power``), with as many points as those of
the runs had and on curves that rise, against their noise, as those of P1's members did in each third of the run.
``rl_evidence.py --plot`` makes the tables of docs/evidence.md of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import images_evidence
import numpy as np
import rl_evidence_grid as rl
from evidence_grid import Cell
from evidence_tables import Found, Row

from firerl.compose import compose
from firerl.config import RunConfig
from firerl.insight.power import DIFFERENCES, Case, Share, sample, settings_case, share, with_settings
from firerl.request import resolve

EVALUATIONS = 200  # of each third
EQUAL, BETTER = DIFFERENCES[0], DIFFERENCES[-1]
CHANGES: dict[str, Callable[[Case], Case]] = {  # what would make verdicts better
    "as it was": lambda case: case,
    "`algo.patience=fixed`": lambda case: with_settings(case, patience="fixed"),
    "readies four times rarer": lambda case: with_settings(case, ready_interval=4 * case.ready_interval),
    "half the noise (four times the episodes)": lambda case: with_settings(case, noise=1 / 2),
    "a quarter of the noise (sixteen times)": lambda case: with_settings(case, noise=1 / 4),
    "a quarter, and the readies": lambda case: with_settings(case, noise=1 / 4, ready_interval=4 * case.ready_interval),
}


def fire(task: str) -> Cell:
    """A run of FIRE on a task of either grid."""
    if task in rl.TASKS:
        return rl.Cell(task, rl.FIRE, 0)
    return images_evidence.Cell(task, images_evidence.FIRE, 0)


def config_of(cell: Cell) -> RunConfig:
    """The complete settings of a cell's run."""
    options = cell.options()
    learner = {"name": options["learner"], **options["settings"]}
    algo = {"name": options["algo"], **options["algo_settings"]}
    population = {"sizes": options["population"], "evaluators": options["evaluators"]}
    names = ("env", "space", "steps", "eval_interval", "ready_interval", "seed")
    rest = {name: options[name] for name in names if name in options}
    return resolve(compose(settings={"learner": learner, "algo": algo, "population": population, **rest}))


def odds(
    cell: Cell,
    points: int,
    rises: Sequence[float],
    evaluations: int = EVALUATIONS,
    change: Callable[[Case], Case] = CHANGES["as it was"],
) -> tuple[Share, Share]:
    """Of evaluations of a network that equals its child's, and of one that is better by one standard deviation of an
    evaluation's noise, as it was in the runs: the share that is promoted, where curves rise by ``rises``, in that
    noise."""
    promoted: dict[float, list[bool]] = {EQUAL: [], BETTER: []}
    for seed, rise in enumerate(rises):
        case = settings_case(config_of(cell), rise)
        assert case is not None, f"{cell.name} has no evaluators"
        case = change(with_settings(case, max_eval_steps=points * case.eval_interval))
        for difference, ends in sample(case, [EQUAL, BETTER], evaluations, seed).items():
            promoted[difference] += [end.promoted for end in ends]
    return share(promoted[EQUAL]), share(promoted[BETTER])


def rises_of(rows: Mapping[int, Row]) -> list[float]:
    """A task's rises by third: medians over its runs, of those thirds in which there are any."""
    thirds = zip(*(row["rises"] for row in rows.values() if "rises" in row), strict=True)
    known = [[third[1] for third in runs if third is not None] for runs in thirds]
    return [float(np.median(values)) for values in known if values]


def played(found: Found, lived: Found) -> Iterator[tuple[str, list[Any], int, list[float]]]:
    """Of each task: its name, FIRE's evaluations that ended, the points that one had at most, the rises."""
    for task, arms in found.items():
        rises = rises_of(lived.get(task, {}).get("fire", {}))
        if "fire" in arms and rises:
            ended = [m for row in arms["fire"].values() for m in row["measurements"] if m[2] != "running"]
            yield task, ended, max(m[3] for m in ended), rises


def table(found: Found, lived: Found) -> list[str]:
    """What evaluators of FIRE did (``found``) beside what equals would have done on such curves (``lived``)."""
    columns = (
        "task", "evaluations", "points at most", "rise an evaluation, in its noise, by third", "promoted",
        "of equals would be", "of networks better by one deviation",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    for task, ended, points, rises in played(found, lived):
        promoted = sum(m[2] == "promotion" for m in ended)
        equal, better = odds(fire(task), points, rises)
        shown = ", ".join(f"{rise:.2f}" for rise in rises)
        lines.append(
            f"| {task} | {len(ended)} | {points} | {shown} | {promoted} ({100 * promoted / len(ended):.0f} %) | "
            f"{equal} | {better} |"
        )
    return lines


def mending(found: Found, lived: Found) -> list[str]:
    """How often networks that are better by one deviation of the runs' noise would be promoted, and equals, if one
    thing were different."""
    tasks = list(played(found, lived))
    lines = [
        f"| {' | '.join(['', *(f'{task[0]}, better / equal' for task in tasks)])} |",
        "|---|" + "--:|" * len(tasks),
    ]
    for name, change in CHANGES.items():
        cells = []
        for task, _, points, rises in tasks:
            equal, better = odds(fire(task), points, rises, EVALUATIONS // 2, change)
            cells.append(f"{100 * better.value:.0f} % / {100 * equal.value:.0f} %")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines

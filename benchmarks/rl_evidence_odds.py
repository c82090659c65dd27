"""Are evaluators of FIRE's runs promoted more often than networks that equal their child's would be?

Single evaluations are played with the rules' own verdict (``firerl.insight.power``), with as many points as those of
the runs had and on curves that rise, against their noise, as those of P1's members did in each third of the run.
``rl_evidence.py --plot`` makes the table of docs/evidence.md of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from evidence_tables import Found, Row
from rl_evidence_grid import FIRE, Cell

from firerl.compose import compose
from firerl.config import RunConfig
from firerl.insight.power import DIFFERENCES, Share, sample, settings_case, share, with_settings
from firerl.request import resolve

EVALUATIONS = 200  # of each third
EQUAL, BETTER = DIFFERENCES[0], DIFFERENCES[-1]


def config_of(cell: Cell) -> RunConfig:
    """The complete settings of a cell's run."""
    options = cell.options()
    learner = {"name": options["learner"], **options["settings"]}
    algo = {"name": options["algo"], **options["algo_settings"]}
    population = {"sizes": options["population"], "evaluators": options["evaluators"]}
    rest = {key: options[key] for key in ("env", "space", "steps", "eval_interval", "ready_interval", "seed")}
    return resolve(compose(settings={"learner": learner, "algo": algo, "population": population, **rest}))


def odds(cell: Cell, points: int, rises: list[float], evaluations: int = EVALUATIONS) -> tuple[Share, Share]:
    """Of evaluations of a network that equals its child's, and of one that is better by one standard deviation of an
    evaluation's noise: the share that is promoted, where curves rise by ``rises``, in that noise."""
    promoted: dict[float, list[bool]] = {EQUAL: [], BETTER: []}
    for seed, rise in enumerate(rises):
        case = settings_case(config_of(cell), rise)
        assert case is not None, f"{cell.name} has no evaluators"
        case = with_settings(case, max_eval_steps=points * case.eval_interval)
        for difference, ends in sample(case, [EQUAL, BETTER], evaluations, seed).items():
            promoted[difference] += [end.promoted for end in ends]
    return share(promoted[EQUAL]), share(promoted[BETTER])


def rises_of(rows: Mapping[int, Row]) -> list[float]:
    """A task's rises by third: medians over its runs, of those thirds in which there are any."""
    thirds = zip(*(row["rises"] for row in rows.values() if "rises" in row), strict=True)
    known = [[third[1] for third in runs if third is not None] for runs in thirds]
    return [float(np.median(values)) for values in known if values]


def table(found: Found, lived: Found) -> list[str]:
    """What evaluators of FIRE did (``found``) beside what equals would have done on such curves (``lived``)."""
    columns = (
        "task", "evaluations", "points at most", "rise an evaluation, in its noise, by third", "promoted",
        "of equals would be", "of networks better by one deviation",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    for task, arms in found.items():
        rises = rises_of(lived.get(task, {}).get("fire", {}))
        if "fire" not in arms or not rises:
            continue
        rows = arms["fire"].values()
        ended = [m for row in rows for m in row["measurements"] if m[2] != "running"]
        points = max(m[3] for m in ended)
        promoted = sum(m[2] == "promotion" for m in ended)
        equal, better = odds(Cell(task, FIRE, 0), points, rises)
        shown = ", ".join(f"{rise:.2f}" for rise in rises)
        lines.append(
            f"| {task} | {len(ended)} | {points} | {shown} | {promoted} ({100 * promoted / len(ended):.0f} %) | "
            f"{equal} | {better} |"
        )
    return lines

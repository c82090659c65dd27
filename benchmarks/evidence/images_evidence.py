"""Does FIRE PBT find better learning-rate schedules than PBT? The classifier on `shapes`, 22 workers an arm.

    python benchmarks/evidence/images_evidence.py          what results/images_evidence.jsonl lacks; some hours
    python benchmarks/evidence/images_evidence.py --list   what is there and what is missing; runs nothing
    python benchmarks/evidence/images_evidence.py --plot   docs/lab/evidence-images.md and its figure, from the results
    python benchmarks/evidence/images_evidence.py --quick  one short pair on digits, kept nowhere; a minute

Arms: random search over the first rate of the usual schedule (Goyal et al. 2017), PBT, FIRE; the winner's schedule of
each again from scratch with three fresh seeds. Every finished run is one line of the results file and never computed
again; a run that was interrupted goes on from its folder in ``--work``. The grid waits while a file ``pause`` lies
there. The last line is JSON.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import evidence
import evidence_grid
import evidence_tables as tables
import numpy as np
from evidence_grid import Arm, Task, options_of
from evidence_runs import run_cell
from evidence_tables import Figure

from firerl.config.learners import find_learner
from firerl.envs import images

SEEDS = 5
FRESH = range(1001, 1006)  # seeds of `shapes` that are never trained on: 4,000 images each


TASKS = {"shapes": Task(4_000, 20, 160, 480)}
SHORT = {"digits": Task(240, 10, 40, 120)}


FIRE = Arm("fire", "fire", (8, 8), 6)
ARMS = (
    FIRE,
    Arm("pbt", "pbt"),
    Arm("hand schedule", "random", settings={"schedule": "goyal"}),
)


@dataclass(frozen=True)
class Cell(evidence_grid.Cell):
    """One run of the classifier."""

    def options(self) -> dict[str, Any]:
        common = options_of({**TASKS, **SHORT}[self.task], self.arm, self.seed)
        return common | {"learner": "classifier", "settings": {"data": self.task}}


def cells(seeds: int, first: int) -> Iterator[Cell]:
    """Seed by seed over all arms, so that a partial grid is balanced."""
    for seed in range(first, first + seeds):
        for task in TASKS:
            for arm in ARMS:
                yield Cell(task, arm, seed)


def unseen(config: Any, hyperparameters: Any, weights: Any) -> dict[str, float]:
    """Accuracy on images that no search saw: the report part of validation, and many new ones of the same digits."""
    learner: Any = find_learner(config.learner)(config.settings, hyperparameters, 0, "cpu")
    learner.load(weights=weights)
    figures = {"report": learner.report(0)["accuracy"]}
    if config.settings["data"]["name"] == "shapes":
        right = []
        for seed in FRESH:
            learner.data = images.load({**config.settings["data"], "seed": seed})
            right += [learner.evaluate(0), learner.report(0)["accuracy"]]  # halves of its validation images
        figures["fresh"] = float(np.mean(right))
    return figures


def retraced(figure: str, row: dict[str, Any]) -> float:
    """Per cent: the mean over the fresh networks that followed the winner's schedule."""
    return 100 * float(np.mean([again[figure] for again in row["retraces"]]))


FIGURES: dict[str, Figure] = {
    "winner, new images": lambda row: 100 * row["winner"]["fresh"],
    "retrace, new images": partial(retraced, "fresh"),
    "winner, report half": lambda row: 100 * row["winner"]["report"],
    "retrace, report half": partial(retraced, "report"),
    "objective": lambda row: 100 * row["objective"],
    "best, mean of run": lambda row: 100 * row["auc"],
    "median member at the end": lambda row: 100 * row["curves"]["median_all"][-1],
}
TESTED = ("winner, new images", "retrace, new images", "winner, report half", "objective", "best, mean of run")


def describe(row: dict[str, Any]) -> str:
    """A finished run on one line."""
    winner, *again = (f"{one.get('fresh', one['report']):.3f}" for one in (row["winner"], *row["retraces"]))
    starts, successes = (row["evolution"][f"evaluator_{what}"] for what in ("starts", "successes"))
    rates = [part["hyperparameters"]["learning_rate"] for part in row["schedule"]]
    return (
        f"{row['task']} {row['arm']:<14} seed {row['seed']:<3} objective {row['objective']:.3f}  new images "
        f"{winner}  retraces {', '.join(again)}  rate {max(rates):.2g} to {rates[-1]:.2g}  "
        f"evaluators {successes}/{starts}"
    )


def plot(rows: Sequence[dict[str, Any]]) -> None:
    """Put the tables into docs/lab/evidence-images.md at their marks, and draw the figure."""
    from images_evidence_figure import write_figure

    found = tables.group(rows)
    evidence.put_tables(
        {
            "images results": tables.results(found, FIGURES),
            "images fire pbt": tables.differences(found, FIGURES, TESTED),
            "images fire hand": tables.differences(found, FIGURES, TESTED, theirs="hand schedule"),
            "images evolution": tables.evolution(found),
        },
        evidence.DOCS / "lab" / "evidence-images.md",
    )
    print(write_figure(found))


def quick(work: Path) -> dict[str, float]:
    """All arms in a minute, to see that the whole works; accuracies on the report half."""
    rows = [run_cell(Cell("digits", arm, 100), work, None, unseen) for arm in ARMS]
    for row in rows:
        print(describe(row))
    return {row["arm"]: row["winner"]["report"] for row in rows}


def main() -> None:
    """Run what is missing, print a line a run and the JSON line."""
    parser = evidence.parser(__doc__, "images_evidence")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(quick(Path(folder))))
        return
    wanted = list(cells(given.seeds, given.first_seed))
    rows = evidence.work_through(wanted, given, unseen, describe)
    if given.plot:
        plot(rows)
    means = {
        arm: {name: float(np.mean([figure(row) for row in some.values()])) for name, figure in FIGURES.items()}
        for arm, some in tables.group(rows).get("shapes", {}).items()
    }
    print(json.dumps({"runs": len(rows), "missing": len(wanted) - len(rows), "per_cent": means}))


if __name__ == "__main__":
    main()

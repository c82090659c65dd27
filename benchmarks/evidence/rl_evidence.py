"""Does FIRE PBT win on MuJoCo? V-MPO on HalfCheetah, Humanoid and Ant: FIRE, PBT, random search, the defaults.

    python benchmarks/evidence/rl_evidence.py --hours 8       what benchmarks/results/rl_evidence.jsonl lacks; hours
    python benchmarks/evidence/rl_evidence.py --goal          more seeds than the least
    python benchmarks/evidence/rl_evidence.py --groups extra  other arms: fire_lean, larger populations, rivals
    python benchmarks/evidence/rl_evidence.py --list          what is there and what is missing; runs nothing
    python benchmarks/evidence/rl_evidence.py --plot          its tables in docs/ and figures, from the results alone
    python benchmarks/evidence/rl_evidence.py --quick         one short pair on InvertedPendulum; two minutes

Every finished run is one line of the results file and never computed again; a run that was interrupted goes on from its
folder in ``--work``. The grid waits while a file ``pause`` lies there. Seed by seed over all cells: a partial grid is
balanced. Run it with ``nice`` beside other work. The last line is JSON.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evidence
import evidence_tables as tables
import numpy as np
import rl_evidence_grid as grid
from evidence_runs import run_cell
from evidence_tables import Figure
from rl_evidence_grid import GROUPS, TASKS, Cell, cells

from firerl.base.seeding import Purpose, integer_seed
from firerl.config.learners import find_learner

ARMS = {arm.name: arm for arms in GROUPS.values() for arm in arms}
PAGES = [evidence.DOCS / f"{name}.md" for name in ("evidence", "lab/evidence-rl")]
EPISODES = 50
FIGURES: dict[str, Figure] = {
    "mean action": lambda row: row["winner"]["mean"],
    "sampled": lambda row: row["winner"]["sample"],
    "objective": lambda row: row["objective"],
    "bias": lambda row: row["objective"] - row["winner"]["sample"],
    "best, mean of run": lambda row: row["auc"],
    "median member": lambda row: row["curves"]["median_all"][-1],
    "retrace": lambda row: float(np.median([r["mean"] for r in row["retraces"]])) if row.get("retraces") else None,
}
TESTED = ("mean action", "sampled", "best, mean of run", "retrace")  # fire against pbt
BESIDE = (  # rivals with less of a search, and reasons
    ("fire", "random"), ("pbt", "random"), ("fire", "pbt 8"), ("pbt", "pbt 8"),
    ("fire, learning rate", "pbt, learning rate"),
)  # fmt: skip


def fresh_episodes(config: Any, hyperparameters: Any, weights: Any) -> dict[str, float]:
    """Return over whole episodes that nobody selected by, for the mean action and for sampled ones."""
    seed = integer_seed(config.seed, Purpose.REPORT, 1)  # not the episodes of result.json
    learner: Any = find_learner(config.learner)(config.settings, hyperparameters, seed, "cpu")
    learner.load(weights=weights)
    figures = {}
    for policy in ("mean", "sample"):
        returns = [value for value, _ in learner.episodes(EPISODES, seed, mean=policy == "mean")]
        figures[policy], figures[f"{policy}_sd"] = float(np.mean(returns)), float(np.std(returns, ddof=1))
    return figures


def describe(row: dict[str, Any]) -> str:
    """A finished run on one line."""
    retraces = ", ".join(f"{again['mean']:.0f}" for again in row.get("retraces", []))
    evolution = row["evolution"]
    starts, successes = evolution["evaluator_starts"], evolution["evaluator_successes"]
    return (
        f"{row['task']:<12} {row['arm']:<12} seed {row['seed']:<3} objective {row['objective']:>8.1f}  mean action "
        f"{row['winner']['mean']:>8.1f}  sampled {row['winner']['sample']:>8.1f}  retraces {retraces or '-':<20} "
        f"evaluators {successes}/{starts}"
    )


def defaults(found: tables.Found) -> list[str]:
    """The arms' medians beside all networks that trained with the defaults, which a user would run once."""
    lines = ["| task | defaults: lowest, quartiles, highest of all | the best by objective | random | pbt | fire |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    for task, arms in found.items():
        for row in arms.get("constant", {}).values():
            spread = np.quantile([member["mean"] for member in row["members"]], [0, 0.25, 0.5, 0.75, 1])
            rivals = [tables.values(arms.get(arm, {}), FIGURES["mean action"]) for arm in ("random", "pbt", "fire")]
            cells = [f"{np.median(list(rival.values())):,.0f}" if rival else "-" for rival in rivals]
            of_all = ", ".join(f"{value:,.0f}" for value in spread)
            lines.append(f"| {task} | {of_all} | {row['winner']['mean']:,.0f} | {' | '.join(cells)} |")
    return lines


def answer(found: tables.Found) -> list[str]:
    """The winners' returns with the mean action in three comparisons: every task, and all in standard deviations."""
    pairs = (("fire", "pbt"), ("fire", "random"), ("pbt", "random"))
    lines = ["| task | " + " | ".join(f"{ours} minus {theirs} | {ours} ahead | p" for ours, theirs in pairs) + " |"]
    lines.append("|---|" + "--:|" * 3 * len(pairs))
    pooled: list[list[float]] = [[] for _ in pairs]
    for task, arms in found.items():
        cells = []
        for (ours, theirs), every in zip(pairs, pooled, strict=True):
            differences, normalised = tables.paired(arms, FIGURES["mean action"], ours, theirs)
            every += normalised
            cells.append(tables.compared(differences))
        lines.append(f"| {task} | {' | '.join(cells)} |")
    lines.append(f"| all, in standard deviations | {' | '.join(map(tables.compared, pooled))} |")
    return lines


def where_it_acted(found: tables.Found) -> str:
    """The pooled difference over those pairs in which an evaluator of FIRE succeeded."""
    pooled: list[float] = []
    for arms in found.values():
        runs = arms.get("fire", {})
        seeds = sorted(runs.keys() & arms.get("pbt", {}).keys())
        _, normalised = tables.paired(arms, FIGURES["mean action"], "fire", "pbt")
        pairs = zip(seeds, normalised, strict=False)  # a single pair has no spread
        pooled += [d for seed, d in pairs if runs[seed]["evolution"]["evaluator_successes"]]
    return tables.difference("mean action, where FIRE acted", "all, in standard deviations", pooled)


def plot(rows: Sequence[dict[str, Any]]) -> None:
    """Put each table into docs/evidence.md or docs/lab/evidence-rl.md, where its mark is, and draw the figures."""
    from rl_evidence_figures import write_figures

    found = tables.group(rows)
    evidence.put_tables(
        {
            "rl answer": answer(found),
            "rl results": tables.results(found, FIGURES),
            "rl differences": [*tables.differences(found, FIGURES, TESTED), where_it_acted(found)],
            "rl defaults": defaults(found),
            "rl evolution": tables.evolution(found),
            **{
                f"rl {ours} minus {theirs}": tables.differences(found, FIGURES, TESTED, ours, theirs)
                for ours, theirs in BESIDE
            },
        },
        *PAGES,
    )
    print("\n".join(map(str, write_figures(found))))


def quick(work: Path) -> dict[str, Any]:
    """A pair that takes two minutes in all, to see that the whole works."""
    short = grid.Task(24_000, 1_000, 4_000, 8_000, 3, 1, 1)
    TASKS["InvertedPendulum"] = short
    rows = [run_cell(Cell("InvertedPendulum", arm, 100), work, None, fresh_episodes) for arm in (grid.FIRE, grid.PBT)]
    for row in rows:
        print(describe(row))
    return {row["arm"]: row["winner"]["mean"] for row in rows}


def main() -> None:
    """Run what is missing, print a line a run and the JSON line."""
    parser = evidence.parser(__doc__, "rl_evidence")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    parser.add_argument("--groups", nargs="+", choices=[*GROUPS], default=["main"])
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[], help="these alone, of any group")
    parser.add_argument("--goal", action="store_true", help="as many seeds as the goal says")
    given = parser.parse_args()
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(quick(Path(folder))))
        return
    arms = [ARMS[name] for name in given.arms] or [arm for group in given.groups for arm in GROUPS[group]]
    arms = [*ARMS.values()] if given.plot else arms
    wanted = list(cells(given.tasks, arms, given.first_seed, given.goal or given.plot))
    rows = evidence.work_through(wanted, given, fresh_episodes, describe)
    if given.plot:
        plot(rows)
    print(json.dumps({"runs": len(rows), "missing": len(wanted) - len(rows)}))


if __name__ == "__main__":
    main()

"""How often an evaluation ends in a promotion or an early stop, against what is true.

    python benchmarks/evidence/verdict.py           2,000 evaluations of equal curves a row, 500 of others; some minutes
    python benchmarks/evidence/verdict.py --quick   100 of each

Every evaluation is played point by point with the rules' own verdict and the settings that the presets give: a child
with a curve of so many points trains on, an evaluator starts where the child's curve started. The true curves are flat,
or rise like a logarithm, by 4 (*gentle*) or 16 (*steep*) standard deviations of the noise over twice the evaluator's
time. From its second point on the evaluator's is higher by ``difference`` standard deviations; the noise is normal and
independent. Nothing else ends an evaluation: no exploit replaces the parent or the child.

*Early* is a stop before ``max_eval_steps``, ``points`` what an evaluation takes on average, and *apart* the promotions
at difference 0 without overlap, where no sign test is made. A false promotion is one at difference 0;
``false_promotion_<preset>`` is the largest over shapes and lengths of the child's curve, with a standard error of at
most 1.1 % (``--quick``: 5 %). It takes an equal network for the child's own. What harms is a promotion at difference
-1: ``promotions_of_worse_max``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from importlib.resources import files

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import yaml

from firerl.evolution import fire
from firerl.insight.power import play

DIFFERENCES = (-1.0, 0.0, 0.5, 1.0, 2.0)  # standard deviations of the noise
RISES = {"flat": 0, "gentle": 4, "steep": 16}  # standard deviations over twice the evaluator's time
LENGTHS = (0, 12, 36)  # points of the child's curve when the evaluation starts


@dataclass(frozen=True)
class Rates:
    """Of the evaluations of one row at one difference."""

    promoted: float  # share
    apart: float  # share that is promoted without overlap
    early: float  # share that stops before its time is over
    points: float  # mean


def presets() -> dict[str, int]:
    """The evaluations that each preset gives an evaluator, by name."""
    texts = [path.read_text() for path in files("firerl.configs").joinpath("preset").iterdir()]
    return {preset["name"]: preset["max_eval_evaluations"] for preset in map(yaml.safe_load, sorted(texts))}


def rates(max_eval: int, shape: str, length: int, difference: float, evaluations: int) -> Rates:
    """Play ``evaluations`` of them; the noise is a function of the row."""
    rng = np.random.default_rng([max_eval, RISES[shape], length])
    settings = fire.Settings(max_eval_steps=max_eval)
    true = RISES[shape] * np.log1p(np.arange(length + max_eval)) / np.log1p(2 * max_eval)
    ahead = np.where(np.arange(max_eval) > 0, difference, 0.0)
    ends = []
    for _ in range(evaluations):
        rho = true + rng.standard_normal(len(true))
        eta = true[:max_eval] + ahead + rng.standard_normal(max_eval)
        ends.append(play(settings, 1, eta, rho, length))
    promoted, apart, points = np.array(ends).T
    return Rates(promoted.mean(), apart.mean(), ((promoted == 0) & (points < max_eval)).mean(), points.mean())


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 evaluations each")
    arguments = parser.parse_args()
    rows = [(m, shape, length) for m in sorted(set(presets().values())) for shape in RISES for length in LENGTHS]
    print("per cent promoted / stopped early, then points taken; difference in standard deviations of the noise\n")
    titles = "".join(f"{f'difference {d:g}':>21}" for d in DIFFERENCES)
    print(f"{'time':>4} {'shape':>7} {'child':>6}{titles} {'apart':>6}")
    false: dict[int, float] = {}
    worse: list[float] = []
    for number, row in enumerate(rows):
        cells = []
        for difference in DIFFERENCES:
            print(f"\r{number} of {len(rows)} rows, difference {difference:g} ", end="", file=sys.stderr, flush=True)
            evaluations = 100 if arguments.quick else 500 if difference else 2000
            found = rates(*row, difference, evaluations)
            cells.append(f"{100 * found.promoted:>8.1f} /{100 * found.early:>5.1f} {found.points:>5.1f}")
            if difference == 0:
                false[row[0]] = max(false.get(row[0], 0.0), found.promoted)
                apart = found.apart
            elif difference < 0:
                worse.append(found.promoted)
        print(f"\r{'':60}\r", end="", file=sys.stderr)
        print(f"{row[0]:>4} {row[1]:>7} {row[2]:>6}{''.join(cells)} {100 * apart:>6.1f}", flush=True)
    figures = {f"false_promotion_{name}": round(float(false[time]), 4) for name, time in presets().items()}
    largest = {"false_promotions_max": max(figures.values()), "promotions_of_worse_max": float(max(worse))}
    print(json.dumps({**figures, **largest}))


if __name__ == "__main__":
    main()

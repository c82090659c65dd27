"""The figure of the evidence on images: the learning-rate schedules that each arm found, and what they reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from evidence import DOCS

mpl.use("svg")
import matplotlib.pyplot as plt

STYLES = {"fire": ("#1f5fa8", "-"), "pbt": ("#b23b3b", "--"), "hand schedule": ("#777777", ":")}
Found = Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]]


def write_figure(found: Found) -> Path:
    """One row a data set: rates of the winners, best accuracy of the population; runs thin, their median bold."""
    mpl.rcParams.update(
        {"svg.hashsalt": "firerl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, axes = plt.subplots(len(found), 2, figsize=(9, 3.4 * len(found)), squeeze=False)
    for (left, right), (task, arms) in zip(axes, found.items(), strict=True):
        for arm, rows in arms.items():
            colour, dashes = STYLES[arm]
            steps = np.array(next(iter(rows.values()))["curves"]["steps"])
            rates = np.array([rates_at(row["schedule"], steps) for row in rows.values()])
            best = np.array([row["curves"]["best"] for row in rows.values()], dtype=float)
            for ax, curves, middle in (
                (left, rates, np.exp(np.median(np.log(rates), axis=0))),
                (right, 100 * best, 100 * np.nanmedian(best, axis=0)),
            ):
                ax.plot(steps, curves.T, color=colour, ls=dashes, lw=0.6, alpha=0.5)
                ax.plot(steps, middle, color=colour, ls=dashes, lw=2, label=f"{arm} ({len(rows)} runs)")
        left.set(yscale="log", title=f"{task}: learning rate of the winner", xlabel="steps of a worker")
        right.set(title=f"{task}: accuracy of the best member, %", xlabel="steps of a worker")
        right.set_ylim(bottom=50)
        left.legend(frameon=False)
    figure.tight_layout()
    path = DOCS / "pictures" / "evidence-images.svg"
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return path


def rates_at(schedule: list[dict[str, Any]], steps: Any) -> list[float]:
    """The rate with which the network was trained up to each of ``steps``."""
    return [
        next(row["hyperparameters"]["learning_rate"] for row in schedule if row["from"] < step <= row["to"])
        for step in steps
    ]

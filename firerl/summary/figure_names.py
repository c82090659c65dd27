"""What the figures of a run are called, everywhere: on screen, in the page, in ``result.json``.

A winner has several: each evaluation of it, what members are ranked by (the mean of the last ones), the end of its
smoothed curve, and what the learner's ``report`` finds on data that the search did not see. The last is what the winner
is worth: by the others it was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firerl.summary.tally import is_number

LAST = "last evaluation"
HIGHEST = "highest single evaluation"
BEST_EVER = "highest smoothed evaluation of P1 at any ready"  # of best_ever.pt


def ranked_by(window: int) -> str:
    """What a member's ranking is: its objective."""
    return "last evaluation" if window == 1 else f"mean of the last {window} evaluations"


def evaluation(settings: Mapping[str, Any]) -> str:
    """What one evaluation of a worker is, by its learner's settings."""
    least = settings.get("objective_episodes")
    if not settings.get("env") or least is None:
        return "what evaluate() returned"
    what = str(settings.get("objective", "training"))
    if what == "fresh":
        return f"mean return of {least} fresh episodes"
    if what == "training":
        return "training return"
    return f"{what.removeprefix('info:')} of training episodes"


def fresh(name: str, plays: bool) -> str:
    """A figure of ``Learner.report``: ``mean action return on fresh episodes``."""
    return f"{name.replace('_', ' ')} on fresh {'episodes' if plays else 'data'}"


def headline(figures: Any, plays: bool) -> tuple[str, float] | None:
    """What the winner is worth: the name and the value of the first figure of ``Learner.report``; None: it has none."""
    if not isinstance(figures, Mapping):
        return None
    return next(((fresh(str(name), plays), float(value)) for name, value in figures.items() if is_number(value)), None)


def of_result(window: int, plays: bool, figures: Mapping[str, Any]) -> dict[str, str]:
    """The names of the figures in ``result.json``, by where they stand in it."""
    named = {"objective": ranked_by(window), "best_ever.objective": BEST_EVER}
    return named | {f"fresh.{name}": fresh(name, plays) for name in figures}

"""The one line that ``launch`` prints where a run's evaluators will hardly find anything, by its settings alone."""

from __future__ import annotations

from firerl.config import RunConfig
from firerl.insight.power import Case, sample, settings_case

ENOUGH = 0.25  # of the evaluations with a true advantage of one standard deviation end in a promotion
EVALUATIONS = 80
MOST_POINTS = 40  # an evaluation of more is not short of them, and takes long to play


def warning(config: RunConfig) -> str | None:
    """What is wrong, or None. Costs some tenths of a second.

    Without a probe nothing is known of the curves: they are taken as flat, where evaluators find most.
    """
    case = settings_case(config)
    if case is None or case.points > MOST_POINTS:
        return None
    found = chance(case)
    if found >= ENOUGH:
        return None
    return (
        f"note: evaluators will find a true advantage of one standard deviation of the noise in {100 * found:.0f} of "
        f"100 evaluations at best ({case.points} points each, a ready every {case.per_ready}); python -m firerl.plan "
        "with the same arguments says more"
    )


def chance(case: Case) -> float:
    """Share of the evaluations with a true advantage of 1 that end in a promotion."""
    ends = sample(case, [1.0], EVALUATIONS, ages=1)[1.0]
    return sum(end.promoted for end in ends) / len(ends)

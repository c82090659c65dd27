"""What an evaluator saw: its curve beside its child's, where they overlap, and how often it was better there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.evolution import curves
from firerl.evolution.evaluators import SMOOTH, EvaluatorSettings, patience
from firerl.insight.history.history import PROMOTION, RUNNING, Measurement
from firerl.summary.in_words import apart, plural, signed

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Two curves and their overlap. Shapes [n] of eta (the evaluator), [m] of rho (its child)."""

    eta: Curve
    rho: Curve
    smooth_eta: Curve
    smooth_rho: Curve
    shared: curves.Overlap | None
    better: int  # raw values in the overlap at which eta is larger
    worse: int
    equal: int

    @property
    def place(self) -> str:
        """Where eta lies: overlap, above (wholly), below (wholly), apart (neither), none (a curve is empty)."""
        if self.shared:
            return "overlap"
        if not len(self.eta) or not len(self.rho):
            return "none"
        if self.smooth_eta.min() > self.smooth_rho.max():
            return "above"
        return "below" if self.smooth_eta.max() < self.smooth_rho.min() else "apart"


def evaluator_settings(settings: Mapping[str, Any]) -> EvaluatorSettings:
    """The evaluators' part of an algorithm's settings; the defaults for what it does not have."""
    names = {f.name for f in fields(EvaluatorSettings)}
    return EvaluatorSettings(**{name: value for name, value in settings.items() if name in names})


def compare(m: Measurement, settings: EvaluatorSettings) -> Comparison:
    """The two curves of a measurement, smoothed as the run does."""
    eta, rho = np.asarray(m.eta, dtype=np.float64), np.asarray(m.rho, dtype=np.float64)
    smooth = SMOOTH[settings.smoothing]
    smooth_eta, smooth_rho = smooth(eta), smooth(rho)
    shared = curves.overlap(smooth_eta, smooth_rho)
    if shared is None:
        return Comparison(eta, rho, smooth_eta, smooth_rho, None, 0, 0, 0)
    a, b = eta[shared.f : shared.f + shared.length], rho[shared.g : shared.g + shared.length]
    counts = int(np.sum(a > b)), int(np.sum(a < b)), int(np.sum(a == b))
    return Comparison(eta, rho, smooth_eta, smooth_rho, shared, *counts)


def seen(m: Measurement, settings: EvaluatorSettings) -> str:
    """What the curves say, in one sentence: where they were compared, how often the evaluator was better, p."""
    c = compare(m, settings)
    numbers = ""
    if m.p_value is not None and m.best_score_diff is not None:
        p, _ = apart(float(m.p_value), settings.significance, least=2)
        numbers = f" (p = {p}, best score difference {signed(m.best_score_diff)})"
    if m.best_score_diff is not None and m.points != (c.shared.length if c.shared else len(c.eta)):
        return f"It was judged on {plural(m.points or 0, 'point')}{numbers}"  # not by the rules that we know
    child = f"member {m.child}'s"
    if c.shared:
        n = c.shared.length
        where = "At the one point" if n == 1 else f"Over the {n:,} points"
        return f"{where} where the curves overlap, it was {_counts(c, n)}{numbers}"
    its = f"Its smooth curve of {plural(len(c.eta), 'point')}"
    said = {
        "above": f"{its} lay wholly above {child}",
        "below": f"{its} lay wholly below {child}",
        "apart": f"{its} and {child} did not overlap",
        "none": f"There was nothing to compare: it had {plural(len(c.eta), 'point')}, "
        f"member {m.child} had {len(c.rho)}",
    }
    return said[c.place] + numbers


def _counts(c: Comparison, n: int) -> str:
    counts = {"better": c.better, "worse": c.worse, "equal": c.equal}
    for word, count in counts.items():
        if count == n:
            return word if n == 1 else f"{word} at {'both' if n == 2 else f'all {n:,}'}"
    return ", ".join(f"{word} at {count:,}" for word, count in counts.items() if count)


def trained(m: Measurement, until: int | None = None) -> str:
    """The clause that says what the evaluator did, up to its end or to its own step ``until``."""
    end = m.end if m.end is not None else until
    what = f"member {m.parent}'s weights with member {m.child}'s hyperparameters"
    steps = "" if end is None else f" for {end - m.start:,} steps"
    return f"evaluator {m.evaluator} {'had' if m.end is not None else 'has'} trained {what}{steps}"


def chosen(measurements: list[Measurement]) -> Measurement | None:
    """The measurement that says most: the last promotion, else that with the smallest p-value, the last of equals."""
    promoted = [m for m in measurements if m.outcome == PROMOTION]
    if promoted:
        return max(promoted, key=lambda m: m.end or 0)
    judged = [m for m in measurements if m.p_value is not None]
    pool = judged or [m for m in measurements if m.eta]
    return min(reversed(pool), key=lambda m: 1.0 if m.p_value is None else m.p_value, default=None)


def outcome(m: Measurement, settings: EvaluatorSettings) -> str:
    """What the measurement came to, in one sentence."""
    said = {
        PROMOTION: f"Member {m.child} takes its weights",
        RUNNING: "It goes on",
        "no-improvement": "It gives up, because p is above the limit of its patience, which is "
        f"{_patience(m, settings)} by then",
        "no-overlap": f"It gives up, because its {settings.max_eval_steps:,} steps are over",
        "timeout": f"It gives up, because its {settings.max_eval_steps:,} steps are over without a success",
        "no-promotion": "It succeeds, but with algo.promotion=off nobody takes its weights",
        "replaced": "It ends, because exploit has replaced its parent or its child",
        "failed": "It ends, because its learner failed",
    }
    return said.get(m.outcome, f"It ends: {m.outcome}")


def _patience(m: Measurement, settings: EvaluatorSettings) -> str:
    left = patience(settings, (m.end or m.start) - m.start)
    return apart(left, m.p_value if m.p_value is not None else left)[0]

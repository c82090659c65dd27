"""What evolution did last, in one short sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from firerl.evolution.population import Copy, Decision, Fail, Promote, Set, StartEvaluator, StopEvaluator
from firerl.summary.in_words import count_text

_TOLD: dict[type, tuple[Callable[[Any], str], str]] = {  # what a person wants to know first comes first
    Promote: (lambda d: f"worker {d.child} took over evaluator {d.worker}'s network", "promotion"),
    Fail: (lambda d: f"worker {d.worker} failed: {d.failure}", "failure"),
    Copy: (lambda d: f"worker {d.worker} copied worker {d.donor}'s network", "copy"),
    StopEvaluator: (lambda d: f"evaluator {d.worker} left worker {d.parent}'s network: {d.reason}", "stop"),
    StartEvaluator: (lambda d: f"evaluator {d.worker} began with worker {d.parent}'s network", "start"),
    Set: (lambda d: f"worker {d.worker} goes on with other hyperparameters", "change"),
}


def in_a_sentence(decisions: Sequence[Decision]) -> str:
    """The weightiest of these decisions and how many more there are of its kind; "" where there is none."""
    for kind, (tell, name) in _TOLD.items():
        if found := [decision for decision in decisions if isinstance(decision, kind)]:
            plural = "copies" if name == "copy" else f"{name}s"
            more = f" ({count_text(len(found) - 1, f'more {name}', f'more {plural}')})" if len(found) > 1 else ""
            return tell(found[0]) + more
    return ""

"""How the report draws: one colour, dash and marker for every role, so that nothing hangs on colour alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from firerl.insight.history.history import PROMOTION, RUNNING
from firerl.insight.report.run import EVALUATOR


@dataclass(frozen=True)
class Look:
    """Of a line: its colour on light and on dark ground, its dash and its marker in plotly's words."""

    light: str
    dark: str
    dash: str = "solid"
    symbol: str = "circle"


@dataclass(frozen=True)
class Outcome:
    """Of an evaluation: its colours, the hatching of its bar, its sign in the table, and what it means."""

    light: str
    dark: str
    hatch: str
    sign: str
    meaning: str


# Told apart with any colour vision (after Okabe & Ito), and at a contrast of 3 or more on their ground.
_GROUPS = (
    Look("#0067b1", "#6cb8ff"),
    Look("#c2540a", "#ff9f4a", "dash", "square"),
    Look("#00795b", "#3ccfa2", "dashdot", "diamond"),
    Look("#9a3a80", "#e39ad2", "longdash", "triangle-up"),
    Look("#6f6100", "#d8c64c", "longdashdot", "cross"),
)
ROLES = {
    EVALUATOR: Look("#737b86", "#8d96a0", "dot", "x"),
    "winner": Look("#14171a", "#ffffff"),
    "chosen": Look("#d0006f", "#ff6db3"),
    "copy": Look("#6b747e", "#99a2ac"),
    "promotion": Look("#946200", "#ffd24d", "solid", "star"),
    "failure": Look("#c00020", "#ff8080", "solid", "x"),
}

OUTCOMES = {
    PROMOTION: Outcome("#d99a00", "#ffd24d", "", "★", "success: the child took over the evaluator's weights"),
    "no-improvement": Outcome("#5b7fa6", "#6d93bd", "/", "/", "stop 2: no sign of faster improvement than the child"),
    "replaced": Outcome("#9a7bb0", "#a98bc0", "x", "X", "stop 3: exploit replaced the parent or the child"),
    "no-overlap": Outcome("#a8836a", "#b8937a", "-", "—", "stop 1: time was up, and the curves had not met"),
    "timeout": Outcome("#6f9a8d", "#7fae9f", "|", "|", "stop 4: time was up without a verdict"),
    "failed": Outcome("#c00020", "#ff8080", "+", "+", "the evaluator's learner failed"),
    "no-promotion": Outcome("#8f8a3a", "#b5af55", "\\", "\\", "a success that brings nothing (promotion=off)"),
    RUNNING: Outcome("#b4bac1", "#565e66", ".", "·", "under way when this page was made"),
}


def look(group: str) -> Look:
    """The look of a group: P1, P2, ... or evaluator; colours come again after P5."""
    return ROLES[group] if group in ROLES else _GROUPS[(int(group[1:]) - 1) % len(_GROUPS)]


def outcome(name: str) -> Outcome:
    """The look of an outcome; one that a new algorithm invents looks like a timeout."""
    return OUTCOMES.get(name) or Outcome("#6f9a8d", "#7fae9f", "|", "|", "the algorithm's own reason")


def outcome_role(name: str) -> str:
    """The role of an outcome's bars, fit to be a part of a name in a style sheet."""
    return f"outcome-{re.sub(r'[^a-z0-9-]', '-', name.lower())}"


def palette(groups: list[str], outcomes: list[str]) -> dict[str, tuple[str, str]]:
    """(light, dark) by the name that traces carry as their role."""
    named = {name: (style.light, style.dark) for name, style in ROLES.items()}
    named |= {group: (look(group).light, look(group).dark) for group in groups}
    return named | {outcome_role(name): (outcome(name).light, outcome(name).dark) for name in outcomes}

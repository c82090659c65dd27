"""Constant: every member trains with the same hyperparameters, repeated over as many seeds.

What a user would otherwise run; the best repeat is the result, as a population's winner is. A failed member stays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from firerl.errors import SettingError
from firerl.evolution import pbt, random
from firerl.evolution.population import Decision, Report, Setup, State, initial_state
from firerl.settings import setting, show

arrange = pbt.arrange


@dataclass(frozen=True)
class Settings(random.Settings):
    """The schedule's settings."""

    hyperparameters: dict[str, Any] = setting(
        {},
        "what all members train with; what is left out: the first of the space's initial values, else the value that "
        "the learner's settings fix, else the middle of the range on its own scale",
    )


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where the values are not those of one point of the space."""
    for d in setup.space.dimensions:
        value = settings.hyperparameters.get(d.name)
        if d.name in settings.hyperparameters and not d.contains(value):
            allowed = f"one of {show(d.choices)}" if d.choices else f"a value of {d.kind} in [{d.lower}, {d.upper}]"
            raise SettingError(f"algo.hyperparameters.{d.name}={show(value)}: must be {allowed}")
    setup.space.clip(settings.hyperparameters)


def initial(setup: Setup, settings: Settings) -> State:
    """All members start with the same hyperparameters."""
    state, values = initial_state(setup), setup.space.clip(settings.hyperparameters)
    return replace(state, workers=tuple(replace(w, hyperparameters=values) for w in state.workers))


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point, at which nothing changes; see ``fire.decide``."""
    return random.decide(setup, random.Settings(settings.fitness_window), state, reports)

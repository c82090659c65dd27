"""Constant: every member trains with the same hyperparameters, repeated over as many seeds.

What a user would otherwise run; the best repeat is the result, as a population's winner is. A failed member stays out.
With ``algo.schedule`` one of them, the learning rate, follows a schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from firerl.base.settings import setting, show
from firerl.errors import SettingError, unknown
from firerl.evolution import schedule
from firerl.evolution.algorithms import pbt, random
from firerl.evolution.population import Decision, Report, Setup, State, initial_state

arrange = pbt.arrange


@dataclass(frozen=True)
class FixedSettings:
    """Which values all members begin with."""

    fitness_window: int = setting(
        1, "the winner has the best mean of so many last objectives", "evaluations", minimum=1
    )
    hyperparameters: dict[str, Any] = setting(
        {},
        "what all members train with; what is left out is the first initial value of the space, else the value that "
        "the learner's settings fix, else the middle of the range on its own scale",
    )


@dataclass(frozen=True)
class Settings(schedule.ScheduleSettings, FixedSettings):
    """Constant's settings."""


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where the values are not those of one point of the space, or no schedule can be followed."""
    validate_values(setup, settings)
    schedule.check(setup, settings)


def validate_values(setup: Setup, settings: FixedSettings) -> None:
    """Raise SettingError where the values are not those of one point of the space."""
    for d in setup.space.dimensions:
        value = settings.hyperparameters.get(d.name)
        if d.name in settings.hyperparameters and not d.contains(value):
            allowed = f"one of {show(d.choices)}" if d.choices else f"a value of {d.kind} in [{d.lower}, {d.upper}]"
            raise SettingError(f"algo.hyperparameters.{d.name}={show(value)}: must be {allowed}")
    names = [f"algo.hyperparameters.{name}" for name in setup.space.names]
    for name in settings.hyperparameters:
        if name not in setup.space.names:
            raise unknown("hyperparameter", f"algo.hyperparameters.{name}", names)
    setup.space.clip(settings.hyperparameters)


def initial(setup: Setup, settings: Settings) -> State:
    """All members start with the same hyperparameters."""
    state, values = initial_state(setup), setup.space.clip(settings.hyperparameters)
    state = replace(state, workers=tuple(replace(w, hyperparameters=values) for w in state.workers))
    return schedule.begin(setup, settings, state)


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point, at which nothing changes but what follows a schedule."""
    decided = random.unchanged(setup, state, reports)
    values = setup.space.clip(settings.hyperparameters)
    return schedule.follow(setup, settings, lambda worker: values, decided, reports)

"""Random search: every member trains with its first hyperparameters to the end. A failed member stays out.

With ``algo.schedule`` one of them, the learning rate, follows a schedule from the value that was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firerl.base.settings import setting
from firerl.evolution import schedule
from firerl.evolution.algorithms import pbt
from firerl.evolution.population import Decision, Report, Setup, State, first_values, initial_state
from firerl.evolution.steps import take_reports

arrange = pbt.arrange


@dataclass(frozen=True)
class Settings(schedule.ScheduleSettings):
    """Random search's settings."""

    fitness_window: int = setting(
        1, "the winner has the best mean of so many last objectives", "evaluations", minimum=1
    )


def validate(setup: Setup, settings: Settings) -> None:
    """Every population can be searched; raise SettingError on a schedule of nothing."""
    schedule.check(setup, settings)


def initial(setup: Setup, settings: Settings) -> State:
    """Each member with its draw from the space, at the start of its schedule if there is one."""
    return schedule.begin(setup, settings, initial_state(setup))


def unchanged(setup: Setup, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point at which no hyperparameter changes."""
    moment, decisions = take_reports(setup, state, reports)
    return moment.state(), decisions


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point: nothing changes but what follows a schedule."""
    decided = unchanged(setup, state, reports)
    return schedule.follow(setup, settings, lambda worker: first_values(setup, worker), decided, reports)

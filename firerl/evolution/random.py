"""Random search: every member trains with its first hyperparameters to the end. A failed member stays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firerl.evolution import fire, pbt
from firerl.evolution.population import Decision, Report, Setup, State
from firerl.settings import setting

arrange = pbt.arrange


@dataclass(frozen=True)
class Settings:
    """Random search's settings."""

    fitness_window: int = setting(
        1, "the winner is best by the mean of this many last objectives", "evaluations", minimum=1
    )


def validate(setup: Setup, settings: Settings) -> None:
    """Every population can be searched."""


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point; see ``fire.decide``."""
    return fire.decide(setup, fire.Settings(fitness_window=settings.fitness_window), state, reports, exploit=False)

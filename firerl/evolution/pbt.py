"""Plain PBT (Jaderberg et al. 2017, arXiv 1711.09846): FIRE PBT with one sub-population and no evaluators."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from firerl.evolution import fire
from firerl.evolution.exploit import ExploitSettings, check_sizes
from firerl.evolution.population import Decision, Report, Setup, State


@dataclass(frozen=True)
class Settings(ExploitSettings):
    """Plain PBT's settings."""


def arrange(sizes: tuple[int, ...], evaluators: int) -> tuple[tuple[int, ...], int]:
    """The same budget of workers, all of them members of one sub-population."""
    return (sum(sizes) + evaluators,), 0


def validate(setup: Setup, settings: Settings) -> None:
    """Every single sub-population of two or more can be ranked."""
    check_sizes(setup)


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point; see ``fire.decide``."""
    return fire.decide(setup, fire.Settings(**dataclasses.asdict(settings)), state, reports)

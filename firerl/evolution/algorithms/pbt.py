"""Plain PBT (Jaderberg et al. 2017, arXiv 1711.09846): exploit and explore in one sub-population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firerl.evolution.exploit import ExploitSettings, check_sizes, objective_fitness
from firerl.evolution.population import Decision, Report, Setup, State
from firerl.evolution.steps import exploit, take_reports


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
    """One evaluation point: reports, failures, and at a ready exploit and explore."""
    moment, decisions = take_reports(setup, state, reports)
    fitness = {w.id: objective_fitness(w, settings.fitness_window) for w in moment.workers.values()}
    decisions += exploit(setup, settings, moment, fitness)
    return moment.state(), decisions

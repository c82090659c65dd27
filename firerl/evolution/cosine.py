"""Cosine: every member trains with the same cosine schedule of the learning rate (Loshchilov & Hutter 2017, section 3).

Without restarts, repeated over as many seeds as there are members; what a user would otherwise run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from firerl.errors import SettingError, unknown
from firerl.evolution import constant
from firerl.evolution.population import Decision, Report, Set, Setup, State, Worker
from firerl.settings import setting
from firerl.space import Dimension

arrange, initial = constant.arrange, constant.initial
USUAL = ("learning_rate", "lr")


@dataclass(frozen=True)
class Settings(constant.Settings):
    """The schedule's settings."""

    anneal: str | None = setting(
        None, "the hyperparameter; null: learning_rate or lr where there is one, else the first uniform or log_uniform"
    )
    anneal_steps: int | None = setting(None, "the schedule's length; null: the run's, as it starts", "steps", minimum=1)
    final: float = setting(0.0, "end of the schedule, clipped to the bounds", "share of its start", minimum=0)


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where there is nothing to anneal."""
    constant.validate(setup, settings)
    annealed(setup, settings)
    if settings.anneal_steps is None:
        raise SettingError("algo.anneal_steps is missing: must be an integer >= 1")


def annealed(setup: Setup, settings: Settings) -> Dimension:
    """The hyperparameter that follows the schedule. Raises SettingError if there is none."""
    numbers = {d.name: d for d in setup.space.dimensions if d.kind in ("uniform", "log_uniform")}
    if not numbers:
        raise SettingError("algo=cosine: the space holds no uniform or log_uniform hyperparameter to anneal")
    if settings.anneal is not None and settings.anneal not in numbers:
        raise unknown("uniform or log_uniform hyperparameter in algo.anneal", settings.anneal, list(numbers))
    return numbers[settings.anneal or next((name for name in USUAL if name in numbers), next(iter(numbers)))]


def scheduled(d: Dimension, settings: Settings, step: int) -> float:
    """The value at ``step``: eta_min + (eta_max - eta_min) (1 + cos(pi step / T)) / 2, their equation 5."""
    start, length = settings.hyperparameters[d.name], settings.anneal_steps
    assert length is not None
    share = (1 + math.cos(math.pi * min(step, length) / length)) / 2
    return float(d.clip(start * (settings.final + (1 - settings.final) * share)))


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point: who has reported trains its next interval with the schedule's value at its start."""
    after, decisions = constant.decide(setup, settings, state, reports)
    d = annealed(setup, settings)
    reported = {report.worker for report in reports}

    def moved(worker: Worker) -> Worker:
        if worker.id not in reported or worker.failed:
            return worker
        values = {**worker.hyperparameters, d.name: scheduled(d, settings, worker.step)}
        if values != worker.hyperparameters:
            decisions.append(Set(worker.id, worker.step, worker.network_step, values))
        return replace(worker, hyperparameters=values)

    return replace(after, workers=tuple(moved(worker) for worker in after.workers)), decisions

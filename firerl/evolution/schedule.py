"""Schedules known in advance: one hyperparameter follows a curve over the training, times the value it begins with.

What a user would otherwise run, and the baselines that evolution is measured against. A member trains each interval
with the schedule's value at the interval's start, times a first value that stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from firerl.base.settings import setting
from firerl.errors import SettingError, unknown
from firerl.evolution.population import Decision, Report, Set, Setup, State, Values, Worker
from firerl.evolution.space import Dimension

USUAL = ("learning_rate", "lr")
SCHEDULES = ("goyal", "cosine")
WARM_UP, WARM_START = 5 / 90, 0.1  # share of the training; share of the first value at its start
CUTS = (30 / 90, 60 / 90, 80 / 90)


@dataclass(frozen=True)
class ScheduleSettings:
    """Which schedule, of what, over how long."""

    schedule: str | None = setting(
        None,
        "goyal: linear warm-up from a tenth over 5/90 of the training, then a tenth at 30/90, 60/90 and 80/90; cosine: "
        "half a cosine to algo.final; null: none",
        choices=SCHEDULES,
    )
    anneal: str | None = setting(
        None,
        "the hyperparameter that the schedule changes; null: learning_rate or lr, else the first (log_)uniform one",
    )
    anneal_steps: int | None = setting(
        None, "how long the schedule is; null: as long as the run when it starts", "steps", minimum=1
    )
    final: float = setting(0.0, "where the cosine ends, clipped to the bounds", "share of its start", minimum=0)


def check(setup: Setup, settings: ScheduleSettings) -> None:
    """Raise SettingError where a schedule is asked for and there is nothing to follow it, or no length."""
    if settings.schedule is None:
        if settings.anneal is not None:
            raise SettingError(f"algo.anneal={settings.anneal}: needs algo.schedule, one of {', '.join(SCHEDULES)}")
        return
    scheduled_dimension(setup, settings)
    if settings.anneal_steps is None:
        raise SettingError("algo.anneal_steps is missing: must be an integer >= 1")


def scheduled_dimension(setup: Setup, settings: ScheduleSettings) -> Dimension:
    """The hyperparameter that follows the schedule. Raises SettingError if there is none."""
    numbers = {d.name: d for d in setup.space.dimensions if d.kind in ("uniform", "log_uniform")}
    if not numbers:
        raise SettingError(
            f"algo.schedule={settings.schedule}: the space holds no uniform or log_uniform hyperparameter to anneal"
        )
    if settings.anneal is not None and settings.anneal not in numbers:
        raise unknown("uniform or log_uniform hyperparameter in algo.anneal", settings.anneal, list(numbers))
    return numbers[settings.anneal or next((name for name in USUAL if name in numbers), next(iter(numbers)))]


def share_of_first(settings: ScheduleSettings, step: int) -> float:
    """What the first value is multiplied with at ``step``.

    goyal: Goyal et al. 2017 (arXiv 1706.02677), sections 2.2 and 5.1, with epochs as shares of 90. cosine: Loshchilov &
    Hutter 2017, equation 5, without restarts.
    """
    assert settings.anneal_steps is not None
    done = min(step / settings.anneal_steps, 1.0)
    if settings.schedule == "cosine":
        return settings.final + (1 - settings.final) * (1 + math.cos(math.pi * done)) / 2
    if done < WARM_UP:
        return WARM_START + (1 - WARM_START) * done / WARM_UP
    return float(0.1 ** sum(done >= cut for cut in CUTS))


def begin(setup: Setup, settings: ScheduleSettings, state: State) -> State:
    """The first state, each member with the schedule's value at step 0."""
    if settings.schedule is None:
        return state
    d = scheduled_dimension(setup, settings)

    def moved(worker: Worker) -> Worker:
        value = float(d.clip(worker.hyperparameters[d.name] * share_of_first(settings, 0)))
        return replace(worker, hyperparameters={**worker.hyperparameters, d.name: value})

    return replace(state, workers=tuple(moved(w) if w.hyperparameters else w for w in state.workers))


def follow(
    setup: Setup,
    settings: ScheduleSettings,
    first: Callable[[int], Values],
    decided: tuple[State, list[Decision]],
    reports: Sequence[Report],
) -> tuple[State, list[Decision]]:
    """After one evaluation point: who has reported trains its next interval with the value at its start.

    ``first(worker)`` are the values that the worker's schedule is a multiple of.
    """
    if settings.schedule is None:
        return decided
    after, decisions = decided[0], list(decided[1])
    d = scheduled_dimension(setup, settings)
    reported = {report.worker for report in reports}

    def moved(worker: Worker) -> Worker:
        if worker.id not in reported or worker.failed:
            return worker
        value = float(d.clip(first(worker.id)[d.name] * share_of_first(settings, worker.step)))
        values = {**worker.hyperparameters, d.name: value}
        if values != worker.hyperparameters:
            decisions.append(Set(worker.id, worker.step, worker.network_step, values))
        return replace(worker, hyperparameters=values)

    return replace(after, workers=tuple(moved(worker) for worker in after.workers)), decisions

"""Retrace: every member trains from scratch with one given schedule (Dalibard & Jaderberg 2021, section 4).

The schedule is what a run found, see ``schedule.yaml``; without one, or for a hyperparameter that it leaves out, the
values are constant. Members differ by their seeds alone. A failed member stays out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from firerl.base.settings import setting, show
from firerl.errors import SettingError, unknown
from firerl.evolution.algorithms import constant, random
from firerl.evolution.population import Decision, Report, Set, Setup, State, Values, Worker, initial_state

arrange = constant.arrange


@dataclass(frozen=True)
class Settings(constant.FixedSettings):
    """The schedule: rows of ``from`` and ``to`` (in steps of the network) and ``hyperparameters``, without gaps."""

    schedule: tuple[dict[str, Any], ...] = setting(
        (), "rows of from, to (steps) and hyperparameters, as in schedule.yaml; the last goes on"
    )


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where the schedule has gaps, or values and steps that a run cannot have."""
    constant.validate_values(setup, settings)
    expected = 0
    for number, row in enumerate(settings.schedule, start=1):
        name = f"algo.schedule, row {number}"
        if row.keys() != {"from", "to", "hyperparameters"} or not isinstance(row["hyperparameters"], Mapping):
            raise SettingError(f"{name}: must have from, to and hyperparameters, it has {show(sorted(row))}")
        for end in ("from", "to"):
            _check_step(f"{name}: {end}={show(row[end])}", row[end], setup.eval_interval)
        if row["from"] != expected or row["to"] <= row["from"]:
            raise SettingError(
                f"{name}: from={row['from']}, to={row['to']}: must begin at {expected}, where the row before ends, "
                "and end later"
            )
        expected = row["to"]
        _check_values(name, setup, row["hyperparameters"])


def _check_step(where: str, step: Any, interval: int) -> None:
    if not isinstance(step, int) or isinstance(step, bool) or step % interval:
        raise SettingError(f"{where}: must be a multiple of eval_interval={interval}")


def _check_values(where: str, setup: Setup, values: Values) -> None:
    known = {d.name: d for d in setup.space.dimensions}
    for name, value in values.items():
        if name not in known:
            raise unknown("hyperparameter", f"{name} in {where}", known)
        if not known[name].contains(value):
            raise SettingError(f"{where}: {name}={show(value)} is outside the space")


def scheduled(setup: Setup, settings: Settings, network_step: int) -> Values:
    """What a network trains with from ``network_step`` on."""
    passed = bisect_right(settings.schedule, network_step, key=lambda row: int(row["from"]))  # rows are in order
    values = settings.schedule[passed - 1]["hyperparameters"] if passed else {}
    return setup.space.clip({**settings.hyperparameters, **values})


def initial(setup: Setup, settings: Settings) -> State:
    """All members start with the schedule's first values."""
    state, values = initial_state(setup), scheduled(setup, settings, 0)
    return replace(state, workers=tuple(replace(w, hyperparameters=values) for w in state.workers))


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point: who has reported trains its next interval with the schedule's values."""
    after, decisions = random.unchanged(setup, state, reports)
    reported = {report.worker for report in reports}

    def moved(worker: Worker) -> Worker:
        values = scheduled(setup, settings, worker.network_step)
        if worker.id not in reported or worker.failed or values == worker.hyperparameters:
            return worker
        decisions.append(Set(worker.id, worker.step, worker.network_step, values))
        return replace(worker, hyperparameters=values)

    return replace(after, workers=tuple(moved(worker) for worker in after.workers)), decisions

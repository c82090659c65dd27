"""FIRE PBT: Faster Improvement Rate Population Based Training (Dalibard & Jaderberg 2021, arXiv 2109.13800).

P1 is greedy, as in plain PBT. Every parent sub-population is ranked by how fast its weights improve under the
hyperparameters of its child sub-population, which evaluators measure. With one sub-population and no evaluators
this is plain PBT; without exploit it is random search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from firerl.errors import SettingError
from firerl.evolution import evaluators
from firerl.evolution.evaluators import EvaluatorSettings
from firerl.evolution.exploit import (
    ExploitSettings,
    Workers,
    apply_copy,
    check_sizes,
    copies,
    objective_fitness,
    selected,
)
from firerl.evolution.population import Decision, Fail, Promote, Report, Setup, State, StopEvaluator, Worker
from firerl.settings import setting


@dataclass(frozen=True)
class Settings(EvaluatorSettings, ExploitSettings):
    """FIRE PBT's settings, among them a switch for each of its parts; docs/fire-pbt.md explains them.

    The defaults are the paper's for images, but for ``min_points``.
    """

    parent_fitness: str = setting(
        "improvement",
        "parents rank by improvement, as evaluators see it, or objective, their own",
        choices=("improvement", "objective"),
    )


def arrange(sizes: tuple[int, ...], evaluators: int) -> tuple[tuple[int, ...], int]:
    """How this algorithm spends a budget of workers: as it is given."""
    return sizes, evaluators


# The fitness of parents by workers, curves and ``min_points``: ``evaluators.improvement_fitness``, or a rival's.
ParentFitness = Callable[[Workers, Mapping[int, evaluators.Curve], int], dict[int, float | None]]


def validate(setup: Setup, settings: Settings, *, all_ranked: bool = False) -> None:
    """Raise SettingError where the population or the statistics cannot work.

    ``all_ranked``: parents have a fitness without an evaluator too.
    """
    check_sizes(setup)
    if setup.evaluators and len(setup.sizes) < 2:
        raise SettingError(
            f"population.evaluators={setup.evaluators}: there is no parent sub-population to evaluate; "
            "give population.sizes at least two, or 0 evaluators"
        )
    for parent, size in enumerate(setup.sizes[1:]):
        serving = len(range(parent, setup.evaluators, len(setup.sizes) - 1))
        needed = 1 if all_ranked else 2 * selected(settings.truncation, size)
        if settings.parent_fitness == "improvement" and serving < needed:
            raise SettingError(
                f"population.evaluators={setup.evaluators}: {serving} of them serve P{parent + 2}, which ranks "
                f"those of its {size} members that are evaluated and with algo.truncation={settings.truncation} needs "
                f"{needed}; or set algo.parent_fitness=objective"
            )
    if setup.evaluators and settings.parent_fitness == "objective" and settings.promotion == "off":
        raise SettingError(
            f"population.evaluators={setup.evaluators}: with algo.parent_fitness=objective and algo.promotion=off they "
            "train for nothing; must be 0"
        )
    least = evaluators.least_points(settings.significance)
    points = settings.max_eval_steps // setup.eval_interval
    if setup.evaluators and settings.binom_test and points < least:
        raise SettingError(
            f"algo.max_eval_steps={settings.max_eval_steps} gives an evaluator {points} evaluations, but the sign test "
            f"cannot fall below algo.significance={settings.significance} with fewer than {least}"
        )
    if setup.evaluators and points < settings.min_points:
        raise SettingError(
            f"algo.min_points={settings.min_points}: algo.max_eval_steps={settings.max_eval_steps} gives an evaluator "
            f"{points} evaluations, so it must be at most {points}"
        )


def decide(
    setup: Setup,
    settings: Settings,
    state: State,
    reports: Sequence[Report],
    *,
    exploit: bool = True,
    parents: ParentFitness | None = None,
) -> tuple[State, list[Decision]]:
    """One evaluation point: the population after these reports, and what was decided, in the order to apply it.

    Takes any non-empty set of reports, in journalled order. Pure: the same arguments give the same answer. ``parents``
    takes the place of the fitness by evaluators alone.
    """
    workers: Workers = {worker.id: worker for worker in state.workers}
    step = max(report.step for report in reports)
    point = state.point + 1

    decisions = _take_reports(workers, reports, point)
    judged = {w.evaluation.child for w in workers.values() if w.evaluation}
    made = evaluators.smoothed([w for w in workers.values() if w.evaluation or w.id in judged], settings.smoothing)
    fitness = (parents or evaluators.improvement_fitness)(workers, made, settings.min_points)

    successes, stops = _verdicts(settings, workers, made, reports)
    for success in successes:
        evaluators.apply_promotion(workers, success, point)
    for stop in stops:
        evaluators.make_idle(workers, stop.worker, stop.parent, point)
    decisions += [*successes, *stops]

    for worker in workers.values():
        if not worker.is_evaluator and (worker.population == 1 or settings.parent_fitness == "objective"):
            fitness[worker.id] = objective_fitness(worker, settings.fitness_window)
    replaced: set[int] = set()
    ready = _ready(setup, workers, reports)
    if exploit:
        promoted = {success.child for success in successes}
        for population in _due(workers, ready):
            for copy in copies(setup, settings, workers, population, fitness, ready, promoted, replaced, step):
                apply_copy(workers, copy)
                replaced.add(copy.worker)
                decisions.append(copy)
    for id in ready:
        workers[id] = replace(workers[id], ready_step=workers[id].step)

    for stop in evaluators.replaced_stops(workers, replaced):
        evaluators.make_idle(workers, stop.worker, stop.parent, point)
        decisions.append(stop)
    decisions += _starts(evaluators.Starts(setup, settings, workers, fitness, replaced), workers, step)
    return State(tuple(workers[worker.id] for worker in state.workers), point), decisions


def _take_reports(workers: Workers, reports: Sequence[Report], point: int) -> list[Decision]:
    """Append the points, then mark the failures; a failed evaluator is idle again."""
    decisions: list[Decision] = []
    for report in reports:
        worker = workers[report.worker]
        if worker.failed or (worker.is_evaluator and not worker.evaluation) or report.step <= worker.step:
            raise ValueError(f"worker {worker.id} has nothing to report at step {report.step}")
        if report.failure is None and report.objective is not None and not math.isfinite(report.objective):
            raise ValueError(f"worker {worker.id} reports {report.objective}: that is a failure, not an objective")
        new = () if report.failure is not None or report.objective is None else (report.objective,)
        workers[worker.id] = replace(
            worker,
            step=report.step,
            network_step=worker.network_step + report.step - worker.step,
            curve=worker.curve + new,
        )
    for report in reports:
        if report.failure is None:
            continue
        worker = workers[report.worker]
        decisions.append(Fail(worker.id, report.step, report.failure))
        if worker.evaluation:
            parent, child = worker.evaluation.parent, worker.evaluation.child
            decisions.append(
                StopEvaluator(worker.id, parent, child, report.step, "failed", len(worker.curve), None, None)
            )
            evaluators.make_idle(workers, worker.id, parent, point)
        workers[worker.id] = replace(workers[worker.id], failed=True)
    return decisions


def _verdicts(
    settings: Settings, workers: Workers, made: dict[int, evaluators.Curve], reports: Sequence[Report]
) -> tuple[list[Promote], list[StopEvaluator]]:
    """The verdicts on the evaluators that have reported, all on the curves as they stand."""
    verdicts = []
    for id in sorted(report.worker for report in reports):
        evaluation = workers[id].evaluation
        if evaluation:
            child = workers[evaluation.child]
            verdicts.append(evaluators.verdict(settings, workers[id], made[id], made[child.id], child))
    return evaluators.select_verdicts(verdicts)


def _starts(starts: evaluators.Starts, workers: Workers, step: int) -> list[Decision]:
    """Idle evaluators start, in worker order."""
    decisions: list[Decision] = []
    for id in [w.id for w in workers.values() if w.is_evaluator and not w.evaluation]:
        begun = starts.next(workers[id], step)
        if begun:
            evaluators.apply_start(workers, begun)
            decisions.append(begun)
    return decisions


def _due(workers: Workers, ready: set[int]) -> list[int]:
    """The sub-populations that exploit now: those with a ready member, and at a ready those that are all failed,
    since nobody in them will ever report again."""
    groups: dict[int, list[Worker]] = {}
    for worker in workers.values():
        if not worker.is_evaluator:
            groups.setdefault(worker.population, []).append(worker)
    return [
        population
        for population, group in sorted(groups.items())
        if any(w.id in ready for w in group) or (ready and all(w.failed for w in group))
    ]


def _ready(setup: Setup, workers: Workers, reports: Sequence[Report]) -> set[int]:
    """The members whose ready has come."""
    reported = (workers[report.worker] for report in reports)
    return {w.id for w in reported if not w.is_evaluator and w.step - w.ready_step >= setup.ready_interval}

"""FIRE PBT: Faster Improvement Rate Population Based Training (Dalibard & Jaderberg 2021, arXiv 2109.13800).

P1 is greedy, as in plain PBT. Every parent sub-population is ranked by how fast its weights improve under the
hyperparameters of its child sub-population, which evaluators measure. With one sub-population and no evaluators
this is plain PBT, without exploit it is random search; ``steps`` is what all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from firerl.base.settings import setting
from firerl.errors import SettingError
from firerl.evolution import evaluators
from firerl.evolution.evaluators import EvaluatorSettings
from firerl.evolution.exploit import ExploitSettings, Workers, check_sizes, objective_fitness, selected
from firerl.evolution.population import Decision, Promote, Report, Setup, State, StopEvaluator
from firerl.evolution.steps import Moment, exploit, take_reports


@dataclass(frozen=True)
class Settings(EvaluatorSettings, ExploitSettings):
    """FIRE PBT's settings, among them a switch for each of its parts; docs/explanation/fire-pbt.md explains them.

    The defaults are the paper's for images, but for ``min_points``.
    """

    parent_fitness: str = setting(
        "improvement",
        "what parents rank by: improvement, as evaluators see it, or their own objective",
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
                f"population.evaluators={setup.evaluators}: P{parent + 2} gets {serving} of them. It ranks only those "
                f"of its {size} members that are evaluated, and with algo.truncation={settings.truncation} it needs "
                f"{needed}; give more evaluators, or algo.parent_fitness=objective"
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
    parents: ParentFitness = evaluators.improvement_fitness,
) -> tuple[State, list[Decision]]:
    """One evaluation point: the population after these reports, and what was decided, in the order to apply it.

    Takes any non-empty set of reports, in journalled order. Pure: the same arguments give the same answer. The numbers
    are those of docs/explanation/fire-pbt.md; ``parents`` is the fitness of step 3.
    """
    # 1. Points. 2. Failures.
    moment, decisions = take_reports(setup, state, reports)
    workers = moment.workers

    # 3. The fitness of parents, from the evaluators' smooth curves as they stand.
    judged = {w.evaluation.child for w in workers.values() if w.evaluation}
    curves = evaluators.smoothed([w for w in workers.values() if w.evaluation or w.id in judged], settings.smoothing)
    fitness = parents(workers, curves, settings.min_points)

    # 4. Verdicts: successes, one for each child, then stops.
    successes, stops = _verdicts(settings, workers, curves, reports)
    for success in successes:
        evaluators.apply_promotion(workers, success, moment.point)
    decisions += [*successes, *_stopped(moment, stops)]

    # 5. At a ready, exploit and explore; a child that was just promoted is no loser.
    for worker in workers.values():
        if not worker.is_evaluator and (worker.population == 1 or settings.parent_fitness == "objective"):
            fitness[worker.id] = objective_fitness(worker, settings.fitness_window)
    decisions += exploit(setup, settings, moment, fitness, {success.child for success in successes})

    # 6. Evaluators end whose parent or child was replaced. 7. Idle evaluators start.
    decisions += _stopped(moment, evaluators.replaced_stops(workers, moment.replaced))
    decisions += _starts(evaluators.Starts(setup, settings, workers, fitness, moment.replaced), moment)
    return moment.state(), decisions


def _verdicts(
    settings: Settings, workers: Workers, curves: Mapping[int, evaluators.Curve], reports: Sequence[Report]
) -> tuple[list[Promote], list[StopEvaluator]]:
    """The verdicts on the evaluators that have reported, all on the curves as they stand."""
    verdicts = []
    for id in sorted(report.worker for report in reports):
        evaluation = workers[id].evaluation
        if evaluation:
            child = workers[evaluation.child]
            verdicts.append(evaluators.verdict(settings, workers[id], curves[id], curves[child.id], child))
    return evaluators.select_verdicts(verdicts)


def _stopped(moment: Moment, stops: Sequence[StopEvaluator]) -> Sequence[StopEvaluator]:
    """These evaluators are idle now."""
    for stop in stops:
        evaluators.make_idle(moment.workers, stop.worker, stop.parent, moment.point)
    return stops


def _starts(starts: evaluators.Starts, moment: Moment) -> list[Decision]:
    """Idle evaluators start, in worker order."""
    decisions: list[Decision] = []
    for id in [w.id for w in moment.workers.values() if w.is_evaluator and not w.evaluation]:
        begun = starts.next(moment.workers[id], moment.step)
        if begun:
            evaluators.apply_start(moment.workers, begun)
            decisions.append(begun)
    return decisions

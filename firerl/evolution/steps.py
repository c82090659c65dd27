"""The steps of a decision that all algorithms share: points, failures, who is ready, exploit and explore.

An algorithm's ``decide`` begins with ``take_reports`` and ends with ``moment.state()``. docs/explanation/fire-pbt.md
numbers the steps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from firerl.evolution.evaluators import make_idle
from firerl.evolution.exploit import ExploitSettings, Workers, apply_copy, copies
from firerl.evolution.population import Copy, Decision, Fail, Report, Setup, State, StopEvaluator, Worker


@dataclass
class Moment:
    """The working copy of one decision."""

    workers: Workers
    point: int
    step: int  # the latest that was reported
    ready: set[int]  # members whose ready has come
    replaced: set[int] = field(default_factory=set)  # by exploit, at this point

    def state(self) -> State:
        """The population as it is now; no ready is left open."""
        for id in self.ready:
            self.workers[id] = replace(self.workers[id], ready_step=self.workers[id].step)
        return State(tuple(self.workers.values()), self.point)


def take_reports(setup: Setup, state: State, reports: Sequence[Report]) -> tuple[Moment, list[Decision]]:
    """Steps 1 and 2: append the points, then mark the failures; a failed evaluator is idle again.

    Takes any non-empty set of reports, in journalled order. Raises ValueError on a report that cannot be.
    """
    workers: Workers = {worker.id: worker for worker in state.workers}
    for report in reports:
        _append(workers, report)
    decisions: list[Decision] = []
    for report in reports:
        if report.failure is not None:
            decisions += _fail(workers, report, state.point + 1)
    reported = [workers[report.worker] for report in reports]
    ready = {w.id for w in reported if not w.is_evaluator and w.step - w.ready_step >= setup.ready_interval}
    return Moment(workers, state.point + 1, max(report.step for report in reports), ready), decisions


def _append(workers: Workers, report: Report) -> None:
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


def _fail(workers: Workers, report: Report, point: int) -> list[Decision]:
    assert report.failure is not None
    worker = workers[report.worker]
    decisions: list[Decision] = [Fail(worker.id, report.step, report.failure)]
    if worker.evaluation:
        parent, child = worker.evaluation.parent, worker.evaluation.child
        decisions.append(StopEvaluator(worker.id, parent, child, report.step, "failed", len(worker.curve), None, None))
        make_idle(workers, worker.id, parent, point)
    workers[worker.id] = replace(workers[worker.id], failed=True)
    return decisions


def exploit(
    setup: Setup,
    settings: ExploitSettings,
    moment: Moment,
    fitness: Mapping[int, float | None],
    protected: Collection[int] = (),
) -> list[Copy]:
    """Step 5: in each sub-population whose ready has come losers copy winners and explore, all but the ``protected``.

    Sub-populations in order, losers in worker order.
    """
    made: list[Copy] = []
    for population in _due(moment):
        made += apply(
            moment,
            copies(
                setup, settings, moment.workers, population, fitness, moment.ready, set(protected), moment.replaced,
                moment.step,
            ),
        )  # fmt: skip
    return made


def apply(moment: Moment, made: Sequence[Copy]) -> Sequence[Copy]:
    """Write these copies into the population; returns them."""
    for copy in made:
        apply_copy(moment.workers, copy)
        moment.replaced.add(copy.worker)
    return made


def _due(moment: Moment) -> list[int]:
    """The sub-populations that exploit now: those with a ready member, and at a ready those that are all failed,
    since nobody in them will ever report again."""
    groups: dict[int, list[Worker]] = {}
    for worker in moment.workers.values():
        if not worker.is_evaluator:
            groups.setdefault(worker.population, []).append(worker)
    return [
        population
        for population, group in sorted(groups.items())
        if any(w.id in moment.ready for w in group) or (moment.ready and all(w.failed for w in group))
    ]

"""Asynchronous runs for tests: their journals' rows, and an engine in which reports come in a given order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firerl.config.promised import split
from firerl.config.run_config import RunConfig, to_plain
from firerl.engine.inline import InlineEngine
from firerl.engine.interface import Done, Interval, LearnerSpec
from firerl.evolution import find
from firerl.evolution.plain import dumps, loads
from firerl.evolution.population import Copy, StartEvaluator
from firerl.learner import Learner
from firerl.session import start as starting
from firerl.session.async_controller import AsyncController
from firerl.session.watching.progress import Round, Silent
from firerl.storage.journal.journal_db import Journal
from firerl.storage.journal.recorded_config import config_of
from firerl.storage.store import Store

SMALL: dict[str, Any] = {
    "population": [4, 4], "evaluators": 3, "steps": 120, "ready_interval": 20, "seed": 2, "sync": False,
    "algo_settings": {"max_eval_steps": 80, "significance": 0.2}, "logger": "none", "progress": False,
}  # fmt: skip


def points_of(run_dir: Path) -> list[Any]:
    journal = Journal.open(run_dir)
    try:
        return list(journal.points())
    finally:
        journal.close()


def last_hash(run_dir: Path) -> str:
    journal = Journal.open(run_dir)
    try:
        return journal.hashes()[-1][2]
    finally:
        journal.close()


def check_no_step_twice(run_dir: Path, interval: int = 10) -> None:
    """Every report is one interval after the worker's last step, as its decisions have left it: none twice, none
    missing."""
    steps: dict[int, int] = {}
    for point in points_of(run_dir):
        [report] = point.reports
        assert report.step == steps.get(report.worker, 0) + interval
        steps[report.worker] = report.step
        for d in point.decisions:
            if isinstance(d, Copy | StartEvaluator):
                steps[d.worker] = d.step


class Scripted(InlineEngine):
    """A process for each worker; who is done first is written down."""

    def __init__(self, spec: LearnerSpec, order: Sequence[int], committed: Callable[[], int]):
        super().__init__(spec)
        self.order, self.committed = order, committed
        self.under_way: dict[int, Interval] = {}

    def process_of(self, worker: int) -> int:
        return worker

    def begin(self, order: Interval) -> None:
        assert order.advance.worker not in self.under_way
        self.under_way[order.advance.worker] = order

    def next(self) -> Done:
        return self._host.interval(self.under_way.pop(self.order[self.committed()]))


class Count(Silent):
    """How many reports are committed."""

    reports = 0

    def round_done(self, round: Round) -> None:
        self.reports += 1


def played_again(run_dir: Path, learner: type[Learner], again: Path) -> str:
    """The hash of the same run with the same order of reports, from its start to its end without a break."""
    order = [point.reports[0].worker for point in points_of(run_dir)]
    journal = Journal.open(run_dir)
    config: RunConfig = replace(config_of(journal), run_dir=str(again))
    journal.close()
    plain = loads(dumps(to_plain(config)))
    promised, usual = split(config, learner, find.algorithm(config.algo.name))
    count = Count()
    spec = LearnerSpec(learner, config.settings)
    with Store.create(again, plain, promised, starting.initial_state_of(config), usual=usual) as store:
        made = AsyncController(
            config, learner, store, count, lambda alone: Scripted(spec, order, lambda: count.reports)
        ).run()
    return str(made["hash"])

"""One run on the noisy quadratic in a second or two: the real decisions, without journal, checkpoints or processes.

``simulate`` gives the same final objective and the same decisions as ``firerl.run``, to the last bit
(tests/benchmarks/test_quadratic_benchmark.py): it takes the config from ``firerl.config.request.resolve``, calls the
algorithm's ``decide`` and applies the controller's ``transfers``; only the learners of all workers are trained as one
array.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.agents.quadratic.learner import Quadratic
from firerl.base.seeding import Purpose, integer_seed
from firerl.base.settings import build
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.config.run_config import RunConfig, setup_of, window_of
from firerl.engine.interface import Transfer
from firerl.evolution import find
from firerl.evolution.population import Decision, Report, Worker, counts
from firerl.evolution.winner import winner
from firerl.session.controller import transfers
from firerl.session.start import initial_state_of

PROBLEMS = {
    "kappa 1": {"kappa": 1.0, "dimensions": 100, "noise": 0.3},
    "kappa 1.5": {"kappa": 1.5, "dimensions": 100, "noise": 0.3},
    "kappa 2": {"kappa": 2.0, "dimensions": 50, "noise": 0.1},
}


@dataclass(frozen=True)
class Arm:
    """One thing that is compared: an algorithm, its settings, its workers. What is left out is preset=quadratic's.

    ``algo="schedule"`` is no algorithm but the best schedule (quadratic_schedule.py).
    """

    name: str
    algo: str = "fire"
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[int, ...] | None = None
    evaluators: int | None = None
    intervals: tuple[int, int] | None = None  # eval_interval, ready_interval
    noise: float = 0.0  # standard deviation of what is added to every objective that the algorithm is told

    def definition(self) -> dict[str, Any]:
        """What decides the arm's results, as data: a result under another definition is another arm's."""
        sizes = None if self.sizes is None else list(self.sizes)
        made = {"algo": self.algo, "settings": dict(self.settings), "sizes": sizes, "evaluators": self.evaluators}
        if self.intervals:
            made["intervals"] = list(self.intervals)
        return made | ({"noise": self.noise} if self.noise else {})  # absent: keys of results from before stay valid

    def config(self, problem: str, steps: int | None = None) -> RunConfig:
        """The complete run, seed 0, as long as the preset says or ``steps``.

        Raises SettingError where the algorithm or a setting is unknown.
        """
        return _config(json.dumps(self.definition()), problem, steps)


@cache
def _config(definition: str, problem: str, steps: int | None) -> RunConfig:
    arm = json.loads(definition)
    algo = "random" if arm["algo"] == "schedule" else arm["algo"]  # only its steps are looked at
    wanted = {
        "learner": {"name": "quadratic", **PROBLEMS[problem]},
        "algo": {"name": algo, **arm["settings"]},
        "population": {"sizes": arm["sizes"], "evaluators": arm["evaluators"]},
        "steps": steps,
        "run_dir": "unused",
    }
    if "intervals" in arm:
        wanted |= dict(zip(("eval_interval", "ready_interval"), arm["intervals"], strict=True))
    return resolve(compose(settings=wanted))


class Learners:
    """The ``Quadratic`` learners of all workers, trained side by side with the same numbers as one by one."""

    def __init__(self, settings: Mapping[str, Any], workers: int):
        self._settings = settings
        model = Quadratic(settings, {"lr": 0.0}, 0, "cpu")
        self.curvature, self.noise = model.curvature, model.noise  # [D]
        self.theta = np.ones((workers, len(model.theta)))  # [W, D]
        self.lr = np.zeros(workers)
        self._rngs: dict[int, np.random.Generator] = {}

    def build(self, worker: int, hyperparameters: Mapping[str, Any], seed: int) -> None:
        """A new learner."""
        learner = Quadratic(self._settings, hyperparameters, seed, "cpu")
        self.theta[worker], self.lr[worker], self._rngs[worker] = learner.theta, learner.lr, learner.rng

    def transfer(self, order: Transfer) -> None:
        """As an engine does it: weights move, the stream stays."""
        if order.seed is not None:
            self.build(order.target, order.hyperparameters, order.seed)
        self.theta[order.target] = self.theta[order.source]
        self.lr[order.target] = order.hyperparameters["lr"]

    def advance(self, workers: Sequence[int], steps: int) -> list[float]:
        """Train these workers and evaluate them: their objectives, NaN for a failure."""
        theta, lr = self.theta[workers], self.lr[workers, None]
        noise = self.noise * np.stack([self._rngs[w].standard_normal((steps, theta.shape[1])) for w in workers])
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(steps):
                theta -= lr * (self.curvature * theta + noise[:, step])
        self.theta[workers] = theta
        return self.objectives(workers)

    def objectives(self, workers: Sequence[int]) -> list[float]:
        """Of these workers as they stand, without noise."""
        with np.errstate(over="ignore", invalid="ignore"):
            losses: NDArray[np.float64] = 0.5 * np.sum(self.curvature * self.theta[workers] ** 2, axis=1)
        return [-math.log10(loss + 1e-12) if math.isfinite(loss) else math.nan for loss in losses.tolist()]


def simulate(config: RunConfig, seed: int, noise: float = 0.0) -> dict[str, Any]:
    """One whole run: the winner's final ``objective``, without noise, and how often evolution did what."""
    config = replace(config, seed=seed)
    setup, algorithm = setup_of(config), find.algorithm(config.algo.name)
    settings = build(algorithm.Settings, config.algo.settings, "algo.")
    state = initial_state_of(config)
    learners = Learners(config.settings, len(state.workers))
    for w in state.workers:
        if not w.is_evaluator:
            learners.build(w.id, w.hyperparameters, integer_seed(seed, Purpose.LEARNER, w.id, 0))
    built = {w.id for w in state.workers if not w.is_evaluator}
    everything: list[Decision] = []
    added = np.random.default_rng(seed)
    for _ in range(config.steps // config.eval_interval):
        active = [w for w in state.workers if not w.failed and (w.evaluation or not w.is_evaluator)]
        objectives = learners.advance([w.id for w in active], config.eval_interval)
        objectives = (objectives + noise * added.standard_normal(len(active))).tolist() if noise else objectives
        reports = [_report(w, config.eval_interval, value) for w, value in zip(active, objectives, strict=True)]
        state, decisions = algorithm.decide(setup, settings, state, reports)
        for order in transfers(setup, state, decisions, built):
            learners.transfer(order)
        everything += decisions
    leader = winner(state, decisions, window_of(config))
    if leader is None or leader.objective is None:
        raise RuntimeError(f"seed {seed}: nobody in P1 has an objective at the end")
    return {"objective": learners.objectives([leader.worker])[0], **counts(everything)}


def _report(worker: Worker, interval: int, objective: float) -> Report:
    failed = math.isnan(objective)
    return Report(worker.id, worker.step + interval, None if failed else objective, failure="NaN" if failed else None)

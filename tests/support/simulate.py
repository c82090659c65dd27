"""Populations without processes: builders of states for worked examples, and an engine of a few lines for long runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from firerl.evolution.algorithms import fire
from firerl.evolution.population import (
    Copy,
    Decision,
    Evaluation,
    Fail,
    Promote,
    Report,
    Setup,
    StartEvaluator,
    State,
    StopEvaluator,
    Values,
    Worker,
    initial_state,
)
from firerl.evolution.space import Space

LR = {"lr": {"log_uniform": [1e-4, 1.0]}}
ALL_KINDS = {
    "lr": {"log_uniform": [1e-3, 1e-1], "bounds": [1e-4, 1.0]},
    "discount": {"one_minus_log_uniform": [0.9, 0.999]},
    "entropy": {"uniform": [0.0, 0.1]},
    "shift": {"uniform": [-1.0, 1.0]},
    "epochs": {"integer": [1, 10]},
    "optimiser": {"choice": ["adam", "sgd", "nan"]},
    "nesterov": {"choice": [True, False]},
    "batch": {"ordered_choice": [64, 128, 256]},
}

# Worked examples: every worker stands at step 90 and reports at 100, which is a ready unless said otherwise.
BEFORE, NOW, INTERVAL, READY = 90, 100, 10, 20


def make_setup(sizes: tuple[int, ...], evaluators: int = 0, *, seed: int = 0, spec: Mapping[str, Any] = LR) -> Setup:
    """A setup with evaluations every 10 steps and a ready every 20."""
    return Setup(sizes, evaluators, Space.parse(spec), seed, INTERVAL, READY)


def member(id: int, population: int = 1, curve: Sequence[float] = (), *, lr: float = 0.01, **fields: Any) -> Worker:
    """A member one interval before its ready at step 100, trained from scratch."""
    values = {"step": BEFORE, "network_step": BEFORE, "ready_step": NOW - READY, **fields}
    return Worker(id, population, False, {"lr": lr}, curve=tuple(curve), **values)


def busy(
    id: int, population: int, parent: int, child: int, curve: Sequence[float] = (), *, started: int = 0, **fields: Any
) -> Worker:
    """An evaluator of ``parent`` in P(population) under the hyperparameters of ``child``."""
    values = {"step": BEFORE, "network_step": BEFORE, "hyperparameters": {"lr": 0.01}, **fields}
    evaluation = Evaluation(parent, child, started)
    return Worker(id, population, True, curve=tuple(curve), evaluation=evaluation, replaced_step=started, **values)


def idle(id: int, population: int = 2) -> Worker:
    """An evaluator with nothing to do."""
    return Worker(id, population, True, step=BEFORE)


def point(
    setup: Setup, settings: Any, workers: Sequence[Worker], objectives: Mapping[int, float | str | None], **options: Any
) -> tuple[dict[int, Worker], list[Decision]]:
    """One evaluation point at which all active workers report; a text is a failure, a missing objective None.

    Its number follows the last at which a parent was evaluated.
    """
    state = State(tuple(workers), 1 + max(w.evaluated_point for w in workers))
    reports = []
    for w in active(state):
        told = objectives.get(w.id)
        failure = told if isinstance(told, str) else None
        objective = None if isinstance(told, str) else told
        reports.append(Report(w.id, w.step + setup.eval_interval, objective, failure=failure))
    after, decisions = fire.decide(setup, settings, state, reports, **options)
    return {w.id: w for w in after.workers}, decisions


def of(kind: type, decisions: Sequence[Decision]) -> list[Any]:
    """The decisions of one kind."""
    return [d for d in decisions if isinstance(d, kind)]


def active(state: State) -> list[Worker]:
    """The workers that train: healthy members and busy evaluators."""
    return [w for w in state.workers if not w.failed and (w.evaluation or not w.is_evaluator)]


@dataclass(frozen=True)
class Network:
    """What a worker trains. ``past`` is how it really was trained: (past before, hyperparameters, steps)."""

    value: Any = 0.0
    past: tuple[Any, ...] | None = None

    def history(self) -> list[tuple[Values, int]]:
        """(hyperparameters, steps), oldest first, equal neighbours joined."""
        rows: list[tuple[Values, int]] = []
        past = self.past
        while past is not None:
            past, values, steps = past
            if rows and rows[-1][0] == values:
                steps += rows.pop()[1]
            rows.append((values, steps))
        return rows[::-1]


@dataclass(frozen=True)
class Transition:
    """One call of decide()."""

    setup: Setup
    settings: Any
    before: State
    reports: tuple[Report, ...]
    after: State
    decisions: list[Decision]
    synchronous: bool

    def reported(self) -> dict[int, Worker]:
        """The workers after steps 1 and 2 of the order: points appended, failures marked."""
        return dict(self._reported)

    @cached_property
    def _reported(self) -> dict[int, Worker]:
        workers = {w.id: w for w in self.before.workers}
        for r in self.reports:
            w = workers[r.worker]
            point = () if r.failure or r.objective is None else (r.objective,)
            trained = w.network_step + r.step - w.step
            workers[w.id] = replace(w, step=r.step, network_step=trained, curve=w.curve + point)
            if r.failure:
                workers[w.id] = replace(workers[w.id], failed=True, **(IDLE if w.is_evaluator else {}))
        return workers

    def of(self, kind: type) -> list[Any]:
        """The decisions of one kind."""
        return of(kind, self.decisions)

    def ready(self) -> list[Worker]:
        """The members that have reported and whose ready has come."""
        done = [self._reported[r.worker] for r in self.reports]
        return [w for w in done if not w.is_evaluator and w.step - w.ready_step >= self.setup.ready_interval]


IDLE: dict[str, Any] = {"evaluation": None, "curve": (), "hyperparameters": {}}

Learn = Callable[[Any, Values, np.random.Generator], tuple[Any, float | None]]  # (network, objective) after an interval


class Simulation:
    """An engine: networks are plain values, and every evaluation point is kept in ``log``."""

    def __init__(self, algorithm: ModuleType, setup: Setup, settings: Any, learn: Learn, start: Any = 0.0):
        self.algorithm, self.setup, self.settings, self.learn = algorithm, setup, settings, learn
        self.state = initial_state(setup)
        self.networks = {w.id: Network(start) for w in self.state.workers}
        self.log: list[Transition] = []

    def run(self, rounds: int, subset_seed: int | None = None) -> list[Transition]:
        """Rounds of decide(); with ``subset_seed`` each takes a random part of the workers, in random order.

        Ends early where P1 has died.
        """
        rng = None if subset_seed is None else np.random.default_rng(subset_seed)
        for _ in range(rounds):
            workers = active(self.state)
            if all(w.failed for w in self.state.workers if w.population == 1):
                break
            if rng is not None:
                chosen = rng.permutation(len(workers))[: rng.integers(1, len(workers) + 1)]
                workers = [workers[i] for i in chosen]
            self._decide(tuple(self._train(w) for w in workers), synchronous=rng is None)
        return self.log

    def _train(self, worker: Worker) -> Report:
        network, step = self.networks[worker.id], worker.step + self.setup.eval_interval
        rng = np.random.default_rng([self.setup.seed, worker.id, step])
        value, objective = self.learn(network.value, worker.hyperparameters, rng)
        past = (network.past, worker.hyperparameters, self.setup.eval_interval)
        self.networks[worker.id] = Network(value, past)
        failure = "NaN" if objective is not None and math.isnan(objective) else None
        return Report(worker.id, step, objective, {"loss": math.inf if failure else 0.5}, failure)

    def _decide(self, reports: tuple[Report, ...], synchronous: bool) -> None:
        after, decisions = self.algorithm.decide(self.setup, self.settings, self.state, reports)
        done = Transition(self.setup, self.settings, self.state, reports, after, decisions, synchronous)
        self.log.append(done)
        for d in decisions:
            if isinstance(d, Copy):
                self.networks[d.worker] = self.networks[d.donor]
            elif isinstance(d, StartEvaluator):
                self.networks[d.worker] = self.networks[d.parent]
            elif isinstance(d, Promote):
                self.networks[d.child] = self.networks[d.worker]
        self.state = after


@dataclass(frozen=True)
class Scenario:
    """A random run: everything that decides it."""

    setup: Setup
    settings: fire.Settings
    rounds: int
    failures: float  # chance of a failure at an evaluation
    silence: float  # chance of no objective
    whole: bool  # objectives are whole numbers: many ties
    subset_seed: int | None  # asynchronous

    def learn(self, value: float, values: Values, rng: np.random.Generator) -> tuple[float, float | None]:
        """A random walk that drifts upwards, as far as the hyperparameters let it."""
        drift = 0.2 + 4 * values.get("lr", 0.1)
        value = value + float(rng.integers(-1, 3) if self.whole else rng.normal(drift, 1.0))
        luck = rng.random()
        if luck < self.failures:
            return value, math.nan
        return value, None if luck < self.failures + self.silence else value

    def simulate(self, algorithm: ModuleType = fire, settings: Any = None) -> Simulation:
        """The run, to its end."""
        simulation = Simulation(algorithm, self.setup, settings or self.settings, self.learn)
        simulation.run(self.rounds, self.subset_seed)
        return simulation


@st.composite
def scenarios(draw: st.DrawFn, least_populations: int = 1, synchronous: bool | None = None) -> Scenario:
    """Chains of 1 to 4 sub-populations, any number of evaluators, all kinds of spaces, failures and silence."""
    sizes = tuple(draw(st.lists(st.integers(2, 9), min_size=least_populations, max_size=4)))
    parents = len(sizes) - 1
    evaluators = parents + draw(st.integers(0, sum(sizes[1:]) + 2)) if parents else 0
    interval, in_ready = draw(st.sampled_from([1, 10, 64])), draw(st.sampled_from([1, 2, 3, 5, 10]))
    setup = Setup(
        sizes,
        evaluators,
        Space.parse(draw(st.sampled_from([LR, ALL_KINDS, {}]))),
        draw(st.integers(0, 2**40)),
        interval,
        interval * in_ready,
    )
    settings = fire.Settings(
        truncation=draw(st.sampled_from([0.1, 0.25, 0.5])),
        fitness_window=draw(st.integers(1, 3)),
        resample_probability=draw(st.sampled_from([0.0, 0.5])),
        min_steps_before_ready=interval * draw(st.integers(0, 4)),
        max_eval_steps=interval * draw(st.integers(1, 12)),
        significance=draw(st.sampled_from([0.01, 0.2, 0.4])),
        min_points=draw(st.integers(1, 4)),
        min_steps_before_eval=interval * draw(st.integers(0, 3)),
    )
    asynchronous = draw(st.booleans()) if synchronous is None else not synchronous
    return Scenario(
        setup,
        settings,
        draw(st.integers(5, 40 if asynchronous else 25)),
        draw(st.sampled_from([0.0, 0.02, 0.2])),
        draw(st.sampled_from([0.0, 0.2])),
        draw(st.booleans()),
        draw(st.integers(0, 2**20)) if asynchronous else None,
    )


def applied(t: Transition, *but: type) -> dict[int, Worker]:
    """The workers after this point as its decisions alone say, those of some kinds left out.

    ``evaluated_point``, which is bookkeeping for the choice of parents, is taken from the new state.
    """
    workers = t.reported()
    for id in [w.id for w in t.ready()]:
        workers[id] = replace(workers[id], ready_step=workers[id].step)
    for d in (d for d in t.decisions if not isinstance(d, but)):
        if isinstance(d, Promote):
            donor, child = workers[d.worker], workers[d.child]
            taken = {"curve": donor.curve, "network_step": donor.network_step, "replaced_step": child.step}
            workers[d.child] = replace(child, **taken)
        if isinstance(d, Promote | StopEvaluator):
            workers[d.worker] = replace(workers[d.worker], **IDLE)
        elif isinstance(d, Copy):
            steps = {"step": d.step, "ready_step": d.step, "replaced_step": d.step, "network_step": d.network_step}
            taken = {"curve": (), "hyperparameters": d.hyperparameters, "failed": False}
            workers[d.worker] = replace(workers[d.worker], **steps, **taken)
        elif isinstance(d, StartEvaluator):
            steps = {"step": d.step, "replaced_step": d.step, "network_step": d.network_step}
            what = {"evaluation": Evaluation(d.parent, d.child, d.step), "hyperparameters": d.hyperparameters}
            workers[d.worker] = replace(workers[d.worker], curve=(), failed=False, **steps, **what)
        elif isinstance(d, Fail):
            assert workers[d.worker].failed
    return {w.id: replace(workers[w.id], evaluated_point=w.evaluated_point) for w in t.after.workers}

"""What a population is: workers, reports, decisions, all immutable plain data.

Words as in the paper (Dalibard & Jaderberg 2021, section 3): a *worker* is a training slot, either a *member* of
one of the sub-populations P1..Pn or an *evaluator*. P(i+1) is the parent of P(i); P1 is the greedy one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firerl.base.seeding import Purpose, generator
from firerl.evolution.space import Space

Values = Mapping[str, Any]  # hyperparameter name -> value


@dataclass(frozen=True)
class Setup:
    """What every algorithm is given: who takes part, what is tuned, when things happen (in steps)."""

    sizes: tuple[int, ...]  # members of P1, P2, ...
    evaluators: int
    space: Space
    seed: int
    eval_interval: int  # steps between two evaluations of a worker
    ready_interval: int  # steps between two exploit/explore of a member; a multiple of eval_interval


@dataclass(frozen=True)
class Evaluation:
    """What a busy evaluator does: train the weights of ``parent`` with the hyperparameters of ``child``."""

    parent: int  # a member of P(i+1)
    child: int  # a member of P(i)
    started: int  # the evaluator's own step at the start


@dataclass(frozen=True)
class Worker:
    """One training slot. Steps are this worker's own."""

    id: int
    population: int  # i of P(i): the member's own, or the parent sub-population that an evaluator serves
    is_evaluator: bool
    hyperparameters: Values = field(default_factory=dict)
    step: int = 0
    network_step: int = 0  # training steps behind its network: the axis of the schedule; travels with weights
    ready_step: int = 0  # its step at its last ready
    replaced_step: int = 0  # its step when its weights were last replaced
    curve: tuple[float, ...] = ()  # objectives since its weights were last replaced
    evaluated_point: int = -1  # members: State.point when an evaluator last ended on it; -1: never
    evaluation: Evaluation | None = None  # evaluators: None is idle
    failed: bool = False  # rests until the next ready


@dataclass(frozen=True)
class State:
    """A whole population; workers are ordered by id: members of P1, of P2, ..., then evaluators."""

    workers: tuple[Worker, ...]
    point: int = 0  # evaluation points decided so far: a clock that all workers share, whatever their own steps
    memory: Mapping[str, Any] = field(default_factory=dict)  # an algorithm's own notes, plain JSON values


@dataclass(frozen=True)
class Report:
    """What one worker says after one interval. ``failure`` means it failed: an exception's type, "NaN",
    "infinity", or "died"."""

    worker: int
    step: int
    objective: float | None = None  # None: nothing to report yet
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Copy:
    """Exploit and explore: ``worker`` takes the donor's weights and trains on with ``hyperparameters``."""

    worker: int
    donor: int
    step: int
    network_step: int  # of the copied network
    donor_hyperparameters: Values
    hyperparameters: Values  # after explore
    fitness: float | None  # of the loser; None: it failed
    donor_fitness: float | None  # None: a healthy member without a fitness had to do
    fresh: bool = False  # the loser had failed: it starts with a fresh stream


@dataclass(frozen=True)
class Fail:
    """A learner failure, as reported; the worker rests."""

    worker: int
    step: int
    failure: str


@dataclass(frozen=True)
class StartEvaluator:
    """``worker`` takes the weights of ``parent`` and trains with the hyperparameters of ``child``."""

    worker: int
    parent: int
    child: int
    step: int
    network_step: int
    hyperparameters: Values
    fresh: bool = False  # the evaluator's learner had failed: it starts with a fresh stream


@dataclass(frozen=True)
class StopEvaluator:
    """The evaluator gives up: no-overlap, no-improvement, replaced, timeout, failed (stops 1 to 4 and failures), or
    no-promotion (a success, but ``promotion=off``)."""

    worker: int
    parent: int
    child: int
    step: int
    reason: str
    points: int  # in the overlap; without overlap, of the evaluator
    best_score_diff: float | None  # None: no verdict was asked for
    p_value: float | None


@dataclass(frozen=True)
class Promote:
    """Success: ``child`` takes over the evaluator's weights and curve and keeps its own hyperparameters."""

    worker: int
    parent: int
    child: int
    step: int
    network_step: int
    points: int
    best_score_diff: float
    p_value: float


@dataclass(frozen=True)
class Set:
    """``worker`` keeps its weights and its curve and trains on with ``hyperparameters``."""

    worker: int
    step: int
    network_step: int
    hyperparameters: Values


Decision = Copy | Fail | StartEvaluator | StopEvaluator | Promote | Set


def first_values(setup: Setup, worker: int) -> Values:
    """A member's first draw: it depends on its id and the seed alone, so that all algorithms start alike."""
    return setup.space.sample(generator(setup.seed, Purpose.SAMPLE, worker), worker)


def initial_state(setup: Setup) -> State:
    """The population before its first step."""
    workers: list[Worker] = []
    for population, size in enumerate(setup.sizes, start=1):
        for _ in range(size):
            values = first_values(setup, len(workers))
            workers.append(Worker(len(workers), population, is_evaluator=False, hyperparameters=values))
    for index in range(setup.evaluators):
        population = 2 + index % max(1, len(setup.sizes) - 1)
        workers.append(Worker(len(workers), population, is_evaluator=True))
    return State(tuple(workers))


def members(state: State, population: int) -> list[Worker]:
    """The members of P(population), by id."""
    return [w for w in state.workers if w.population == population and not w.is_evaluator]


def member_steps(state: State) -> list[int]:
    """The members' own steps, by id."""
    return [w.step for w in state.workers if not w.is_evaluator]


def contenders(state: State) -> list[Worker]:
    """Who may win the run: the members of P1, and where no evaluators rank the others, those of all sub-populations."""
    others = not any(w.is_evaluator for w in state.workers)
    return [w for w in state.workers if not w.is_evaluator and (others or w.population == 1)]


def extinct(state: State) -> bool:
    """Whether no contender is healthy: such a run has ended."""
    return all(w.failed for w in contenders(state))


def counts(decisions: Sequence[Decision]) -> dict[str, Any]:
    """How often evolution did what."""
    reasons = Counter(d.reason for d in decisions if isinstance(d, StopEvaluator))
    return {
        "copies": sum(isinstance(d, Copy) for d in decisions),
        "evaluator_starts": sum(isinstance(d, StartEvaluator) for d in decisions),
        "evaluator_successes": sum(isinstance(d, Promote) for d in decisions),
        "evaluator_stops": dict(sorted(reasons.items())),
    }

"""PB2: Population Based Bandits, PBT that explores by a bandit (Parker-Holder et al. 2020, arXiv 2002.02518).

Exploit is PBT's. The bandit: a Gaussian process models the objective's change per step over an interval by
the hyperparameters x and the context, step t and objective R at its start (as the authors' code does), with the
time-varying kernel of section 4, exp(-|(x, R) - (x', R')|^2 / 2 l^2) (1 - epsilon)^(|t - t'| / 2), t in readies. A
loser gets the x with the largest mu + sqrt(beta) sigma: mu given the observed intervals, sigma given also the points
chosen before at the same ready; beta = c1 log(c2 n) for n intervals, c1 = 0.2, c2 = 0.4, as in their code.

Ours: x is scaled to [0, 1] between its bounds on the scale of its kind; l, epsilon and the noise maximise the marginal
likelihood on a fixed grid, x is one of 256 keyed draws or the winner's: no optimiser. Before any interval is known,
losers explore as in PBT. ``State.memory`` holds the last intervals and where each member stood at its last ready.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.errors import SettingError
from firerl.evolution import pbt, random
from firerl.evolution.exploit import objective_fitness
from firerl.evolution.population import Copy, Decision, Report, Setup, State
from firerl.seeding import Purpose, generator
from firerl.settings import setting
from firerl.space import Dimension

Array = NDArray[np.float64]
LENGTHS, FADINGS, NOISES = (0.1, 0.2, 0.4, 0.8), (0.0, 0.05, 0.2), (0.01, 0.1, 1.0)
C2, CANDIDATES = 0.4, 256
arrange = pbt.arrange


@dataclass(frozen=True)
class Settings:
    """PB2's settings."""

    truncation: float = setting(0.25, "share of the members that copies, and that is copied", above=0, maximum=0.5)
    fitness_window: int = setting(1, "members rank by the mean of this many last objectives", "evaluations", minimum=1)
    min_steps_before_ready: int = setting(0, "no loser is younger than this", "steps", minimum=0)
    exploration: float = setting(0.2, "c1 of beta", minimum=0)
    memory: int = setting(200, "how many last intervals the bandit knows", "intervals", minimum=1)


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where the space holds what a bandit over numbers cannot tune."""
    pbt.validate(setup, pbt.Settings())
    for d in setup.space.dimensions:
        if d.choices:
            raise SettingError(f"space.{d.name} has kind {d.kind}: algo=pb2 tunes numbers only, algo=pbt choices too")
    if not setup.space.dimensions:
        raise SettingError("algo=pb2: the space is empty, there is nothing to tune")


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point: PBT's decision, but that the bandit chooses the losers' hyperparameters."""
    options = {name: getattr(settings, name) for name in ("truncation", "fitness_window", "min_steps_before_ready")}
    after, decisions = pbt.decide(setup, pbt.Settings(**options), state, reports)
    memory = _remember(setup, settings, state, reports)
    copies = [(i, d) for i, d in enumerate(decisions) if isinstance(d, Copy)]
    bandit = Bandit.fit(memory["intervals"], setup.ready_interval) if copies and memory["intervals"] else None
    workers, pending = {w.id: w for w in after.workers}, list[list[float]]()
    for i, copy in copies:
        memory["stood"][str(copy.worker)] = [copy.network_step, copy.donor_fitness]
        if bandit and copy.donor_fitness is not None:
            donor = [_unit(d, copy.donor_hyperparameters[d.name]) for d in setup.space.dimensions]
            draws = generator(setup.seed, Purpose.EXPLORE, copy.worker, copy.step).random((CANDIDATES, len(donor)))
            context = np.tile([float(copy.network_step), copy.donor_fitness], (CANDIDATES + 1, 1))
            candidates = np.hstack([context, np.vstack([donor, draws])])
            pending.append(candidates[bandit.choose(candidates, pending, settings.exploration)].tolist())
            x = zip(setup.space.dimensions, pending[-1][2:], strict=True)
            values = {d.name: replace(d, low=d.lower, high=d.upper).draw(unit) for d, unit in x}
            decisions[i] = replace(copy, hyperparameters=values)
            workers[copy.worker] = replace(workers[copy.worker], hyperparameters=values)
    return State(tuple(workers.values()), after.point, memory), decisions


def _remember(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> dict[str, Any]:
    """``intervals``: rows of t, R, change of R per step, x in [0, 1]^d, oldest first; ``stood``: t and R of each member
    at its last ready."""
    reported, _ = random.unchanged(setup, settings.fitness_window, state, reports)
    intervals, stood = list(state.memory.get("intervals", [])), dict(state.memory.get("stood", {}))
    for worker, old in zip(reported.workers, state.workers, strict=True):
        now = objective_fitness(worker, settings.fitness_window)
        if worker.ready_step == old.ready_step or worker.failed or now is None:
            continue
        step, before = stood.get(str(worker.id), (0, None))
        if before is not None and step < worker.network_step:
            x = [_unit(d, worker.hyperparameters[d.name]) for d in setup.space.dimensions]
            intervals.append([step, before, (now - before) / (worker.network_step - step), *x])
        stood[str(worker.id)] = [worker.network_step, now]
    return {"intervals": intervals[-settings.memory :], "stood": stood}


@dataclass(frozen=True)
class Bandit:
    """The Gaussian process, fitted."""

    points: Array  # [n, 2 + d]: t in readies, R in its own range, x
    targets: Array  # [n]: mean 0, variance 1, cut at 2 standard deviations as by the authors
    scale: Array  # [2 + d]: what t, R and x were divided by
    shape: tuple[float, float, float]  # l, epsilon, the noise's variance

    @classmethod
    def fit(cls, intervals: Sequence[Sequence[float]], ready_interval: int) -> Bandit:
        """The largest marginal likelihood on the grid; of equals the first."""
        rows = np.array(intervals, dtype=np.float64)
        points, y = np.delete(rows, 2, axis=1), rows[:, 2]
        targets = np.clip((y - y.mean()) / (y.std() or 1.0), -2, 2)
        scale = np.array([ready_interval, np.ptp(points[:, 1]) or 1.0] + [1.0] * (points.shape[1] - 2))
        apart = _apart(points / scale, points / scale)

        def evidence(shape: tuple[float, float, float]) -> float:
            factor = np.linalg.cholesky(_kernel(apart, *shape[:2]) + shape[2] * np.eye(len(y)))
            return float(-np.sum(np.linalg.solve(factor, targets) ** 2) / 2 - np.sum(np.log(np.diag(factor))))

        return cls(points / scale, targets, scale, max(itertools.product(LENGTHS, FADINGS, NOISES), key=evidence))

    def choose(self, candidates: Array, pending: list[list[float]], c1: float) -> int:
        """The index of the candidate (t, R, x) [m, 2 + d] with the largest upper confidence bound."""
        known = np.vstack([self.points, *(np.array([point]) / self.scale for point in pending)])
        n, (length, fading, noise) = len(self.points), self.shape
        to_known = _kernel(_apart(candidates / self.scale, known), length, fading)
        covariance = _kernel(_apart(known, known), length, fading) + noise * np.eye(len(known))
        mean = to_known[:, :n] @ np.linalg.solve(covariance[:n, :n], self.targets)
        variance = 1 - np.sum(to_known.T * np.linalg.solve(covariance, to_known.T), axis=0)
        return int(np.argmax(mean + np.sqrt(max(0.0, c1 * math.log(C2 * n)) * np.maximum(variance, 0.0))))


def _apart(a: Array, b: Array) -> tuple[Array, Array]:
    """Squared distances in (R, x) and distances in t: [len(a), len(b)] each."""
    difference = a[:, None] - b
    return np.sum(difference[..., 1:] ** 2, axis=-1), np.abs(difference[..., 0])


def _kernel(apart: tuple[Array, Array], length: float, fading: float) -> Array:
    return np.asarray(np.exp(-apart[0] / (2 * length**2)) * (1 - fading) ** (apart[1] / 2))


def _unit(d: Dimension, value: float) -> float:
    """Where between its bounds a value lies, on the scale of its kind."""
    if d.kind == "integer":
        return (value - d.lower + 0.5) / (d.upper - d.lower + 1)
    scale = {"log_uniform": math.log, "one_minus_log_uniform": lambda x: math.log1p(-x)}.get(d.kind, float)
    return (scale(value) - scale(d.lower)) / (scale(d.upper) - scale(d.lower))

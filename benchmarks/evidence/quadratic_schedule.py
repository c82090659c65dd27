"""The best piecewise-constant schedule of the learning rate on the noisy quadratic, found by direct optimisation.

The expected loss of a schedule is exact: from theta = 1, a piece of s steps at rate r takes m_i = E[theta_i^2] to
a^s m_i + (1 - a^s) r noise^2 / (2 - r h_i) with a = (1 - r h_i)^2. So no search, no population and no luck is
involved: what is left between this and a population is what finding a schedule by training costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from firerl.agents.quadratic.learner import Quadratic
from firerl.base.seeding import Purpose, integer_seed

PIECES = 60  # one for each ready of preset=quadratic: as often as a population can change its rates
REPEATS = 8  # the winner of P1 is the best of 8 members
BOUNDS = Quadratic.space["lr"]["bounds"]


def expected_loss(log_rates: NDArray[np.float64], h: NDArray[np.float64], noise: float, steps: int) -> float:
    """E[1/2 sum_i h_i theta_i^2] after ``steps`` steps at each of these rates, exactly."""
    m = np.ones_like(h)
    for rate in np.exp(log_rates):
        kept = (1 - rate * h) ** (2 * steps)
        m = kept * m + (1 - kept) * rate * noise**2 / (2 - rate * h)
    return 0.5 * float(h @ m)


def best_schedule(settings: Mapping[str, Any], steps: int, pieces: int = PIECES) -> NDArray[np.float64]:
    """The rates [pieces] of least expected loss after ``steps`` steps in all, within the bounds of exploring.

    First in few pieces from several starts, then in all of them from the best of those.
    """
    h = Quadratic(settings, {"lr": 0.0}, 0, "cpu").curvature

    def optimised(log_rates: NDArray[np.float64]) -> Any:
        n = len(log_rates)
        loss = lambda x: np.log(expected_loss(x, h, settings["noise"], steps // n))  # noqa: E731
        bounds = [(np.log(BOUNDS[0]), np.log(BOUNDS[1]))] * n
        return minimize(loss, log_rates, bounds=bounds, method="L-BFGS-B", options={"maxfun": 10**6})

    few = max(n for n in range(1, 13) if pieces % n == 0)
    starts = [np.linspace(np.log(0.9), np.log(end), few) for end in (0.3, 0.1, 0.03, 0.01, 0.003)]
    coarse = min((optimised(start) for start in starts), key=lambda result: result.fun)
    return np.exp(optimised(np.repeat(coarse.x, pieces // few)).x)


@lru_cache
def cached_schedule(settings: tuple[tuple[str, Any], ...], steps: int, pieces: int) -> NDArray[np.float64]:
    """``best_schedule``, found once for all seeds."""
    return best_schedule(dict(settings), steps, pieces)


def schedule_objective(settings: Mapping[str, Any], steps: int, seed: int, pieces: int = PIECES) -> float:
    """The best final objective of 8 learners trained with the best schedule."""
    rates = cached_schedule(tuple(sorted(settings.items())), steps, pieces)
    finals = []
    for repeat in range(REPEATS):
        learner = Quadratic(settings, {"lr": 0.0}, integer_seed(seed, Purpose.LEARNER, repeat, 0), "cpu")
        for rate in rates.tolist():
            learner.set_hyperparameters({"lr": rate})
            learner.train(steps // pieces)
        finals.append(learner.evaluate(0))
    return max(finals)

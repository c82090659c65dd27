"""When a synchronous run will be over."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Time goes with the workers of the busiest process, and with what a step costs as the learner learns.

    ``cost``: mean time of a step in the first so many steps, in those of a fresh network (``Learner.cost_of``).
    ``workers``: all of them, since evaluators that wait for their first work will have some.
    """

    def __init__(self, cost: Callable[[int], float], workers: int, processes: int, begun: int, steps: int):
        self._cost, self._processes = cost, processes
        self._turns = self._turns_of(workers)
        self._step, self._steps = begun, steps
        self._done = 0.0  # turns x costs, since ``begun``

    def round_done(self, step: int, active: int) -> None:
        """``active`` workers have trained up to ``step``."""
        self._done += self._turns_of(active) * self._between(self._step, step)
        self._step = step

    def seconds_left(self, elapsed: float) -> float:
        """To the end, when all since ``begun`` took ``elapsed`` seconds; after the first round."""
        return elapsed / self._done * self._turns * self._between(self._step, self._steps)

    def _turns_of(self, workers: int) -> int:
        return max(1, -(-workers // self._processes))  # a round in which nobody trains takes time, too

    def _between(self, step: int, later: int) -> float:
        return later * self._cost(later) - step * self._cost(step)

"""A run that goes on evaluation by evaluation as its parent says: ``python live_run.py <run_dir>``, a line for each."""

from __future__ import annotations

import sys

import firerl
from firerl.agents.quadratic.learner import Quadratic


class Led(Quadratic):
    """Evaluates when a line has come."""

    def evaluate(self, seed: int) -> float:
        sys.stdin.readline()
        return super().evaluate(seed)


if __name__ == "__main__":
    firerl.run(Led, algo="pbt", population=[2], evaluators=0, eval_interval=10, ready_interval=10, steps=100, seed=1,
               space={"lr": {"log_uniform": [1e-2, 1.0]}}, engine="inline", run_dir=sys.argv[1], progress=False,
               logger="none")  # fmt: skip

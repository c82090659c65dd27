"""What a logger is told, parted by whom it is about: a run of TensorBoard's or of W&B's for each worker.

All workers have the same tags (``objective``, ``lr``, ``loss``), so that their curves lie over each other in one chart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from firerl.base.terminal import clean

MOST = 40  # tags of a worker, and of the population: more is no overview
POPULATION = "population"  # what is about all workers together
_WORKER = re.compile(r"(worker-\d+)/(.+)", re.DOTALL)


class ByWorker:
    """Parts the values of one run; ``config`` is all settings of it."""

    def __init__(self, config: Mapping[str, Any]):
        self.hyperparameters = [clean(name) for name in config.get("space") or {}]
        self._of_workers = set(["objective", *self.hyperparameters][:MOST])
        self._of_population: set[str] = set()

    def parts(self, values: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """Values by tag, by worker (``worker-03``) or ``population``.

        Of a worker these are the objective, the hyperparameters and, in the order of their first appearance, as many
        metrics as there is room for.
        """
        found: dict[str, dict[str, float]] = {}
        for name, value in values.items():
            worker = _WORKER.fullmatch(name)
            who, tag = worker.groups() if worker else (POPULATION, name)
            tags = self._of_workers if worker else self._of_population
            if len(tags) < MOST:
                tags.add(tag)
            if tag in tags:
                found.setdefault(who, {})[tag] = value
        return found

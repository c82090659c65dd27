"""The global random generators of a process: who draws from them, and what happens when they change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")


def _states() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the very one
    return {
        "random": random.getstate(),
        "numpy.random": (name, np.asarray(keys).tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@contextmanager
def scrambled(seed: int) -> Iterator[None]:
    """Inside, the global generators stand somewhere else; afterwards they stand where they stood."""
    ours, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)  # noqa: NPY002
        torch.set_rng_state(torchs)


class Watch:
    """Sees which calls move a global generator."""

    def __init__(self) -> None:
        self._moved: dict[str, list[str]] = {}

    def call(self, name: str, function: Callable[[], T]) -> T:
        """The function's result."""
        before = _states()
        result = function()
        for generator, state in _states().items():
            if state != before[generator]:
                calls = self._moved.setdefault(generator, [])
                if name not in calls:
                    calls.append(name)
        return result

    def used(self) -> str:
        """``numpy.random in train(), evaluate()``; "" for none."""
        return "; ".join(
            f"{generator} in {', '.join(f'{call}()' for call in calls)}" for generator, calls in self._moved.items()
        )

"""The global random generators of a process: who draws from them, and what happens when they change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from firerl.engine.host.global_generators import Generators, Isolated


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


class Watched(Isolated):
    """A learner of which it is seen which calls draw from a global generator."""

    @contextmanager
    def _live(self, call: str, generators: Generators, keep: bool = True) -> Iterator[None]:
        before = generators.standing()
        with super()._live(call, generators, keep):
            yield
        for name in generators.moved(before):
            calls = self._seen().setdefault(name, [])
            if call not in calls:
                calls.append(call)

    def _seen(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self.__dict__.setdefault("seen", {})
        return found

    def used(self) -> str:
        """``numpy.random in train(), evaluate()``; "" for none."""
        return "; ".join(f"{name} in {', '.join(f'{c}()' for c in calls)}" for name, calls in self._seen().items())

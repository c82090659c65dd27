"""The global random generators of a process, which an environment should leave alone."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def states() -> dict[str, Any]:
    """Where each stands, by the name that people know it by; torch's, where it has been imported."""
    torch: Any = sys.modules.get("torch")
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the very one
    found = {"random": random.getstate(), "np.random": (name, np.asarray(keys).tobytes(), *rest)}
    return found if torch is None else {**found, "torch": torch.get_rng_state().numpy().tobytes()}


@contextmanager
def untouched() -> Iterator[None]:
    """Afterwards they stand where they stood before: what is tried must change no run."""
    torch: Any = sys.modules.get("torch")
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    torchs = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(torchs)

"""Workers and weights on their way from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firerl.engine.balance import chunks
from firerl.engine.failures import Failure
from firerl.storage import checkpoint


@dataclass(frozen=True)
class Parcel:
    """A worker on its way to another process: both halves of its state as a checkpoint's bytes, and what to build its
    learner with; or the failure that it has yet to tell."""

    worker: int
    state: bytes | Failure
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Begun:
    """A worker on its way to the process that finishes its interval, and what its first chunks have given."""

    parcel: Parcel
    parts: chunks.Parts
    train_seconds: float
    pack_seconds: float


def unpack(worker: int, weights: bytes | Failure) -> Any:
    """The weights that ``Host.weights`` packed. Raises RuntimeError for a worker whose learner has failed."""
    if isinstance(weights, Failure):
        raise RuntimeError(f"worker {worker} has no weights: its learner failed with {weights.kind}")
    return checkpoint.loads(weights)

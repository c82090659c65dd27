"""What the controller asks of an engine, and what an engine answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from firerl.learner import Learner


@dataclass(frozen=True)
class LearnerSpec:
    """How to build a learner; sent to every process once."""

    learner: type[Learner]
    settings: Mapping[str, Any]  # complete
    devices: tuple[str, ...] = ("cpu",)  # torch's names; processes take them in turn
    workers_per_device: int | None = None  # learners that a process keeps built at once; None: all
    deterministic: bool = True  # GPUs compute the same to the bit every time
    stacked: int = 1  # workers with consecutive ids that train as one (learner.stacked)
    chunk: int | None = None  # steps of one call of train(), which divide an interval's; None: all of it
    moves: bool = True  # workers may go on in other processes


@dataclass(frozen=True)
class Costs:
    """What simulated time is made of. None: as long as the call really takes here."""

    seed: int = 0  # of the workers' speeds
    speed_spread: float = 0.0  # the workers' speeds are uniform in 1 +- half of it
    seconds_per_step: float | None = None  # of training; this and the next at speed 1
    seconds_per_evaluation: float | None = None
    seconds_per_copy: float | None = None  # one Transfer that moves weights
    seconds_per_save: float | None = None  # one worker


@dataclass(frozen=True)
class Create:
    """Build ``worker``'s learner anew: a fresh stream from ``seed``, and fresh weights or those in a file."""

    worker: int
    hyperparameters: Mapping[str, Any]
    seed: int
    weights: Path | None = None
    died: str | None = None  # how it has killed its process: it is not tried again, the worker fails with "died"


@dataclass(frozen=True)
class Load:
    """Build ``worker``'s learner and give it a saved state, both halves."""

    worker: int
    hyperparameters: Mapping[str, Any]
    seed: int
    path: Path


@dataclass(frozen=True)
class Transfer:
    """Copy ``source``'s weights into ``target``, which goes on with ``hyperparameters``.

    A worker that is its own source keeps its weights: only its hyperparameters change. With ``seed`` the target's
    learner is first built anew (it has none yet, or its old one failed).
    """

    source: int
    target: int
    hyperparameters: Mapping[str, Any]
    seed: int | None = None
    died: str | None = None  # as in Create, for the target

    @property
    def moves(self) -> bool:
        """Whether weights travel."""
        return self.source != self.target


@dataclass(frozen=True)
class Advance:
    """Train ``worker`` for ``steps`` steps and evaluate it."""

    worker: int
    steps: int
    evaluate_seed: int
    died: str | None = None  # as in Create


@dataclass(frozen=True)
class Outcome:
    """What came of one Advance. A failure is the learner's own (an exception, NaN, "died"), never the machine's."""

    worker: int
    objective: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None  # the exception's type, "NaN", "infinity" or "died"
    traceback: str | None = None  # for people; not part of the journal
    told: str = ""  # the failure in one line, for people
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    begun_seconds: float = 0.0  # of train_seconds, in the process that has begun an interval for another to finish
    trip_seconds: float = 0.0  # then: the longer of packing the worker there and unpacking it here
    lost: str = ""  # what load() has told since the last Advance; no part of the result


@dataclass(frozen=True)
class Saved:
    """A worker's state in a file."""

    worker: int
    name: str  # of the file in the checkpoint folder
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Interval:
    """One worker's work where nobody waits for the others: become what it starts from, train, evaluate, save.

    Its learner is the one that it has, unless ``build`` makes another in its place. With ``hyperparameters`` it goes on
    with these and, where ``weights`` is a file that ``save`` wrote, with the weights in it.
    """

    advance: Advance
    folder: Path  # where its state is saved afterwards, as ``next-w<worker>.pt``
    build: Create | Load | None = None
    weights: Path | None = None
    hyperparameters: Mapping[str, Any] | None = None

    @property
    def files(self) -> set[Path]:
        """Those that must be read for it."""
        named = [self.weights]
        if self.build is not None:
            named.append(self.build.path if isinstance(self.build, Load) else self.build.weights)
        return {path for path in named if path is not None}


@dataclass(frozen=True)
class Done:
    """What came of one Interval."""

    outcome: Outcome
    saved: Saved | None  # None: the learner has failed


class MachineFailure(Exception):
    """A process died or hung, or a device failed. No part of the run's result: the interval is computed again.

    ``process`` died or hung, or a worker in it found no memory; None: it was something else. It was at ``call`` (a
    method of Host); ``suspects`` are the workers at work then, else all that the call was for. ``alone``: it hosted one
    worker only, as it was told to. ``moving``: workers had moved to other processes, or were about to.
    """

    def __init__(
        self,
        text: str,
        *,
        process: int | None = None,
        call: str = "",
        suspects: Sequence[int] = (),
        alone: bool = False,
        memory: bool = False,
        moving: bool = False,
    ):
        super().__init__(text)
        self.process, self.call, self.suspects, self.alone = process, call, tuple(suspects), alone
        self.moving = moving
        self.memory = memory  # the host has none left for what a worker asked: as good as a death


class Engine(Protocol):
    """Hosts learners. Every call may raise MachineFailure; after it only ``close`` may be called."""

    processes: int

    @property
    def outdated(self) -> bool:
        """Whether a new engine would have more processes: machines have joined the cluster."""

    def now(self) -> float:
        """Seconds on this engine's clock, from any start: real ones, but where time is simulated."""

    def create(self, orders: Sequence[Create]) -> None:
        """Build learners. A learner that raises here fails at its next Advance, with that exception.

        Raises RunFolderError on a missing or damaged file of weights."""

    def load(self, orders: Sequence[Load]) -> None:
        """Build learners from saved states. Raises RunFolderError on a corrupt file."""

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        """Train and evaluate, all processes at once; outcomes by worker id. ``on_outcome`` hears each as it comes."""

    def transfer(self, orders: Sequence[Transfer]) -> None:
        """Copy weights, one order after the other."""

    def weights(self, worker: int) -> Any:
        """The weights half of a worker's state, on the CPU."""

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        """Write the named workers' states to ``<folder>/<prefix>-w<worker>.pt``, durably; by worker id.

        One whose state cannot be saved has failed: in its place comes an Outcome that tells it."""

    def balance(self) -> int:
        """Move workers to other processes, or let two share one, where the speeds that were measured since the last
        call say that all are done earlier then; how many have moved. Nothing of what is computed depends on it."""

    def close(self) -> None:
        """Stop all processes at once, whatever they do. May be called twice."""


class AsynchronousEngine(Engine, Protocol):
    """An engine whose processes work each at its own pace; between ``begin`` and its ``next`` no other call."""

    def process_of(self, worker: int) -> int:
        """The process that hosts ``worker``."""

    def begin(self, order: Interval) -> None:
        """Start a worker's interval in its process, in which nothing is under way."""

    def next(self) -> Done:
        """Wait for the interval that is done first of those under way."""

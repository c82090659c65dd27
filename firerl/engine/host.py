"""The learners of one process, and what becomes of their failures.

Every engine runs its learners through a Host, and weights always travel as a checkpoint's bytes, inside one process
too: no array is ever shared by two workers, and all engines take the same path.
"""

from __future__ import annotations

import contextlib
import copy
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from firerl.engine import chunks, devices
from firerl.engine.base import (
    Advance,
    Create,
    Done,
    Interval,
    LearnerSpec,
    Load,
    MachineFailure,
    Outcome,
    Saved,
    Transfer,
)
from firerl.engine.failures import raise_if_the_machine_failed
from firerl.engine.groups import Groups, Trained
from firerl.engine.placement import device_of
from firerl.engine.returned import metrics_of, objective_of
from firerl.engine.roster import Roster
from firerl.engine.suspects import DIED
from firerl.engine.threads import one_thread
from firerl.errors import RunFolderError, SettingError
from firerl.learner import Learner
from firerl.storage import checkpoint, durable, files

NEXT = "next"  # how the file of a report begins that no commit knows yet
Read = Callable[[Path], Any]  # the contents of a checkpoint


@dataclass(frozen=True)
class Failure:
    """A learner's own failure, as its Outcome tells it."""

    kind: str  # the exception's type, "NaN", "infinity" or "died"
    text: str  # the traceback


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

    parcel: Parcel | None  # None: it stays where it is, since it cannot be packed in the middle of an interval
    parts: Sequence[tuple[int, chunks.Metrics]]  # of each chunk: steps, metrics
    train_seconds: float
    pack_seconds: float


class Host:
    """Learners by worker, on one device. Its methods are an engine's, for the workers that live here.

    Whatever a learner raises in its own call is that learner's failure (but KeyboardInterrupt is the user's, and
    MachineError, lack of memory and a broken device are the machine's: MachineFailure). The learner is dropped, and its
    next Advance tells the failure. Where a learner's ``state()`` is the trouble the run cannot be saved, which is a
    SettingError.

    ``at_work`` hears which workers are computed from now on: who was at work when the process died.
    """

    def __init__(
        self,
        spec: LearnerSpec,
        durable: bool = True,
        process: int = 0,
        at_work: Callable[[Sequence[int]], None] = lambda _: None,
    ):
        self._spec = spec
        self._at_work = at_work
        self._durable = durable  # files survive a power failure
        self._device = device_of(process, spec.devices)
        on_gpu = devices.type_of(self._device) != "cpu"
        self._learners = Roster(self._construct, self._pack, spec.workers_per_device, collect=on_gpu)
        self._failures: dict[int, Failure] = {}  # those that no Outcome has told yet
        self._groups = Groups(spec, self._device)
        one_thread()
        devices.prepare(self._device, spec.deterministic)

    def create(self, orders: Sequence[Create], read: Read = checkpoint.read) -> None:
        """Build learners anew. Raises RunFolderError on a missing or damaged file of weights."""
        for order in orders:
            self._at_work([order.worker])
            if order.died is not None:
                self._fail(order.worker, Failure(DIED, order.died))
                continue
            weights = None if order.weights is None else read(order.weights)
            self._build(order.worker, order.hyperparameters, order.seed)
            if weights is not None and order.worker not in self._failures:
                learner = self._learner(order.worker)
                with self._own_call(order.worker):
                    learner.load(weights=weights)
                    learner.set_hyperparameters(dict(order.hyperparameters))  # as after every copy of weights

    def load(self, orders: Sequence[Load], read: Read = checkpoint.read) -> None:
        """Build learners from files that ``save`` wrote. Raises RunFolderError on a missing or damaged file, and
        MachineFailure where the learner does not take its state back, SettingError where it says what is wrong."""
        for order in orders:
            self._at_work([order.worker])
            state = read(order.path)
            if not isinstance(state, dict) or set(state) != {"weights", "stream"}:
                raise RunFolderError(f"checkpoint {order.path} does not hold a learner's weights and stream")
            self._build(order.worker, order.hyperparameters, order.seed)
            if order.worker not in self._failures:
                with self._own_call(order.worker):
                    self._learner(order.worker).load(**state)
            self._check_loaded(order.worker)

    def advance(self, orders: Sequence[Advance]) -> Iterator[Outcome]:
        """Train and evaluate, one worker or group after the other; what came of each at its end."""
        for order in orders:
            if order.died is not None:
                self._fail(order.worker, Failure(DIED, order.died))
        orders = sorted(orders, key=lambda order: self._learners.waits(order.worker))  # those first that are built
        for together in self._groups.split(orders):
            self._at_work([order.worker for order in together])
            trained = self._train_as_one(together) if self._spec.stacked > 1 else {}
            for order in together:
                self._at_work([order.worker])
                yield self._advance(order, trained.get(order.worker))

    def begin(self, order: Advance, count: int) -> Begun:
        """Train the first ``count`` chunks of a worker's interval and give the worker away."""
        self._at_work([order.worker])
        start = time.perf_counter()
        parts = self._first_chunks(order, count)  # whose reference to the learner has gone when it is given away
        trained = time.perf_counter()
        try:
            [parcel] = self.give([order.worker])
        except SettingError:  # at the end of its interval it may be another one, or may have failed
            return Begun(None, parts, trained - start, 0.0)
        return Begun(parcel, parts, trained - start, time.perf_counter() - trained)

    def _first_chunks(self, order: Advance, count: int) -> list[tuple[int, chunks.Metrics]]:
        if order.worker not in self._failures:
            learner = self._learner(order.worker)
            with self._own_call(order.worker):
                return _train(learner, chunks.sizes(order.steps, self._spec.chunk)[:count])
        return []

    def finish(self, order: Advance, begun: Begun) -> Iterator[Outcome]:
        """Take a worker and train the rest of its interval, then evaluate. Raises as ``load``."""
        self._at_work([order.worker])
        start = time.perf_counter()
        if begun.parcel is not None:
            self.take([begun.parcel])
        trip = max(begun.pack_seconds, time.perf_counter() - start)
        outcome = self._advance(order, begun=begun)
        moved = begun.parcel is not None and outcome.failure is None
        yield replace(outcome, begun_seconds=begun.train_seconds, trip_seconds=trip) if moved else outcome

    def interval(self, order: Interval) -> Done:
        """One worker's interval, all of it. Raises as ``create``, ``load`` and ``save`` do."""
        outcome = self.become_and_advance(order)
        saved = self.save(order.folder, NEXT, [order.advance.worker])
        return Done(outcome, saved[0] if saved else None)

    def become_and_advance(self, order: Interval, read: Read = checkpoint.read) -> Outcome:
        """An interval but for the saving. Raises as ``create`` and ``load``."""
        worker = order.advance.worker
        if order.advance.died is None:
            if isinstance(order.build, Create):
                self.create([order.build], read)
            elif order.build is not None:
                self.load([order.build], read)
            if order.hyperparameters is not None:
                source, weights = worker, None
                if order.weights is not None:  # those of a file, which is nobody in this process
                    source, weights = -1, checkpoint.dumps(read(order.weights)["weights"])
                self.receive([(Transfer(source, worker, order.hyperparameters), weights)])
        [outcome] = self.advance([order.advance])
        return outcome

    def weights(self, workers: Sequence[int]) -> dict[int, bytes | Failure]:
        """Each worker's weights as ``receive`` takes them, or the failure that it has yet to tell."""
        packed = {}
        for worker in workers:
            self._at_work([worker])
            packed[worker] = self._failures.get(worker) or self._dump(worker, "weights")
        return packed

    def transfer(self, order: Transfer) -> None:
        """Do an order whose source and target both live here."""
        weights = self.weights([order.source])[order.source] if order.moves else None
        self.receive([(order, weights)])

    def receive(self, orders: Sequence[tuple[Transfer, bytes | Failure | None]]) -> None:
        """Give each order's target its source's weights; of a failed source it takes over the failure.

        None stands for the weights of an order that moves none: its target keeps its own, or its own failure.
        """
        for order, weights in orders:
            self._at_work([order.target])
            if order.died is not None:
                self._fail(order.target, Failure(DIED, order.died))
                continue
            if isinstance(weights, Failure):
                self._fail(order.target, weights)
                continue
            if order.moves and order.seed is not None:
                self._build(order.target, order.hyperparameters, order.seed)
            if order.target not in self._failures:
                learner = self._learner(order.target)
                received = None if weights is None else checkpoint.loads(weights)
                with self._own_call(order.target):
                    if order.moves:
                        learner.load(weights=received)
                    # After load, since the donor's optimiser may have brought the donor's learning rate.
                    learner.set_hyperparameters(dict(order.hyperparameters))
                    self._learners.retuned(order.target, order.hyperparameters)

    def states(self, workers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Both halves of the states of those of ``workers`` that have a learner, as a checkpoint's bytes."""
        for worker in workers:
            if worker in self._learners:
                self._at_work([worker])
                yield worker, self._dump(worker)

    def give(self, workers: Sequence[int]) -> list[Parcel]:
        """Those of ``workers`` that have a learner, or a failure to tell; here they are forgotten."""
        parcels = []
        for worker in workers:
            self._at_work([worker])
            self._groups.leave(worker)
            if worker in self._failures:
                parcels.append(Parcel(worker, self._failures.pop(worker)))
            elif worker in self._learners:
                parcels.append(Parcel(worker, self._dump(worker), *self._learners.recipe(worker)))
                self._learners.drop(worker, collect=True)
        return parcels

    def take(self, parcels: Sequence[Parcel]) -> None:
        """Workers that another process gave. Raises as ``load``."""
        for parcel in parcels:
            self._at_work([parcel.worker])
            if isinstance(parcel.state, Failure):
                self._fail(parcel.worker, parcel.state)
                continue
            self._build(parcel.worker, parcel.hyperparameters, parcel.seed)
            if parcel.worker not in self._failures:
                with self._own_call(parcel.worker):
                    self._learner(parcel.worker).load(**checkpoint.loads(parcel.state))
            self._check_loaded(parcel.worker)

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved]:
        """Write the states of those of ``workers`` that have a learner. Raises OSError where the disk fails."""
        saved = []
        for worker, data in self.states(workers):
            name = f"{prefix}-w{worker}.pt"
            if self._durable:
                files.write(folder / name, data)
            else:
                durable.write(folder / name, data, fsync=False)
            saved.append(Saved(worker, name, len(data), files.digest(data)))
        return saved

    def _build(self, worker: int, hyperparameters: Mapping[str, Any], seed: int) -> None:
        self._failures.pop(worker, None)
        self._learners.drop(worker)
        self._learners.make_room()
        with self._own_call(worker):
            self._learners.add(worker, hyperparameters, seed)

    def _construct(self, hyperparameters: Mapping[str, Any], seed: int) -> Learner:
        # Each learner owns its settings: one that changes them must not change its neighbour's.
        settings = copy.deepcopy(dict(self._spec.settings))
        return self._spec.learner(settings, dict(hyperparameters), seed, self._device)

    def _train_as_one(self, orders: Sequence[Advance]) -> dict[int, Trained]:
        return self._groups.train(orders, self._learners.all_built(), self._dump)

    def _advance(self, order: Advance, trained: Trained | None = None, begun: Begun | None = None) -> Outcome:
        """Train and evaluate; only evaluate where the worker has ``trained`` in its group, train the rest where its
        interval has ``begun``."""
        if order.worker not in self._failures:
            learner = self._learner(order.worker)
            start = time.perf_counter()
            with self._own_call(order.worker):
                if trained is None:
                    done = begun.parts if begun else ()
                    parts = [*done, *_train(learner, chunks.sizes(order.steps, self._spec.chunk)[len(done) :])]
                    seconds = time.perf_counter() - start + (begun.train_seconds if begun else 0.0)
                else:
                    parts, seconds = _trained_as_one(trained), trained.seconds
                metrics = chunks.averaged(parts)
                start = time.perf_counter()
                objective = objective_of(learner.evaluate(order.evaluate_seed))
                if objective is None or isfinite(objective):
                    return Outcome(
                        order.worker,
                        objective,
                        metrics,
                        train_seconds=seconds,
                        evaluate_seconds=time.perf_counter() - start,
                    )
                kind = "NaN" if isnan(objective) else "infinity"
                self._fail(order.worker, Failure(kind, f"evaluate() returned {objective} after train() gave {metrics}"))
        failure = self._failures.pop(order.worker)
        return Outcome(order.worker, failure=failure.kind, traceback=failure.text)

    def _learner(self, worker: int) -> Learner:
        if worker not in self._learners:
            raise RuntimeError(f"worker {worker} has no learner")
        if self._learners.waits(worker):
            self._learners.make_room()
            with self._own_call(worker):
                self._learners.wake(worker)
            self._check_loaded(worker)
        return self._learners.get(worker)

    def _check_loaded(self, worker: int) -> None:
        """Raise MachineFailure where a learner did not take its own state back, SettingError where it says why."""
        if failure := self._failures.pop(worker, None):
            last = failure.text.splitlines()[-1]
            if failure.kind == SettingError.__name__:  # data that is not here, say: a person can mend that
                raise SettingError(last.partition(": ")[2])
            # It was healthy when it was saved, and a run without a crash never loads: no part of the result.
            raise MachineFailure(f"worker {worker} cannot be loaded again: {last}")

    def _fail(self, worker: int, failure: Failure) -> None:
        self._learners.drop(worker)
        self._failures[worker] = failure

    @contextlib.contextmanager
    def _own_call(self, worker: int) -> Iterator[None]:
        """Make what a learner raises inside its failure."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._raise_if_the_machine_failed(error, worker)
            self._fail(worker, Failure(type(error).__name__, "".join(traceback.format_exception(error))))

    def _dump(self, worker: int, half: str | None = None) -> bytes:
        """The bytes of a learner's state, or of one half of it."""
        packed = self._learners.packed(worker)
        if packed is None:
            return self._pack(worker, self._learner(worker), half)
        return checkpoint.dumps(checkpoint.loads(packed)[half]) if half else packed

    def _pack(self, worker: int, learner: Learner, half: str | None = None) -> bytes:
        """The same of a learner that is built."""
        try:
            state = learner.state()
            if not isinstance(state, dict) or set(state) != {"weights", "stream"}:
                raise SettingError("it returned no dict with just 'weights' and 'stream'")
            if half:
                return checkpoint.dumps(state[half], f"state[{half!r}]")
            return checkpoint.dumps({"weights": state["weights"], "stream": state["stream"]})
        except (Exception, SystemExit) as error:
            self._raise_if_the_machine_failed(error, worker)
            kind = "" if isinstance(error, SettingError) else f"{type(error).__name__}: "
            text = f"{type(learner).__name__}.state() of worker {worker} cannot be saved: {kind}{error}"
            raise SettingError(text) from error

    def _raise_if_the_machine_failed(self, error: BaseException, worker: int) -> None:
        advice = devices.memory_advice(self._learners.built, self._spec.settings)
        raise_if_the_machine_failed(error, f"worker {worker}", self._device, advice)


def unpack(worker: int, weights: bytes | Failure) -> Any:
    """The weights that ``Host.weights`` packed. Raises RuntimeError for a worker whose learner has failed."""
    if isinstance(weights, Failure):
        raise RuntimeError(f"worker {worker} has no weights: its learner failed with {weights.kind}")
    return checkpoint.loads(weights)


def _train(learner: Learner, sizes: Sequence[int]) -> list[tuple[int, chunks.Metrics]]:
    """Train chunks of so many steps; what each has given."""
    return [(steps, metrics_of(learner.train(steps))) for steps in sizes]


def _trained_as_one(trained: Trained) -> list[tuple[int, chunks.Metrics]]:
    """The same of a member of a group. Raises what it has failed with."""
    if trained.failure is not None:
        raise trained.failure
    return [(steps, metrics_of(returned)) for steps, returned in trained.parts]

"""The learners of one process, and what becomes of their failures.

Every engine runs its learners through a Host, and weights always travel as a checkpoint's bytes, inside one process
too: no array is ever shared by two workers, and all engines take the same path.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from firerl.base.disk import durable, files
from firerl.engine import devices
from firerl.engine.balance import chunks
from firerl.engine.balance.roster import Roster
from firerl.engine.failures import Failure, failure_of
from firerl.engine.host.global_generators import Isolated
from firerl.engine.host.groups import Groups, Trained
from firerl.engine.host.untold import Untold
from firerl.engine.interface import (
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
from firerl.engine.parcels import Begun, Parcel
from firerl.engine.placement import device_of
from firerl.engine.returned import lost_of, metrics_of, objective_of
from firerl.engine.threads import one_thread
from firerl.errors import RunFolderError
from firerl.storage import checkpoint

NEXT = "next"  # how the file of a report begins that no commit knows yet
Read = Callable[[Path], Any]  # the contents of a checkpoint


class Host:
    """Learners by worker, on one device. Its methods are an engine's, for the workers that live here.

    Whatever a learner raises in its own call is that learner's failure, also where its state cannot be saved (but
    KeyboardInterrupt is the user's, and MachineError, lack of memory, a broken device, and data that is out of reach
    while learners are built are the machine's: MachineFailure). The learner is dropped, and its next Advance tells the
    failure.

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
        self._failures = Untold(self._device, self._drop, self._memory_advice)
        self._buildable: tuple[Mapping[str, Any], int] | None = None  # what a learner has been built with
        self._lost: dict[int, str] = {}  # what load() has told, but no Outcome yet
        self._groups = Groups(spec, self._device)
        one_thread()
        devices.prepare(self._device, spec.deterministic)

    def create(self, orders: Sequence[Create], read: Read = checkpoint.read) -> None:
        """Build learners anew. Raises RunFolderError on a missing or damaged file of weights."""
        for order in orders:
            self._at_work([order.worker])
            if order.died is not None:
                self._failures.died(order.worker, order.died)
                continue
            weights = None if order.weights is None else read(order.weights)
            self._build(order.worker, order.hyperparameters, order.seed)
            if weights is not None and order.worker not in self._failures:
                learner = self._learner(order.worker)
                with self._failures.own_call(order.worker, building=True):
                    learner.load(weights=weights)
                    learner.set_hyperparameters(dict(order.hyperparameters))  # as after every copy of weights

    def load(self, orders: Sequence[Load], read: Read = checkpoint.read) -> None:
        """Build learners from files that ``save`` wrote. Raises RunFolderError on a missing or damaged file, and
        MachineFailure where the learner does not take its state back, SettingError where it says what is wrong."""
        for order in orders:
            self._at_work([order.worker])
            state = read(order.path)
            if not isinstance(state, dict) or set(state) | {"globals"} != {"weights", "stream", "globals"}:
                raise RunFolderError(f"checkpoint {order.path} does not hold a learner's weights and stream")
            self._build(order.worker, order.hyperparameters, order.seed)
            self._put_in(order.worker, state)

    def advance(self, orders: Sequence[Advance]) -> Iterator[Outcome]:
        """Train and evaluate, one worker or group after the other; what came of each at its end."""
        for order in orders:
            if order.died is not None:
                self._failures.died(order.worker, order.died)
        orders = sorted(orders, key=lambda order: self._learners.waits(order.worker))  # those first that are built
        for together in self._groups.split(orders):
            self._at_work([order.worker for order in together])
            alone, learners = self._spec.stacked == 1, self._learners.all_built()
            trained = {} if alone else self._groups.train(together, learners, self._dump)
            for order in together:
                self._at_work([order.worker])
                yield self._advance(order, trained.get(order.worker))

    def begin(self, order: Advance, count: int) -> Begun | Outcome:
        """Train the first ``count`` chunks of a worker's interval and give the worker away. One whose state cannot be
        saved there ends its interval here: nobody would have asked for it, were the worker not shared."""
        self._at_work([order.worker])
        start = time.perf_counter()
        parts = self._first_chunks(order, count)  # whose reference to the learner has gone when it is given away
        trained = time.perf_counter()
        parcel = self._give_half_way(order.worker)
        if parcel is None:
            return self._advance(order, begun=parts, seconds=trained - start)
        return Begun(parcel, parts, trained - start, time.perf_counter() - trained)

    def _give_half_way(self, worker: int) -> Parcel | None:
        """As ``give`` in the middle of an interval; None where the worker's state cannot be saved, and it stays."""
        if worker in self._failures:
            return self.give([worker])[0]
        try:
            state = checkpoint.dumps(self._learner(worker).state(), "state()")
        except BaseException as error:  # anybody's code
            if isinstance(error, KeyboardInterrupt):
                raise
            self._failures.raise_if_the_machine_failed(error, worker)
            return None
        recipe = self._learners.recipe(worker)
        self._learners.drop(worker, collect=True)
        return Parcel(worker, state, *recipe)

    def _first_chunks(self, order: Advance, count: int) -> chunks.Parts:
        if order.worker not in self._failures:
            learner = self._learner(order.worker)
            with self._failures.own_call(order.worker):
                return _train(learner, chunks.sizes(order.steps, self._spec.chunk)[:count])
        return []

    def finish(self, order: Advance, begun: Begun) -> Iterator[Outcome]:
        """Take a worker and train the rest of its interval, then evaluate. Raises as ``load``."""
        self._at_work([order.worker])
        start = time.perf_counter()
        self.take([begun.parcel])
        trip = max(begun.pack_seconds, time.perf_counter() - start)
        outcome = self._advance(order, begun=begun.parts, seconds=begun.train_seconds)
        if outcome.failure is None:
            outcome = replace(outcome, begun_seconds=begun.train_seconds, trip_seconds=trip)
        yield outcome

    def interval(self, order: Interval) -> Done:
        """One worker's interval, all of it. Raises as ``create``, ``load`` and ``save`` do."""
        outcome = self.become_and_advance(order)
        for saved in self.save(order.folder, NEXT, [order.advance.worker]):
            return Done(outcome, saved) if isinstance(saved, Saved) else Done(saved, None)
        return Done(outcome, None)

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
                self._failures.died(order.target, order.died)
                continue
            if isinstance(weights, Failure):
                self._failures.fail(order.target, weights)
                continue
            if order.moves and order.seed is not None:
                self._build(order.target, order.hyperparameters, order.seed)
            if order.target not in self._failures:
                learner = self._learner(order.target)
                received = None if weights is None else checkpoint.loads(weights)
                with self._failures.own_call(order.target, building=True):
                    if order.moves:
                        learner.load(weights=received)
                    # After load, since the donor's optimiser may have brought the donor's learning rate.
                    learner.set_hyperparameters(dict(order.hyperparameters))
                    self._learners.retuned(order.target, order.hyperparameters)

    def states(self, workers: Sequence[int]) -> Iterator[tuple[int, bytes | Outcome]]:
        """The whole states of those of ``workers`` that have a learner, as a checkpoint's bytes, or what tells that
        this one has failed at it."""
        for worker in workers:
            if worker in self._learners:
                self._at_work([worker])
                state = self._dump(worker)
                yield worker, self._failures.outcome(worker) if isinstance(state, Failure) else state

    def give(self, workers: Sequence[int]) -> list[Parcel]:
        """Those of ``workers`` that have a learner, or a failure to tell; here they are forgotten."""
        parcels = []
        for worker in workers:
            self._at_work([worker])
            self._groups.leave(worker)
            if worker in self._failures:
                parcels.append(Parcel(worker, self._failures.pop(worker)))
            elif worker in self._learners:
                recipe = self._learners.recipe(worker)
                parcels.append(Parcel(worker, self._dump(worker), *recipe))
                self._learners.drop(worker, collect=True)
                self._failures.pop(worker, None)
        return parcels

    def take(self, parcels: Sequence[Parcel]) -> None:
        """Workers that another process gave. Raises as ``load``."""
        for parcel in parcels:
            self._at_work([parcel.worker])
            if isinstance(parcel.state, Failure):
                self._failures.fail(parcel.worker, parcel.state)
                continue
            self._build(parcel.worker, parcel.hyperparameters, parcel.seed)
            self._put_in(parcel.worker, checkpoint.loads(parcel.state))

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        """Write the states of those of ``workers`` that have a learner; who fails at it is told. Raises OSError where
        the disk fails."""
        saved: list[Saved | Outcome] = []
        for worker, data in self.states(workers):
            if isinstance(data, Outcome):
                saved.append(data)
                continue
            name = f"{prefix}-w{worker}.pt"
            if self._durable:
                files.write(folder / name, data)
            else:
                durable.write(folder / name, data, fsync=False)
            saved.append(Saved(worker, name, len(data), files.digest(data)))
        return saved

    def report(self, hyperparameters: Mapping[str, Any], seed: int, weights: bytes) -> dict[str, float] | Failure:
        """What a learner with these weights says of them on data that the search did not see; its failure."""
        self._build(0, hyperparameters, seed)
        if 0 not in self._failures:
            learner = self._learner(0)
            with self._failures.own_call(0):
                learner.load(weights=checkpoint.loads(weights))
                return metrics_of(learner.report(seed), "report()")
        return self._failures.pop(0)

    def _build(self, worker: int, hyperparameters: Mapping[str, Any], seed: int) -> None:
        self._failures.pop(worker, None)
        self._learners.drop(worker)
        self._learners.make_room()
        with self._failures.own_call(worker, building=True):
            self._learners.add(worker, hyperparameters, seed)
            self._buildable = (hyperparameters, seed)
        if worker in self._failures and self._buildable is not None:
            self._check_surroundings(worker)

    def _check_surroundings(self, worker: int) -> None:
        """Raise MachineFailure where what could be built before cannot be any more: data is out of reach, say, and
        ``worker`` is not to blame."""
        values, seed = self._buildable  # type: ignore[misc]
        try:
            self._construct(values, seed)
        except BaseException as error:  # anybody's code
            if isinstance(error, KeyboardInterrupt):
                raise
            raise MachineFailure(f"no learner can be built any more: {failure_of(error).line}") from error

    def _construct(self, hyperparameters: Mapping[str, Any], seed: int) -> Isolated:
        # Each learner owns its settings: one that changes them must not change its neighbour's.
        settings = copy.deepcopy(dict(self._spec.settings))
        return Isolated(self._spec.learner, settings, dict(hyperparameters), seed, self._device)

    def _drop(self, worker: int) -> None:
        self._learners.drop(worker)
        self._lost.pop(worker, None)

    def _memory_advice(self) -> str:
        return devices.memory_advice(self._learners.built, self._spec.settings)

    def _advance(
        self, order: Advance, trained: Trained | None = None, begun: chunks.Parts = (), seconds: float = 0.0
    ) -> Outcome:
        """Train and evaluate; only evaluate where the worker has ``trained`` in its group, train the rest where its
        interval has ``begun``, which has taken ``seconds``."""
        if order.worker not in self._failures:
            learner = self._learner(order.worker)
            start = time.perf_counter()
            with self._failures.own_call(order.worker):
                if trained is None:
                    parts = [*begun, *_train(learner, chunks.sizes(order.steps, self._spec.chunk)[len(begun) :])]
                    seconds += time.perf_counter() - start
                else:
                    parts, seconds = trained.checked(), trained.seconds
                metrics = chunks.averaged(parts)
                start = time.perf_counter()
                objective = objective_of(learner.evaluate(order.evaluate_seed))
                took = time.perf_counter() - start
                if objective is None or isfinite(objective):
                    told = Outcome(order.worker, objective, metrics, train_seconds=seconds, evaluate_seconds=took)
                    return replace(told, lost=self._lost.pop(order.worker, ""))
                kind = "NaN" if isnan(objective) else "infinity"
                text = f"evaluate() returned {objective} after train() gave {metrics!s:.2000}"
                self._failures.fail(order.worker, Failure(kind, text))
        return self._failures.outcome(order.worker)

    def _learner(self, worker: int) -> Isolated:
        if worker not in self._learners:
            raise RuntimeError(f"worker {worker} has no learner")
        if self._learners.waits(worker):
            self._learners.make_room()
            with self._failures.own_call(worker):
                self._lost[worker] = lost_of(self._learners.wake(worker))
            self._failures.check_loaded(worker)
        return self._learners.get(worker)

    def _put_in(self, worker: int, state: Mapping[str, Any]) -> None:
        """Give a learner that has just been built its state."""
        if worker not in self._failures:
            with self._failures.own_call(worker):
                self._lost[worker] = lost_of(self._learner(worker).load(**state))
        self._failures.check_loaded(worker)

    def _dump(self, worker: int, half: str | None = None) -> bytes | Failure:
        """The bytes of a learner's state, or of one half of it; the failure of one that cannot be saved."""
        packed = self._learners.packed(worker)
        if packed is None:
            packed = self._pack(worker, self._learner(worker), half)
            return self._failures[worker] if packed is None else packed
        return checkpoint.dumps(checkpoint.loads(packed)[half]) if half else packed

    def _pack(self, worker: int, learner: Isolated, half: str | None = None) -> bytes | None:
        """The same of a learner that is built; None: it has failed at it."""
        with self._failures.own_call(worker):
            state = learner.state()
            if half:
                return checkpoint.dumps(state[half], f"state()[{half!r}]")
            return checkpoint.dumps(state, "state()")
        return None


def _train(learner: Isolated, sizes: Sequence[int]) -> list[tuple[int, chunks.Metrics]]:
    """Train chunks of so many steps; what each has given."""
    return [(steps, metrics_of(learner.train(steps))) for steps in sizes]

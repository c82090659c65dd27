"""Learners in actors of a Ray cluster, each actor with its own share of the workers, on any number of machines.

The controller, the journal and the run folder stay with this process. Weights go from actor to actor through Ray's
object store; only states to be saved come here. An actor or a machine that is lost is a MachineFailure: the controller
starts another engine, on the machines that are there then, and goes on from the last generation.
"""

from __future__ import annotations

import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import firerl
from firerl.base.disk import durable, files
from firerl.config.engine_options import RayOptions
from firerl.engine.balance.balance import Balance
from firerl.engine.copy_order import independent
from firerl.engine.host.host import NEXT
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
from firerl.engine.parcels import unpack
from firerl.engine.placement import Placement, trips
from firerl.engine.ray import ray_cluster
from firerl.engine.ray.portions import portions
from firerl.engine.ray.ray_actor import Node, Workers
from firerl.engine.sending import packed
from firerl.errors import FirerlError, SettingError
from firerl.storage import checkpoint

_START_SECONDS = 300.0  # a new actor imports torch and the learner's libraries, many at a time on one machine
_LOOK_SECONDS = 0.5
_SAVING = 4  # actors whose states are on their way here at a time, and states that are written at a time
_AHEAD = 2  # states that an actor makes before they are fetched: else all of them would lie in the object store
_FLIGHT = 128 * 10**6  # bytes of states in this process at a time (of one state, if that is larger)


class RayEngine:
    """An engine of ``count`` actors, see ``interface.Engine``; ``timeout`` and ``alone`` as in LocalEngine.

    Raises SettingError if there is no cluster, if it has less than the actors ask for, or if the learner cannot be sent
    to a node or imported there.
    """

    def __init__(
        self,
        spec: LearnerSpec,
        options: RayOptions,
        processes: int | None = None,
        timeout: float | None = None,
        workers: int | None = None,
        alone: Sequence[int] = (),
    ):
        self._ray = ray_cluster.connect(options, timeout)
        self._options, self._timeout = options, timeout
        # Where workers must stay, a cluster that grows is no reason to load them again.
        self._chosen = processes is None and options.workers_per_actor is None and spec.moves
        self._most = workers
        self.processes = ray_cluster.actor_count(options, processes, workers)
        if workers is not None:
            self.processes = min(self.processes, -(-workers // spec.stacked))
        self.placement = Placement(self.processes, spec.stacked, tuple(alone))
        self._balance = Balance(spec.chunk, spec.moves)
        self.actors: list[Any] = []
        self._under_way: dict[Any, Interval] = {}  # where nobody waits
        self._waited: dict[Any, float] = {}  # seconds for each of them
        self._looked = time.monotonic()  # when that was last counted
        self._closed = False
        try:
            self._start(packed(spec))
        except BaseException:
            self.close()
            raise

    @property
    def outdated(self) -> bool:
        """Whether the cluster has room for more actors than there are, and they were not chosen by the user."""
        if not self._chosen or (self._most is not None and self.processes >= self._most):
            return False
        return ray_cluster.room(self._options) > self.processes

    def _shrunk(self) -> bool:
        """Whether there is less room than when the actors were asked for: a lost machine is told with some delay."""
        return not self._options.wait_for_resources and ray_cluster.room(self._options) < self.processes

    def now(self) -> float:
        return time.perf_counter()

    def create(self, orders: Sequence[Create]) -> None:
        contents: dict[Path | None, Any] = {None: None}  # one file, if any
        for order in orders:
            if order.weights is not None and order.weights not in contents:
                contents[order.weights] = self._ray.put(checkpoint.packed(order.weights))
        split = self.placement.split(orders)
        self.ask("create", {p: (mine, contents[mine[0].weights]) for p, mine in split.items()}, split)

    def load(self, orders: Sequence[Load]) -> None:
        for portion in portions(orders, _FLIGHT):
            split = self.placement.split(portion)
            states = {p: [checkpoint.packed(order.path) for order in mine] for p, mine in split.items()}
            self.ask("load", {p: (mine, *states[p]) for p, mine in split.items()}, split)

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        self._balance.asked(orders)
        started, homes = time.monotonic(), self.placement
        shared, whole = homes.split_shared(orders)
        left: dict[int, list[Advance]] = {}  # what each actor is at, then what it does next
        streams: dict[Any, int] = {}
        beginning: dict[Any, Advance] = {}
        gone: list[int] = []
        outcomes: list[Outcome] = []

        def ask(process: int, method: str, orders: Sequence[Advance], *arguments: Any) -> Any:
            left.setdefault(process, []).extend(orders)
            stream = getattr(self.actors[process], method).options(num_returns="streaming").remote(*arguments)
            streams[stream] = process
            return stream

        def hear(stream: Any, process: int, answer: Any) -> None:
            if stream in beginning and answer is None:
                order = beginning.pop(stream)
                left[process].remove(order)
                gone.append(order.worker)
                ask(homes.shared[order.worker].process, "finish", [order], order, next(stream))
                return
            done = {outcome.worker for outcome in answer}
            left[process] = [order for order in left[process] if order.worker not in done]
            outcomes.extend(answer)
            for outcome in answer:
                self._balance.hear(homes, outcome)
                on_outcome(outcome)

        for order in shared:  # before what else these actors do
            begun = ask(homes.process_of(order.worker), "begin", [order], order, homes.shared[order.worker].first)
            beginning[begun] = order
        for process, mine in homes.split(whole).items():
            ask(process, "advance", mine, mine)
        self.stream("advance", streams, hear, lambda process: left[process][:1])
        self.placement = homes.gone_on(gone)
        self._balance.waited(time.monotonic() - started)
        return sorted(outcomes, key=lambda outcome: outcome.worker)

    def transfer(self, orders: Sequence[Transfer]) -> None:
        for batch in independent(orders):
            weights: dict[int, Any] = {}
            sources = sorted({order.source for order in batch if order.moves})
            for process, mine in self.placement.split(sources, lambda worker: worker).items():
                found = self.actors[process].weights.options(num_returns=len(mine)).remote(mine)
                weights.update(zip(mine, found if len(mine) > 1 else [found], strict=True))
            asked: dict[int, tuple[Any, ...]] = {}
            split = self.placement.split(batch, lambda order: order.target)
            for process, targets in split.items():
                needed = sorted({order.source for order in targets if order.moves})
                asked[process] = (targets, needed, *[weights[source] for source in needed])
            self.ask("receive", asked, split)

    def weights(self, worker: int) -> Any:
        process = self.placement.process_of(worker)
        answer = self.ask("weights", {process: ([worker],)}, {process: []})
        return unpack(worker, answer[process])

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        saved: list[Saved | Outcome] = []
        writing: deque[tuple[int, Future[Saved]]] = deque()

        def write(worker: int, data: bytes, digest: str) -> Saved:
            name = f"{prefix}-w{worker}.pt"
            files.write(folder / name, data, sync=False)
            return Saved(worker, name, len(data), digest)

        def hear(_: Any, __: int, state: Outcome | tuple[int, bytes, str]) -> None:
            if isinstance(state, Outcome):
                saved.append(state)
                return
            size = len(state[1])
            while writing and sum(before for before, _ in writing) + size > _FLIGHT:
                saved.append(writing.popleft()[1].result())
            writing.append((size, pool.submit(write, *state)))

        split = list(self.placement.split(sorted(workers), lambda worker: worker).items())
        with ThreadPoolExecutor(_SAVING, "firerl-save") as pool:  # most of it is waiting for the disk
            for begin in range(0, len(split), _SAVING):
                given = {"num_returns": "streaming", "_generator_backpressure_num_objects": _AHEAD}
                streams = {
                    self.actors[process].states.options(**given).remote(mine): process
                    for process, mine in split[begin : begin + _SAVING]
                }
                self.stream("save", streams, hear, lambda _: [])
            saved += [future.result() for _, future in writing]
        durable.sync(folder)
        return sorted(saved, key=lambda entry: entry.worker)

    def balance(self) -> int:
        before, moved, begun = self.placement, 0, time.monotonic()
        self.placement = self._balance.after(before)
        for workers, old, new in trips(before, self.placement):
            parcels = self.actors[old].give.remote(workers)
            moved += self.ask("take", {new: (parcels,)}, {new: []})[new]
        self._balance.took(time.monotonic() - begun, moved)
        return moved

    def process_of(self, worker: int) -> int:
        return self.placement.process_of(worker)

    def begin(self, order: Interval) -> None:
        process = self.process_of(order.advance.worker)
        contents = {path: checkpoint.packed(path) for path in order.files}
        reference = self.actors[process].interval.remote(order, contents)
        self._under_way[reference], self._waited[reference] = order, 0.0

    def next(self) -> Done:
        while True:
            ready, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=_LOOK_SECONDS)
            # More is no silence of theirs: this process was stopped itself, maybe the whole machine.
            waited = min(time.monotonic() - self._looked, 2 * _LOOK_SECONDS)
            self._looked = time.monotonic()
            for reference, order in self._under_way.items():
                self._waited[reference] += waited
                if self._timeout is not None and self._waited[reference] > self._timeout and reference not in ready:
                    process = self.process_of(order.advance.worker)
                    raise self._silent("advance", process, self._timeout, [order.advance])
            if ready:
                return self._done(ready[0])

    def _done(self, reference: Any) -> Done:
        order = self._under_way.pop(reference)
        del self._waited[reference]
        worker = order.advance.worker
        outcome, state = self._get(reference, "advance", self.process_of(worker), [order.advance])
        if state is None:
            return Done(outcome, None)
        name = f"{NEXT}-w{worker}.pt"
        files.write(order.folder / name, state)
        return Done(outcome, Saved(worker, name, len(state), files.digest(state)))

    def close(self) -> None:
        self._closed = True
        if self._ray.is_initialized():
            for actor in self.actors:
                self._ray.kill(actor, no_restart=True)
        self.actors = []

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, sent: bytes) -> None:
        options = {"num_cpus": self._options.cpus_per_actor, "num_gpus": self._options.gpus_per_actor}
        kind = self._ray.remote(**options, max_restarts=0)(Workers)
        count = self.placement.all_processes
        self.actors = [kind.remote() for _ in range(self.processes)]
        # Those that are alone come besides: a core more each would have to be there.
        self.actors += [kind.options(num_cpus=0).remote() for _ in range(count - self.processes)]
        spec, paths = self._ray.put(sent), [str(Path(path).resolve()) for path in sys.path]
        seconds = None if self._options.wait_for_resources else max(self._timeout or 0.0, _START_SECONDS)
        asked = {process: (spec, self.placement.stands_for(process), paths) for process in range(count)}
        nodes = self.ask("start", asked, {}, seconds)
        here = Node("", firerl.__version__, platform.python_version())
        for node in nodes.values():
            if (node.firerl, node.python) != (here.firerl, here.python):
                raise SettingError(
                    f"node {node.host} has firerl {node.firerl} and Python {node.python}, this process firerl "
                    f"{here.firerl} and Python {here.python}: they must be the same"
                )

    def ask(
        self,
        method: str,
        arguments: Mapping[int, tuple[Any, ...]],
        orders: Mapping[int, Sequence[Any]],
        timeout: float | None = None,
    ) -> dict[int, Any]:
        """Call a method of these actors; ``orders`` are those of each, for blame."""
        if self._closed:
            raise RuntimeError("this engine is closed: start a new one")
        asked = {getattr(self.actors[p], method).remote(*given): p for p, given in arguments.items()}
        answers: dict[int, Any] = {}
        errors: dict[int, Exception] = {}
        begun, limit = time.monotonic(), timeout or self._timeout
        waiting = list(asked)
        while waiting:
            ready, waiting = self._ray.wait(waiting, num_returns=1, timeout=_LOOK_SECONDS)
            for reference in ready:
                process = asked[reference]
                try:
                    answers[process] = self._get(reference, method, process, orders.get(process, ()))
                except (FirerlError, OSError) as error:
                    errors[process] = error
            if waiting and method == "start" and self._shrunk():
                raise MachineFailure(f"the cluster has no room for {self.processes} actors any more")
            if waiting and limit is not None and time.monotonic() - begun > limit:
                raise self._silent(method, asked[waiting[0]], limit, orders.get(asked[waiting[0]], ()))
        if errors:
            raise errors[min(errors)]
        return answers

    def stream(
        self,
        method: str,
        streams: dict[Any, int],
        hear: Callable[[Any, int, Any], None],
        orders: Callable[[int], Sequence[Any]],
    ) -> None:
        """Hear (stream, process, answer) of the actors' ``streams`` until all have ended; ``hear`` may add some."""
        errors: dict[int, Exception] = {}
        silent = dict.fromkeys(streams.values(), 0.0)  # seconds
        while streams:
            begun = time.monotonic()
            self._ray.wait(list(streams), num_returns=1, timeout=_LOOK_SECONDS / 10)
            ready, _ = self._ray.wait(list(streams), num_returns=len(streams), timeout=0)
            waited = min(time.monotonic() - begun, 2 * _LOOK_SECONDS)
            spoken = {streams[stream] for stream in ready}
            for stream in ready:
                process = streams[stream]
                try:
                    hear(stream, process, self._get(next(stream), method, process, orders(process)))
                except StopIteration:
                    del streams[stream]
                except (FirerlError, OSError) as error:
                    errors[process] = error
                    del streams[stream]
            for process in set(streams.values()):
                silent[process] = 0.0 if process in spoken else silent.get(process, 0.0) + waited
                if self._timeout is not None and silent[process] > self._timeout:
                    raise self._silent(method, process, self._timeout, orders(process))
        if errors:
            raise errors[min(errors)]

    def _get(self, reference: Any, method: str, process: int, orders: Sequence[Any]) -> Any:
        """An answer; an actor's own error as it was raised there, a lost actor or object as MachineFailure."""
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, FirerlError | OSError):
                raise cause from None
            if isinstance(cause, MachineFailure | MemoryError):
                fatal = isinstance(cause, MemoryError) or cause.memory
                raise self._blamed(method, process, str(cause), orders, fatal) from None
            if isinstance(cause, exceptions.RayError):
                raise self._lost(method, process, orders, cause) from None
            raise RuntimeError(f"in an actor of the engine:\n{error}") from None
        except exceptions.RayError as error:
            raise self._lost(method, process, orders, error) from None

    def _lost(self, method: str, process: int, orders: Sequence[Any], error: BaseException) -> MachineFailure:
        said = (str(error).strip() or repr(error)).splitlines()[0].partition(":")[0]
        return self._blamed(method, process, f"actor {process} is lost: {said:.120}", orders)

    def _silent(self, method: str, process: int, limit: float, orders: Sequence[Any]) -> Exception:
        if method == "start":
            return SettingError(
                f"engine=ray: actor {process} has not started within {limit:g} s; the cluster may have no room for "
                f"{ray_cluster.asked(self._options, self.placement.all_processes)} besides what else runs there"
            )
        return self._blamed(method, process, f"actor {process} has not answered for {limit:g} s: it hangs", orders)

    def _blamed(
        self, method: str, process: int, text: str, orders: Sequence[Any], memory: bool = True
    ) -> MachineFailure:
        """The failure of an actor, with whom it may have come of: the first that has not reported."""
        moving = bool(self.placement.moved or self.placement.shared)
        if not memory:
            return MachineFailure(text, moving=moving)
        suspects = [order.target if isinstance(order, Transfer) else order.worker for order in orders]
        alone = process >= self.processes
        if alone:
            suspects = [self.placement.alone[process - self.processes]]
        workers = f" ({method} of worker {', '.join(map(str, suspects))})" if suspects else ""
        return MachineFailure(
            text + workers, process=process, call=method, suspects=suspects, alone=alone, moving=moving
        )

"""Learners in processes of this machine, each process with its own share of the workers.

The controller sends each process at most one request at a time, and reads what comes back from all of them at once.
Processes are started anew (*spawn*), never forked: a fork copies a process whose other threads (torch's, BLAS's,
CUDA's) and their locks do not come along, which hangs now and then, and it would bring along whatever the controller
has in memory. ``multiprocess`` with dill carries learner classes from scripts and notebooks by value.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import multiprocess
import multiprocess.connection
import multiprocess.resource_tracker

from firerl.base.cores import SHARERS
from firerl.engine.balance.balance import Balance
from firerl.engine.copy_order import independent
from firerl.engine.failures import Failure
from firerl.engine.host import descendants
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
from firerl.engine.local.local_process import serve
from firerl.engine.parcels import Begun, unpack
from firerl.engine.placement import Placement, trips
from firerl.engine.sending import packed
from firerl.engine.threads import ONE_THREAD
from firerl.errors import SettingError

Request = tuple[Any, ...]  # the name of a Host's method, then its arguments

_START_SECONDS = 300.0  # importing torch and a learner's libraries from a slow, shared disk takes a while
_LOOK_SECONDS = 0.5  # how often the life of silent processes is looked after


def _ignore(_: Outcome) -> None:
    pass


class LocalEngine:
    """An engine of ``processes`` processes. See ``interface.Engine``.

    ``timeout``: seconds without an answer from a process that owes one, after which it counts as hung. Workers that are
    to be ``alone`` have a process each, besides.
    Raises SettingError if the learner cannot be sent to a process or imported there.
    """

    outdated = False

    def __init__(self, spec: LearnerSpec, processes: int, timeout: float | None = None, alone: Sequence[int] = ()):
        if multiprocess.current_process().daemon:  # a child of ours, in the middle of importing the learner
            raise SettingError("its module starts a run when it is imported: put that under a main guard")
        self.processes = processes
        self._placement = Placement(processes, spec.stacked, tuple(alone))
        self._balance = Balance(spec.chunk, spec.moves)
        self._asked: dict[int, Request] = {}  # the last of each process
        self._at_work: dict[int, Sequence[int]] = {}  # whom it computes
        self._timeout = timeout
        self._busy = True  # a request is out; stays True for good once one has failed half-way
        self._started = False
        self._under_way: dict[int, float] = {}  # processes in the middle of an interval; seconds without a word
        self._done: list[Done] = []  # that nobody has asked for yet
        self._pipes: list[Any] = []  # multiprocess has no types
        self._children: list[Any] = []
        self._mark = descendants.new_mark()
        self._guard = descendants.Guard(self._mark)
        try:
            self._start(packed(spec))
        except BaseException:
            self.close()
            raise

    def now(self) -> float:
        return time.perf_counter()

    def create(self, orders: Sequence[Create]) -> None:
        self._ask({p: ("create", mine) for p, mine in self._placement.split(orders).items()})

    def load(self, orders: Sequence[Load]) -> None:
        self._ask({p: ("load", mine) for p, mine in self._placement.split(orders).items()})

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []

        def hear(outcome: Outcome) -> None:
            outcomes.append(outcome)
            self._balance.hear(self._placement, outcome)
            on_outcome(outcome)

        self._balance.asked(orders)
        started = time.monotonic()
        shared, whole = self._placement.split_shared(orders)
        requests: dict[int, list[Request]] = {}
        for order in shared:
            begun = ("begin", order, self._placement.shared[order.worker].first)
            requests.setdefault(self._placement.process_of(order.worker), []).append(begun)
        for process, mine in self._placement.split(whole).items():
            requests.setdefault(process, []).append(("advance", mine))
        gone = self._ask_in_turn(requests, hear)
        self._placement = self._placement.gone_on(gone)
        self._balance.waited(time.monotonic() - started)
        return sorted(outcomes, key=lambda outcome: outcome.worker)

    def transfer(self, orders: Sequence[Transfer]) -> None:
        for batch in independent(orders):
            sources = {order.source for order in batch if order.moves}
            answers = self._ask({p: ("weights", mine) for p, mine in self._split_workers(sources).items()})
            weights = {worker: packed for answer in answers.values() for worker, packed in answer.items()}
            requests: dict[int, list[Any]] = {}
            for order in batch:
                moved = weights[order.source] if order.moves else None
                requests.setdefault(self._placement.process_of(order.target), []).append((order, moved))
            self._ask({process: ("receive", mine) for process, mine in requests.items()})

    def weights(self, worker: int) -> Any:
        process = self._placement.process_of(worker)
        return unpack(worker, self._ask({process: ("weights", [worker])})[process][worker])

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        answers = self._ask({p: ("save", folder, prefix, mine) for p, mine in self._split_workers(workers).items()})
        return sorted((saved for answer in answers.values() for saved in answer), key=lambda saved: saved.worker)

    def balance(self) -> int:
        before, moved, begun = self._placement, 0, time.monotonic()
        self._placement = self._balance.after(before)
        for workers, old, new in trips(before, self._placement):
            parcels = self._ask({old: ("give", workers)})[old]
            self._ask({new: ("take", parcels)})
            moved += len(parcels)
        self._balance.took(time.monotonic() - begun, moved)
        return moved

    @property
    def _moving(self) -> bool:
        """Whether workers live elsewhere than at the start, or are about to."""
        return bool(self._placement.moved or self._placement.shared)

    def process_of(self, worker: int) -> int:
        return self._placement.process_of(worker)

    def report(self, hyperparameters: Mapping[str, Any], seed: int, weights: bytes) -> dict[str, float] | Failure:
        """As ``Host.report``, in the first process."""
        answer: dict[str, float] | Failure = self._ask({0: ("report", hyperparameters, seed, weights)})[0]
        return answer

    def begin(self, order: Interval) -> None:
        process = self._placement.process_of(order.advance.worker)
        self._send(process, ("interval", order))
        self._under_way[process] = 0.0

    def next(self) -> Done:
        if not self._done:
            answers, errors = self._collect(self._under_way, _ignore, self._timeout, first=True)
            if errors:
                self._busy = True
                raise errors[min(errors)]
            self._done += [answers[process] for process in sorted(answers)]
        return self._done.pop(0)

    def close(self) -> None:
        # SIGKILL and no farewell: a process may be deep in a simulation, and files appear by rename only.
        living = [child.pid for child in self._children if child.exitcode is None]
        descendants.kill(descendants.tree(living))
        for child in self._children:
            child.join()
        descendants.end(self._mark)
        self._guard.close()
        for pipe in self._pipes:
            pipe.close()
        self._busy = True

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _split_workers(self, workers: Sequence[int] | set[int]) -> dict[int, list[int]]:
        return self._placement.split(sorted(workers), lambda worker: worker)

    def _start(self, sent: bytes) -> None:
        context = multiprocess.get_context("spawn")
        # The kernel takes the end of the *thread* that starts a process for its parent's: only the main one lasts.
        tied = threading.current_thread() is threading.main_thread()
        with _fit_for_children(self._placement.all_processes, self._mark):
            for number in range(self._placement.all_processes):
                ours, theirs = context.Pipe()
                arguments = (theirs, tied, self._placement.stands_for(number))
                child = context.Process(target=serve, args=arguments, name=f"firerl-{number}", daemon=True)
                self._pipes.append(ours)
                child.start()
                self._children.append(child)
                theirs.close()
        for number, pipe in enumerate(self._pipes):
            try:
                pipe.send_bytes(sent)
            except OSError:
                raise self._death(number) from None
        limit = None if self._timeout is None else max(self._timeout, _START_SECONDS)
        _, errors = self._collect(dict.fromkeys(range(self._placement.all_processes), 0.0), _ignore, limit)
        if errors:
            raise errors[min(errors)]
        self._started = True
        self._busy = False

    def _ask(self, requests: Mapping[int, Request]) -> dict[int, Any]:
        """Send each process its request, then wait for every answer."""
        if self._busy:
            raise RuntimeError("this engine is closed, or an earlier call failed half-way: start a new one")
        self._busy = True
        for process, request in requests.items():
            self._send(process, request)
        answers, errors = self._collect(dict.fromkeys(requests, 0.0), _ignore, self._timeout)
        self._busy = False  # all have answered, be it with an error
        if errors:
            raise errors[min(errors)]
        return answers

    def _ask_in_turn(self, requests: dict[int, list[Request]], on_outcome: Callable[[Outcome], None]) -> list[int]:
        """Send each process its requests, one after the other; what it has begun is for another one to finish. Who has
        gone there."""
        if self._busy:
            raise RuntimeError("this engine is closed, or an earlier call failed half-way: start a new one")
        self._busy = True
        owing: dict[int, float] = {}
        errors: dict[int, Exception] = {}
        gone: list[int] = []
        while owing or (any(requests.values()) and not errors):
            for process, waiting in requests.items():
                if waiting and process not in owing and not errors:
                    self._send(process, waiting.pop(0))
                    owing[process] = 0.0
            answers, found = self._collect(owing, on_outcome, self._timeout, first=True)
            errors.update(found)
            for process, begun in answers.items():
                if isinstance(begun, Begun):
                    order = self._asked[process][1]
                    finisher = self._placement.shared[order.worker].process
                    gone.append(order.worker)
                    requests.setdefault(finisher, []).append(("finish", order, begun))
                elif begun is not None:  # its outcome: it has stayed
                    on_outcome(begun)
        if errors:  # and _busy: workers that were on their way are nowhere
            raise errors[min(errors)]
        self._busy = False
        return gone

    def _send(self, process: int, request: Request) -> None:
        self._asked[process], self._at_work[process] = request, ()
        try:
            self._pipes[process].send(request)
        except OSError:
            raise self._death(process) from None

    def _collect(
        self,
        owing: dict[int, float],
        on_outcome: Callable[[Outcome], None],
        timeout: float | None,
        first: bool = False,
    ) -> tuple[dict[int, Any], dict[int, Exception]]:
        """Read from the processes that owe an answer, with the seconds of silence of each, until each has given it, or
        one or more as the ``first``; who has answered is taken out of ``owing``."""
        answers: dict[int, Any] = {}
        errors: dict[int, Exception] = {}
        while owing and not (first and (answers or errors)):
            pipes = {self._pipes[process]: process for process in owing}
            begun = time.monotonic()
            ready = multiprocess.connection.wait(list(pipes), _LOOK_SECONDS)
            # More is no silence of theirs: this process was stopped itself, maybe the whole group or the machine.
            waited = min(time.monotonic() - begun, 2 * _LOOK_SECONDS)
            for process in [pipes[pipe] for pipe in ready]:
                kind, value = self._receive(process)
                owing[process] = 0.0
                if kind == "at work":
                    self._at_work[process] = value
                    continue
                if kind == "outcome":
                    on_outcome(value)
                    continue
                del owing[process]
                if isinstance(value, MachineFailure):
                    value.moving = self._moving
                    raise self._blamed(process, str(value)) if value.memory else value
                (errors if kind == "error" else answers)[process] = value
            for process in sorted(owing.keys() - {pipes[pipe] for pipe in ready}):
                # A dead process's pipe stays open while a process that it started lives: look at itself too.
                if self._children[process].exitcode is not None and not self._pipes[process].poll():
                    raise self._death(process)
                owing[process] += waited
                if timeout is not None and owing[process] > timeout:
                    raise self._blamed(process, f"process {process} has not answered for {timeout:g} s: it hangs")
        return answers, errors

    def _receive(self, process: int) -> tuple[str, Any]:
        try:
            return self._pipes[process].recv()
        except (EOFError, OSError):
            raise self._death(process) from None

    def _death(self, process: int) -> Exception:
        """The error for a process that has ended, or that has cut its pipe."""
        child = self._children[process]
        child.join(5)
        code = child.exitcode
        if code is not None and code < 0:
            hint = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
            return self._blamed(process, f"process {process} was killed by {signal.Signals(-code).name}{hint}")
        if code and not self._started:
            return SettingError(f"process {process} could not start (exit code {code}); its own error is above")
        return self._blamed(process, f"process {process} ended with exit code {code}")

    def _blamed(self, process: int, text: str) -> MachineFailure:
        """The failure of a process, with whom it may have come of."""
        call, *arguments = self._asked.get(process, ("start",))
        suspects = self._at_work.get(process, ())
        if not suspects and call in ("create", "advance"):
            suspects = [order.worker for order in arguments[0]]
        elif not suspects and call == "receive":
            suspects = [order.target for order, _ in arguments[0]]
        if call == "interval":  # of one worker, whose own failure is known by its advance
            call, suspects = "advance", [arguments[0].advance.worker]
        if call in ("begin", "finish"):  # of one worker, too, but maybe it has not come to that yet
            call = "advance"
        alone = process >= self._placement.processes
        if alone:
            suspects = [self._placement.alone[process - self._placement.processes]]
        workers = f" ({call} of worker {', '.join(map(str, suspects))})" if suspects else ""
        return MachineFailure(
            text + workers, process=process, call=call, suspects=suspects, alone=alone, moving=self._moving
        )


@contextlib.contextmanager
def _fit_for_children(processes: int, mark: str) -> Iterator[None]:
    """While children start: what they shall inherit."""
    told = {**ONE_THREAD, SHARERS: str(processes), mark: "1"}
    multiprocess.resource_tracker.ensure_running()  # else it starts in between and unblocks SIGINT
    before = {name: os.environ.get(name) for name in told}
    main = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until serve() ignores it
    try:
        os.environ.update(told)  # read when numpy and torch are imported
        # An empty __main__ keeps spawn from running the user's script again in each child, where one without
        # `if __name__ == "__main__":` would start the run once more. The learner's class does not need it.
        sys.modules["__main__"] = types.ModuleType("__main__")
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

"""Workers that train as one computation: their stacks, and the way back where one raises."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, Any

from firerl.engine.balance import chunks
from firerl.engine.failures import Failure, failure_of, raise_if_the_machine_failed
from firerl.engine.host.global_generators import Isolated
from firerl.engine.interface import Advance, LearnerSpec
from firerl.engine.returned import metrics_of
from firerl.learner import Stack
from firerl.storage import checkpoint

Dump = Callable[[int], bytes | Failure]  # the state of a worker


@dataclass(frozen=True)
class Trained:
    """What the training of one worker in its group has given."""

    parts: Sequence[tuple[int, Any]]  # steps of each chunk, and what train() returned
    failure: BaseException | None  # with which the member failed
    seconds: float  # its share

    def checked(self) -> list[tuple[int, chunks.Metrics]]:
        """Steps and metrics of each chunk. Raises what the member has failed with."""
        if self.failure is not None:
            raise self.failure
        return [(steps, metrics_of(returned)) for steps, returned in self.parts]


@dataclass
class Groups:
    """The groups of one process; ``LearnerSpec.stacked`` says how many workers with consecutive ids each has.

    A group computes all its slots whoever trains, so that what becomes of a worker does not depend on the others. What
    it draws from global generators comes from those of the first that trains.
    """

    spec: LearnerSpec
    device: str
    _stacks: dict[int, Stack] = field(default_factory=dict)

    def split(self, orders: Sequence[Advance]) -> Iterator[list[Advance]]:
        """Orders that go together, in the order of their first: of one group, for the same number of steps."""
        split: dict[tuple[int, int], list[Advance]] = {}
        for order in orders:
            split.setdefault((order.worker // self.spec.stacked, order.steps), []).append(order)
        yield from split.values()

    def train(self, orders: Sequence[Advance], learners: Mapping[int, Isolated], dump: Dump) -> dict[int, Trained]:
        """Train the workers of these orders that have a learner. {}: each is as before, to train for itself.

        That is where the group raises: only so it shows whose exception it is. Their states wait in a file meanwhile,
        since a second copy of every member in memory would cost more than a group saves.
        """
        size, steps = self.spec.stacked, orders[0].steps
        group = orders[0].worker // size
        slots = range(group * size, (group + 1) * size)
        with TemporaryFile(prefix="firerl-group-") as before:
            lengths = {}
            for worker in sorted(order.worker for order in orders if order.worker in learners):
                if not isinstance(state := dump(worker), Failure):
                    lengths[worker] = before.write(state)
            if not (workers := list(lengths)):
                return {}
            members = [learners[w].learner if w in workers else None for w in slots]
            begun = time.perf_counter()
            try:
                with learners[workers[0]].together():
                    parts, failed = _train(self._stack(group), members, chunks.sizes(steps, self.spec.chunk))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # anybody's code
                raise_if_the_machine_failed(error, f"the group of workers {workers}", self.device)
                self._stacks.pop(group, None)
                told = failure_of(error).line
                warnings.warn(
                    f"workers {workers} trained as one and raised {told}: each trains for itself", stacklevel=2
                )
                return _put_back(before, lengths, learners)
        share = (time.perf_counter() - begun) / len(workers)
        return {w: Trained(parts[slot], failed.get(slot), share) for slot, w in enumerate(slots) if w in workers}

    def leave(self, worker: int) -> None:
        """The group of ``worker`` trains in another process from now on."""
        self._stacks.pop(worker // self.spec.stacked, None)

    def _stack(self, group: int) -> Stack:
        if group not in self._stacks:
            spec = self.spec
            self._stacks[group] = spec.learner.stack(dict(spec.settings), spec.stacked, self.device)
        return self._stacks[group]


def _train(
    stack: Stack, members: Sequence[Any], sizes: Sequence[int]
) -> tuple[list[list[tuple[int, Any]]], dict[int, BaseException]]:
    """Train chunks of so many steps; what they have given by slot, and who failed. Raises what the stack raises."""
    parts: list[list[tuple[int, Any]]] = [[] for _ in members]
    failed: dict[int, BaseException] = {}
    for steps in sizes:
        training = [None if slot in failed else member for slot, member in enumerate(members)]
        if not any(member is not None for member in training):
            break
        returned = list(stack.train(training, steps))
        if [given is None for given in returned] != [member is None for member in training]:
            raise TypeError(f"train() of a stack must return a list with one entry for each of {len(members)} slots")
        for slot, given in enumerate(returned):
            if isinstance(given, BaseException):
                failed[slot] = given
            elif given is not None:
                parts[slot].append((steps, given))
    return parts, failed


def _put_back(before: IO[bytes], lengths: Mapping[int, int], learners: Mapping[int, Isolated]) -> dict[int, Trained]:
    """Give every worker its state again; one that does not take it has failed."""
    failed = {}
    before.seek(0)
    for worker, length in lengths.items():
        try:
            learners[worker].load(**checkpoint.loads(before.read(length)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # anybody's code
            raise_if_the_machine_failed(error, f"worker {worker}")
            failed[worker] = Trained((), error, 0.0)
    return failed

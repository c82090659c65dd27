"""What lives in an actor of a Ray cluster: the learners of some workers."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import firerl
from firerl.base.disk import files
from firerl.engine.failures import Failure, kind_of, message_of
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, Interval, Load, Outcome, Transfer
from firerl.engine.parcels import Begun, Parcel
from firerl.engine.sending import unpacked
from firerl.errors import SettingError
from firerl.storage import checkpoint

_BATCH_SECONDS = 0.1  # outcomes travel together where they come faster


@dataclass(frozen=True)
class Node:
    """What an actor says of where it lives."""

    host: str
    firerl: str
    python: str


class Workers:
    """What lives in an actor: a Host and its learners."""

    def start(self, packed: bytes, process: int, paths: Sequence[str]) -> Node:
        """Import the learner; modules are looked for in the controller's ``paths``, too.

        Raises SettingError where that cannot be done, or where its device does not work.
        """
        sys.path += [path for path in paths if path not in sys.path]
        node = Node(platform.node(), firerl.__version__, platform.python_version())
        try:
            spec = unpacked(packed)
        except Exception as error:
            text = f"node {node.host} cannot import the learner: {kind_of(error)}: {message_of(error)}"
            raise SettingError(text) from None
        self._host = Host(spec, process=process)
        return node

    def create(self, orders: Sequence[Create], weights: bytes | None) -> None:
        """As Host.create; ``weights`` are those of the orders' file."""
        self._host.create(orders, lambda path: checkpoint.unpacked(weights or b"", path))

    def load(self, orders: Sequence[Load], *states: bytes) -> None:
        """As Host.load, with the contents of the orders' files."""
        contents = dict(zip([order.path for order in orders], states, strict=True))
        self._host.load(orders, lambda path: checkpoint.unpacked(contents[path], path))

    def advance(self, orders: Sequence[Advance]) -> Iterator[list[Outcome]]:
        """As Host.advance; what has come of the orders, in parts."""
        part, sent = [], time.monotonic()
        for outcome in self._host.advance(orders):
            part.append(outcome)
            if time.monotonic() - sent >= _BATCH_SECONDS:
                yield part
                part, sent = [], time.monotonic()
        if part:
            yield part

    def begin(self, order: Advance, count: int) -> Iterator[Any]:
        """As Host.begin: None, then what the actor needs that the worker goes to; as ``advance`` of one that stays."""
        begun = self._host.begin(order, count)
        if isinstance(begun, Outcome):
            yield [begun]
        else:
            yield None
            yield begun

    def finish(self, order: Advance, begun: Begun) -> Iterator[list[Outcome]]:
        """As Host.finish."""
        yield list(self._host.finish(order, begun))

    def interval(self, order: Interval, contents: Mapping[Path, bytes]) -> tuple[Outcome, bytes | None]:
        """As Host.interval, with the contents of the files that ``order`` names, and the state in place of its file."""
        outcome = self._host.become_and_advance(order, lambda path: checkpoint.unpacked(contents[path], path))
        for _, state in self._host.states([order.advance.worker]):
            return (state, None) if isinstance(state, Outcome) else (outcome, state)
        return outcome, None

    def weights(self, workers: Sequence[int]) -> Any:
        """Of each worker as Host.receive takes them; one by itself, since each goes its own way."""
        packed = self._host.weights(workers)
        return tuple(packed[worker] for worker in workers) if len(workers) > 1 else packed[workers[0]]

    def receive(self, orders: Sequence[Transfer], sources: Sequence[int], *weights: bytes | Failure) -> None:
        """As Host.receive; the weights of ``sources``, in their order."""
        by_source = dict(zip(sources, weights, strict=True))
        self._host.receive([(order, by_source[order.source] if order.moves else None) for order in orders])

    def give(self, workers: Sequence[int]) -> list[Parcel]:
        """As Host.give."""
        return self._host.give(workers)

    def take(self, parcels: Sequence[Parcel]) -> int:
        """As Host.take; how many."""
        self._host.take(parcels)
        return len(parcels)

    def states(self, workers: Sequence[int]) -> Iterator[Outcome | tuple[int, bytes, str]]:
        """As Host.states, each with its digest."""
        for worker, data in self._host.states(workers):
            yield data if isinstance(data, Outcome) else (worker, data, files.digest(data))

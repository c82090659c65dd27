"""The learners of one process: some are built, the states of the others wait in host memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

from firerl.engine.host.global_generators import Isolated
from firerl.storage import checkpoint

Build = Callable[[Mapping[str, Any], int], Isolated]  # hyperparameters, seed


class Roster:
    """Learners by worker, at most ``room`` of them built at a time (None: all).

    The one that was used longest ago makes way. Its state stays behind as a checkpoint's bytes, and when its turn
    comes it is built again from them, as on a resume: by the contract of ``Learner`` it goes on to the bit.

    With ``collect`` a learner that refers to itself, too, frees its memory when it makes way: a tenth of a second each,
    but a GPU that is full does not make Python look for garbage.
    """

    def __init__(
        self,
        build: Build,
        pack: Callable[[int, Isolated], bytes | None],
        room: int | None = None,
        collect: bool = False,
    ):
        self._build = build
        self._pack = pack
        self._room = room
        self._collect = collect
        self._built: dict[int, Isolated] = {}  # the one used longest ago comes first
        self._waiting: dict[int, bytes] = {}
        self._recipes: dict[int, tuple[Mapping[str, Any], int]] = {}  # what to build each with

    def __contains__(self, worker: int) -> bool:
        """Whether the worker has a learner, built or waiting."""
        return worker in self._built or worker in self._waiting

    @property
    def built(self) -> int:
        """How many learners are built."""
        return len(self._built)

    def all_built(self) -> Mapping[int, Isolated]:
        """The learners that are built, by worker."""
        return self._built

    def waits(self, worker: int) -> bool:
        """Whether the worker's learner must be built again before it can be used."""
        return worker in self._waiting

    def packed(self, worker: int) -> bytes | None:
        """The state of a learner that waits, a checkpoint's bytes; None where it is built."""
        return self._waiting.get(worker)

    def add(self, worker: int, hyperparameters: Mapping[str, Any], seed: int) -> None:
        """Build the worker's learner anew. Raises what its constructor raises; then the worker has none."""
        self.drop(worker)  # first, so that the old and the new are never in memory together
        self._built[worker] = self._build(hyperparameters, seed)
        self._recipes[worker] = (hyperparameters, seed)

    def get(self, worker: int) -> Isolated:
        """The worker's learner, which must be built."""
        self._built[worker] = learner = self._built.pop(worker)  # to the end: used last
        return learner

    def wake(self, worker: int) -> str | None:
        """Build the learner of a worker that waits; what its ``load`` has told. Raises what the learner raises."""
        learner = self._build(*self._recipes[worker])
        lost = learner.load(**checkpoint.loads(self._waiting[worker]))
        del self._waiting[worker]
        self._built[worker] = learner
        return lost

    def retuned(self, worker: int, hyperparameters: Mapping[str, Any]) -> None:
        """Keep in mind that the worker's learner has other hyperparameters from now on."""
        self._recipes[worker] = (hyperparameters, self._recipes[worker][1])

    def recipe(self, worker: int) -> tuple[Mapping[str, Any], int]:
        """The hyperparameters and the seed that the worker's learner would be built with again."""
        return self._recipes[worker]

    def drop(self, worker: int, collect: bool = False) -> None:
        """Forget the worker's learner, if it has one. ``collect``: no other comes in its place."""
        self._built.pop(worker, None)
        self._waiting.pop(worker, None)
        if collect and self._collect:
            gc.collect()

    def make_room(self) -> None:
        """Let learners wait until one more may be built; of one that cannot be packed nothing stays.

        Raises what ``pack`` raises."""
        while self._room is not None and len(self._built) >= self._room:
            worker = next(iter(self._built))
            state = self._pack(worker, self._built[worker])
            self._built.pop(worker, None)
            if state is not None:
                self._waiting[worker] = state
            if self._collect:
                gc.collect()

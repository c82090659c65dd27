"""Which worker kills its process: what the machine's failures at one interval tell, and what is tried next.

A process that dies takes all its workers along, and a machine may be to blame. So the interval is computed again as it
was. Where it kills the same process again, a worker of it gets a process of its own: the one that was at work, then, if
that is not the one and the others' process dies still, the next that was. Who kills or hangs a process of its own twice
has failed: no machine is left to blame that another attempt would mend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from firerl.engine.interface import Advance, Create, MachineFailure, Transfer

Order = TypeVar("Order", Create, Transfer, Advance)
Point = tuple[str, int, int]  # what was done (create, receive, advance), at which step, for which worker

DIED = "died"  # the failure of such a learner, as the journal has it
AGAIN = 2  # so many deaths at one interval are no accident
# What a learner's own failure can come of. One that kills its process when it is saved or loaded stops the run, as one
# does that raises there.
_CALLS = {Create: "create", Transfer: "receive", Advance: "advance"}


@dataclass(frozen=True)
class Suspects:
    """What is known of the interval that is computed again."""

    deaths: Mapping[tuple[str, int, int], int] = field(default_factory=dict)  # by call, step, process
    alone: tuple[int, ...] = ()  # workers with a process of their own from the next attempt on
    died: Mapping[Point, str] = field(default_factory=dict)  # found guilty, and how it ended

    def after(self, failure: MachineFailure, step: int) -> Suspects:
        """What is known after one more failure at ``step``. ``alone`` and ``died`` stay where it teaches nothing."""
        if failure.process is None or failure.call not in _CALLS.values():
            return self
        # A process of its own is known by its worker: their numbers change.
        who = -1 - failure.suspects[0] if failure.alone else failure.process
        key = (failure.call, step, who)
        known = replace(self, deaths={**self.deaths, key: self.deaths.get(key, 0) + 1})
        if known.deaths[key] < AGAIN:
            return known
        if failure.alone:
            worker = failure.suspects[0]
            rest = tuple(other for other in self.alone if other != worker)
            return replace(known, alone=rest, died={**self.died, (failure.call, step, worker): str(failure)})
        return replace(known, alone=(*self.alone, *(w for w in failure.suspects if w not in self.alone)))

    def taught(self, before: Suspects) -> bool:
        """Whether the next attempt is another one than the last."""
        return (self.alone, self.died) != (before.alone, before.died)

    def marked(self, orders: Sequence[Order], step: int) -> list[Order]:
        """The orders of one call; those that have killed their worker's process are not to be carried out."""
        return [replace(order, died=self.died.get(_point(order, step))) for order in orders]


def _point(order: Any, step: int) -> Point:
    worker = order.target if isinstance(order, Transfer) else order.worker
    return _CALLS[type(order)], step, worker

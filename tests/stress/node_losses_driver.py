"""A run on Ray that kills one of its machines at a moment of its choice; started by ``node_losses.py``.

    python node_losses_driver.py MOMENT ARGUMENT...      the arguments are those of firerl.launch

A machine here is a raylet and the processes below it: all get SIGKILL at once, as if its power had gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray

from firerl.commands import launch
from firerl.engine.interface import Advance, Transfer
from firerl.engine.ray.ray import RayEngine
from firerl.storage.store import Store

MEMBERS = 8  # of node_losses.PENDULUM; evaluators come after them
MOMENTS = (
    "before the learners are built",
    "at the first report",
    "in the middle of an interval",
    "between two evaluation points",
    "inside a promotion: the evaluator's",
    "inside a promotion: the child's",
    "inside an exploit: the winner's",
    "inside the start of an evaluator: its own",
    "while a generation is saved",
    "between save and commit",
    "between commit and exploit",
)
INSIDE = {  # of a transfer: which one, and whose machine
    "inside a promotion: the evaluator's": (lambda order: order.source >= MEMBERS, "source"),
    "inside a promotion: the child's": (lambda order: order.source >= MEMBERS, "target"),
    "inside an exploit: the winner's": (lambda order: max(order.source, order.target) < MEMBERS, "source"),
    "inside the start of an evaluator: its own": (lambda order: order.target >= MEMBERS, "target"),
}


class Killer:
    """Waits for its moment, kills once."""

    def __init__(self, moment: str):
        self.moment = moment
        self.done = False
        self.generation = 0
        self.raylets: list[int] = []  # of each actor, asked while it has nothing else to do

    def kill(self, engine: RayEngine, worker: int | None = None) -> None:
        """The machine that hosts ``worker``; None: that of the last actor."""
        self.done = True
        process = -1 if worker is None else engine.placement.process_of(worker)
        raylet = self.raylets[process]
        if "raylet" not in Path(f"/proc/{raylet}/comm").read_text():
            raise RuntimeError(f"process {raylet} is no raylet")
        for pid in [raylet, *children_of(raylet)]:
            os.kill(pid, signal.SIGKILL)
        print(f"node_losses: killed at: {self.moment}", flush=True)

    def is_now(self, moment: str, generation: int = 0) -> bool:
        return not self.done and self.moment == moment and self.generation >= generation


def _parent(_: Any) -> int:
    return os.getppid()


def children_of(parent: int) -> list[int]:
    """The processes that ``parent`` has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            found.append(int(path.parent.name))
    return found


def plant(killer: Killer) -> None:
    """Make engine and store pass by the killer."""
    create, advance, ask = RayEngine.create, RayEngine.advance, RayEngine.ask
    stream, save, transfer, commit = RayEngine.stream, RayEngine.save, RayEngine.transfer, Store.commit
    engines: list[RayEngine] = []

    def on_create(self: RayEngine, orders: Any) -> None:
        killer.raylets = ray.get([actor.__ray_call__.remote(_parent) for actor in self.actors])
        if killer.is_now("before the learners are built"):
            killer.kill(self)
        create(self, orders)

    def on_advance(self: RayEngine, orders: Sequence[Advance], on_outcome: Callable[[Any], None]) -> Any:
        heard = 0

        def hear(outcome: Any) -> None:
            nonlocal heard
            heard += 1
            on_outcome(outcome)
            if killer.is_now("at the first report") or (
                heard >= len(orders) // 2 and killer.is_now("in the middle of an interval", 2)
            ):
                killer.kill(self)

        outcomes = advance(self, orders, hear)
        if killer.is_now("between two evaluation points", 2):
            killer.kill(self)
        return outcomes

    def on_ask(self: RayEngine, method: str, arguments: Any, orders: Any, timeout: float | None = None) -> Any:
        if method == "receive" and killer.moment in INSIDE and not killer.done:
            wanted, whose = INSIDE[killer.moment]
            moving = [order for mine in orders.values() for order in mine if order.moves and wanted(order)]
            if moving and killer.generation >= 1:
                ray.wait(list(_weights(arguments)), num_returns=len(_weights(arguments)))  # the first half
                killer.kill(self, getattr(moving[0], whose))
        return ask(self, method, arguments, orders, timeout)

    def on_stream(self: RayEngine, method: str, streams: Any, hear: Any, orders: Any) -> None:
        def heard(asked: Any, process: int, value: Any) -> None:
            hear(asked, process, value)
            if method == "save" and killer.is_now("while a generation is saved", 2):
                killer.kill(self)

        stream(self, method, streams, heard, orders)

    def on_save(self: RayEngine, *arguments: Any) -> Any:
        engines[:] = [self]
        saved = save(self, *arguments)
        if killer.is_now("between save and commit", 2):
            killer.kill(self)
        return saved

    def on_commit(self: Store, *arguments: Any, **named: Any) -> Any:
        generation = commit(self, *arguments, **named)
        killer.generation = generation.number
        return generation

    def on_transfer(self: RayEngine, orders: Sequence[Transfer]) -> None:
        if orders and killer.is_now("between commit and exploit", 2):
            killer.kill(self)
        transfer(self, orders)

    for owner, name, patched in (
        (RayEngine, "create", on_create), (RayEngine, "advance", on_advance), (RayEngine, "ask", on_ask),
        (RayEngine, "stream", on_stream), (RayEngine, "save", on_save), (RayEngine, "transfer", on_transfer),
        (Store, "commit", on_commit),
    ):  # fmt: skip
        setattr(owner, name, patched)


def _weights(arguments: Any) -> list[Any]:
    """The objects that hold the weights of these requests."""
    return list({reference for given in arguments.values() for reference in given[2:]})


if __name__ == "__main__":
    moment = sys.argv[1]
    if moment in MOMENTS:
        plant(Killer(moment))
    sys.exit(launch.main(sys.argv[2:]))

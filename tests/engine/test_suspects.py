"""One faulty worker harms no other: it costs its process, then its own place, and nobody else anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from deadly_learners import Deadly, Killed

from firerl import engine
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.config.run_config import EngineConfig, RunConfig
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, Load, MachineFailure, Outcome, Saved, Transfer
from firerl.engine.local.local import LocalEngine
from firerl.engine.placement import Placement
from firerl.engine.suspects import Suspects
from firerl.errors import FirerlError
from firerl.evolution.population import Fail
from firerl.insight.health import verify
from firerl.session import start as starting
from firerl.session.watching.progress import Silent
from firerl.storage.journal.journal_db import Journal

# What worker 0 to 3 draw at first with this seed; 3 takes from 1 at step 20 and goes on with COPIED. Evaluators begin
# with the rate of worker 1, on weights that are 10 steps old.
RATES = [0.033245291608058426, 0.04704374051081731, 0.0183283056566249, 0.0013471408121096871]
COPIED = 0.03763499240865385


class Pretended:
    """An engine of processes that are none, each a Host; Killed ends one as a signal would."""

    outdated = False

    def __init__(self, spec: LearnerSpec, processes: int, alone: Sequence[int]):
        self.processes = processes
        self._place = Placement(processes, spec.stacked, tuple(alone))
        self._hosts = [Host(spec, False, at_work=self._hear) for _ in range(self._place.all_processes)]
        self._worker = -1

    def _hear(self, workers: Sequence[int]) -> None:
        self._worker = workers[0]

    @contextmanager
    def _process(self, number: int, call: str) -> Iterator[Host]:
        try:
            yield self._hosts[number]
        except Killed:
            own = number >= self.processes
            raise MachineFailure(
                f"process {number} died", process=number, call=call, suspects=[self._worker], alone=own
            ) from None

    def _each(self, call: str, orders: Sequence[Any]) -> None:
        for process, mine in self._place.split(orders).items():
            with self._process(process, call) as host:
                getattr(host, call)(mine)

    def now(self) -> float:
        return time.perf_counter()

    def balance(self) -> int:
        return 0

    def create(self, orders: Sequence[Create]) -> None:
        self._each("create", orders)

    def load(self, orders: Sequence[Load]) -> None:
        self._each("load", orders)

    def advance(self, orders: Sequence[Advance], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for process, mine in self._place.split(orders).items():
            with self._process(process, "advance") as host:
                outcomes.extend(host.advance(mine))
        for outcome in outcomes:
            on_outcome(outcome)
        return sorted(outcomes, key=lambda outcome: outcome.worker)

    def transfer(self, orders: Sequence[Transfer]) -> None:
        for order in orders:
            weights = None
            if order.moves:
                with self._process(self._place.process_of(order.source), "weights") as host:
                    weights = host.weights([order.source])[order.source]
            with self._process(self._place.process_of(order.target), "receive") as host:
                host.receive([(order, weights)])

    def weights(self, worker: int) -> Any:
        with self._process(self._place.process_of(worker), "weights") as host:
            return engine.host.unpack(worker, host.weights([worker])[worker])

    def save(self, folder: Path, prefix: str, workers: Sequence[int]) -> list[Saved | Outcome]:
        saved: list[Saved | Outcome] = []
        for process, mine in self._place.split(sorted(workers), lambda worker: worker).items():
            with self._process(process, "save") as host:
                saved += host.save(folder, prefix, mine)
        return sorted(saved, key=lambda one: one.worker)

    def close(self) -> None: ...


class Heard(Silent):
    """The notes of a run."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@cache
def plain_config() -> RunConfig:
    wanted = {
        "learner": Deadly, "steps": 60, "ready_interval": 20, "seed": 3,
        "population": {"sizes": [4, 2], "evaluators": 2},
    }  # fmt: skip
    return resolve(compose(settings=wanted), Deadly)


def run(folder: Path, to: str, victims: Sequence[Any], **more: Any) -> Heard:
    """One run; every run of one folder has the same promised settings."""
    heard = Heard()
    own = {**plain_config().settings, "folder": str(folder), "victims": [list(victim) for victim in victims]}
    settings = EngineConfig(**{"devices": ("cpu",), **more})
    config = replace(plain_config(), run_dir=str(folder / to), settings=own, engine=settings, logger=())
    starting.start(config, Deadly, observer=heard)
    return heard


def reference(folder: Path, victims: Sequence[Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The journal of the same learners where they raise at that point."""
    with monkeypatch.context() as patch:
        patch.setenv("DEADLY", "raise")
        run(folder, "reference", victims, name="inline")
    return journal(folder / "reference")


def journal(run_dir: Path) -> list[str]:
    from firerl.commands.journal import lines

    opened = Journal.open(run_dir)
    try:
        return list(lines(opened, reports=True))
    finally:
        opened.close()


def failed(run_dir: Path) -> list[tuple[int, int, str]]:
    opened = Journal.open(run_dir)
    try:
        return [(d.worker, d.step, d.failure) for d in opened.decisions() if isinstance(d, Fail)]
    finally:
        opened.close()


VICTIMS = {
    "none": ([], []),
    "one": ([(RATES[0], "train", 20, "kill")], [(0, 20)]),
    "three at once": ([(rate, "train", 10, "kill") for rate in (RATES[0], *RATES[2:])], [(0, 10), (2, 10), (3, 10)]),
    "at its creation": ([(RATES[3], "init", 0, "kill"), (RATES[0], "evaluate", 30, "kill")], [(3, 10), (0, 30)]),
    "a copy": ([(COPIED, "set", 20, "kill")], [(3, 30)]),
    "evaluators": ([(RATES[1], "set", 10, "kill")], [(6, 20), (7, 20)]),
}


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("name", VICTIMS)
def test_a_worker_that_kills_its_process_fails_as_one_that_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, processes: int
) -> None:
    victims, expected = VICTIMS[name]
    whole = reference(tmp_path, victims, monkeypatch)
    monkeypatch.setenv("DEADLY", "pretend")
    monkeypatch.setattr(engine, "make_engine", lambda *a: Pretended(a[1], processes, a[6]))
    heard = run(tmp_path, "r", victims)
    assert journal(tmp_path / "r") == whole
    assert [(worker, step) for worker, step, failure in failed(tmp_path / "r") if failure == "died"][
        : len(expected)
    ] == expected
    assert sum("in a process of its own" in note for note in heard.notes) >= len(expected)
    assert not verify.verify_folder(tmp_path / "r").differences
    if expected:
        assert "died" in (tmp_path / "r" / "failures.log").read_text()


def test_a_machine_never_ends_a_run_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of P1 kill their processes: nothing of it is journalled, and the run goes on on a machine that can."""
    victims = [(rate, "train", 30, "kill") for rate in (RATES[0], RATES[1], RATES[2], COPIED)]
    monkeypatch.setenv("DEADLY", "pretend")
    with monkeypatch.context() as patch:
        patch.setattr(engine, "make_engine", lambda *a: Pretended(a[1], 2, a[6]))
        with pytest.raises(FirerlError, match=r"no healthy member would be left in P1 at step 30, .* 0, 1, 2, 3"):
            run(tmp_path, "r", victims)
    assert failed(tmp_path / "r") == []
    monkeypatch.setattr(Deadly, "strike", lambda self, where: None)
    assert starting.resume_run(tmp_path / "r", {"engine": "inline"}, Deadly).figures["steps"] == 60


def death(worker: int, process: int = 0, call: str = "advance", alone: bool = False) -> MachineFailure:
    return MachineFailure("dead", process=process, call=call, suspects=[worker], alone=alone)


def test_who_is_tried_alone_and_when() -> None:
    twice = Suspects().after(death(4), 10).after(death(4), 10)
    assert twice.alone == (4,)
    assert not Suspects().after(death(4), 10).taught(Suspects())
    assert Suspects().after(death(4), 10).after(death(4, process=1), 10).alone == ()  # another process
    assert Suspects().after(death(4), 10).after(death(4), 20).alone == ()  # another interval
    # The one at work was not to blame: the next is tried, and the others' process is never two deaths behind again.
    both = twice.after(death(6), 10)
    assert both.alone == (4, 6)
    # Numbers of processes change as workers come and go: who is alone is known by its worker.
    guilty = both.after(death(6, 2, alone=True), 10).after(death(6, 1, alone=True), 10)
    assert (guilty.alone, dict(guilty.died)) == ((4,), {("advance", 10, 6): "dead"})


@pytest.mark.parametrize("call", ["load", "save", "weights", "start"])
def test_a_death_while_a_state_is_saved_or_loaded_blames_nobody(call: str) -> None:
    known = Suspects()
    for _ in range(4):
        known = known.after(death(4, call=call), 10)
    assert not known.taught(Suspects())


def test_a_death_says_who_was_at_work(tmp_path: Path) -> None:
    victims = [[0.5, "train", 10, "segfault"], [0.3, "train", 10, "memory"]]
    spec = LearnerSpec(Deadly, Deadly.resolve({"victims": victims}))
    creates = [Create(worker, {"lr": rate}, worker) for worker, rate in enumerate((0.1, 0.2, 0.5, 0.3))]
    with LocalEngine(spec, 1) as local:
        local.create(creates)
        with pytest.raises(MachineFailure, match="SIGSEGV") as caught:
            local.advance([Advance(worker, 10, 0) for worker in range(4)], lambda _: None)
        assert (caught.value.call, caught.value.suspects, caught.value.alone) == ("advance", (2,), False)
    with LocalEngine(spec, 1, alone=[3]) as local:  # to be refused memory is as good as a death
        local.create(creates)
        with pytest.raises(MachineFailure, match="worker 3 ran out of memory") as caught:
            local.advance([Advance(3, 10, 0)], lambda _: None)
        assert (caught.value.process, caught.value.call, caught.value.suspects) == (1, "advance", (3,))
        assert caught.value.alone


HANGS = [(RATES[0], "train", 10, "hang")]
KILLERS = [(RATES[0], "train", 20, "segfault"), (RATES[1], "evaluate", 10, "once")]


@pytest.mark.parametrize(("victims", "processes", "deaths"), [(HANGS, 1, 4), (KILLERS, 2, 5)], ids=["1", "2"])
def test_real_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victims: Any, processes: int, deaths: int
) -> None:
    always = [victim for victim in victims if victim[3] != "once"]
    whole = reference(tmp_path, victims, monkeypatch)
    heard = run(tmp_path, "r", victims, processes=processes, timeout=2.0)
    assert journal(tmp_path / "r") == whole
    assert {(worker, failure) for worker, _, failure in failed(tmp_path / "r")} == {
        (RATES.index(victim[0]), "died") for victim in always
    }
    assert sum("computing again" in note for note in heard.notes) <= deaths

"""The loop where nobody waits (``sync=false``): a worker reports, is decided on and goes on, whatever the others do.

Each process computes one worker's interval at a time. When it is done, the worker's state is in a file; ``decide`` on
that one report, one commit of report, decisions and file, and the process gets its next interval. A copy takes the
donor's latest report, so a donor is never disturbed. Who gets other weights in the middle of an interval (the child of
a promotion, an evaluator that is stopped) throws it away when it comes and begins anew from its latest report: an
interval counts when its report is committed.

In which order the reports come is up to the machine, and with it the journal. All else is not: the same order gives the
same journal to the last bit, with a resume or without (``firerl.storage.origins``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from firerl.base.clock import Clock
from firerl.base.disk import durable
from firerl.base.seeding import Purpose, integer_seed
from firerl.engine.interface import AsynchronousEngine, Create, Done, Engine, Interval, Load, MachineFailure, Saved
from firerl.engine.suspects import Suspects
from firerl.errors import PopulationDied, SettingError
from firerl.evolution.population import Report, State, Worker, extinct, member_steps
from firerl.session.controller import Controller, advance, creates, sorted_out
from firerl.session.watching.progress import Round
from firerl.storage import origins
from firerl.storage.generation import File, Generation, Point, better
from firerl.storage.origins import Origin, Place


class AsyncController(Controller):
    """Runs one population from a store's last report to its end."""

    def run(self) -> dict[str, Any]:
        try:
            figures = super().run()
        except (KeyboardInterrupt, PopulationDied):
            self.store.copy_journal()  # and with it the address, where the run is kept at one
            raise
        self.store.collect_garbage()  # of intervals that were under way at the end
        return figures

    def _still_suspects(self) -> Suspects:
        return self.suspects  # the others' reports say nothing of who has died, and it is known by its own step

    def _step_of(self, failure: MachineFailure) -> int:
        return self.store.last().state.workers[failure.suspects[0]].step if failure.suspects else 0

    def _at_end(self, generation: Generation) -> bool:
        return not any(trains(w, self.config.steps) and not w.is_evaluator for w in generation.state.workers)

    def _run_on(self, engine: Engine, generation: Generation) -> Generation:
        """Report after report, until the run ends, a process dies, or another engine can do better."""
        session = _Session(self, cast(AsynchronousEngine, engine), generation)
        self.observer.started(self.config, self.store.journal(), session.step(), engine.processes)
        growing = False  # what is under way is waited for, then another engine goes on with more processes
        while not self._stopped(session.generation) and (session.busy or not growing):
            if not growing:
                session.send()
            session.take(session.engine.next())
            growing = growing or (session.round_is_over() and engine.outdated)
        if growing and not self._stopped(session.generation):
            self._say_grown(session.step())
        return session.generation

    def report(self, done: Done, state: State) -> tuple[State, Point]:
        """The report of this interval and what is decided on it. Raises FirerlError, see ``no_verdict``."""
        outcome = done.outcome
        self._note_failure(outcome, state)
        self._note_lost([outcome])
        step = state.workers[outcome.worker].step + self.setup.eval_interval
        report = Report(outcome.worker, step, outcome.objective, outcome.metrics, outcome.failure)
        state, decisions = self.algorithm.decide(self.setup, self.settings, state, [report])
        point = Point([report], decisions)
        if extinct(state):
            self._check_final(max(member_steps(state)) >= self.setup.ready_interval, [point])
        return state, point


class _Session:
    """One engine's work on a run."""

    def __init__(self, controller: AsyncController, engine: AsynchronousEngine, generation: Generation):
        self.controller, self.config, self.setup = controller, controller.config, controller.setup
        self.store, self.engine, self.generation = controller.store, engine, generation
        workers = len(generation.state.workers)
        self.store.copy_journal()
        self.keeping = self.store.keeping(workers * self.setup.ready_interval // self.setup.eval_interval)
        self.origins = self.store.journal().origins_at([generation.number])[generation.number]
        self.files = {f.name: f for f in (*generation.files.values(), *generation.networks.values())}
        self.busy: dict[int, int] = {}  # the process of each worker that is computed
        self.useless: set[int] = set()  # those of them whose interval is to be thrown away
        self.there: set[int] = set()  # workers whose learner is in its process, as at their latest report
        self.store.collect_garbage()  # also what processes before these have left
        if generation.number:
            self.store.check_files(generation)
        else:
            self._build()
        self.clock = Clock(engine.processes, engine.now)
        self.clock.begin_round()
        self.begun, self.share = engine.now(), self._share()

    def _build(self) -> None:
        """The members' learners, and their states in files: they may be copied before they report."""
        members = creates(self.config, self.store, self.generation.state)
        self.engine.create(self.controller.suspects.marked(members, 0))
        answers = self.engine.save(self.store.checkpoints, "g000000", [order.worker for order in members])
        saved, failed = sorted_out(answers)  # who has failed is built again, and then fails by a report
        if failed and not saved:
            raise SettingError(f"the state of worker {min(failed)} cannot be saved: {failed[min(failed)].told}")
        self.files = {s.name: _file(Place(s.worker, 0), s) for s in saved}
        self.there = {s.worker for s in saved}

    def send(self) -> None:
        """Give every free process an interval: of its workers, who is furthest behind."""
        waiting = [w for w in self.generation.state.workers if trains(w, self.config.steps)]
        for worker in sorted(waiting, key=lambda w: (w.step, w.id)):
            process = self.engine.process_of(worker.id)
            if process not in self.busy.values():
                self.busy[worker.id] = process
                self.engine.begin(self._interval(worker))

    def _interval(self, worker: Worker) -> Interval:
        """The worker's next interval, from where its origin says."""
        origin = self.origins.get(worker.id) or Origin(None, worker.step)
        [order] = self.controller.suspects.marked([advance(self.setup, worker)], worker.step)
        there = worker.id in self.there and not self._is_lost(origin.weights)
        build = None if there else self._builds(worker, origin)
        self.there.discard(worker.id)
        self.keeping.held[worker.id] = {place.name for place in (origin.own, origin.weights) if place}
        values = dict(worker.hyperparameters) if origin.changed else None
        return Interval(order, self.store.checkpoints, build, self._path(origin.weights), values)

    def _builds(self, worker: Worker, origin: Origin) -> Create | Load:
        """The worker's learner as at its latest report; a new one where it has none."""
        seed = integer_seed(self.setup.seed, Purpose.LEARNER, worker.id, origin.built)
        path = self._path(origin.own)
        if path is not None and not self._is_lost(origin.weights):
            return Load(worker.id, worker.hyperparameters, seed, path)
        if origin.own is None or path is not None:
            return Create(worker.id, worker.hyperparameters, seed)
        return creates(self.config, self.store, self.generation.state)[worker.id]  # it could not be built at the start

    def _path(self, place: Place | None) -> Path | None:
        return None if place is None or self._is_lost(place) else self.store.checkpoints / place.name

    def _is_lost(self, place: Place | None) -> bool:
        """Whether these are the weights of a learner that could not be built: those of any new one stand for them."""
        return place is not None and place.name not in self.files

    def take(self, done: Done) -> None:
        """Decide on what came of an interval, commit it, tell it; throw it away if it is of no use any more."""
        worker = done.outcome.worker
        del self.busy[worker], self.keeping.held[worker]
        if worker in self.useless:
            self.useless.discard(worker)
            return
        self.clock.add("train", done.outcome.train_seconds)
        self.clock.add("evaluate", done.outcome.evaluate_seconds)
        begun = self.engine.now()
        state, point = self.controller.report(done, self.generation.state)
        decided = self.engine.now()
        self.clock.add("decide", decided - begun)
        self._commit(done.saved, state, point)
        self.clock.add("save", self.engine.now() - decided)
        if extinct(state):
            raise PopulationDied(self.controller.obituary([point]))
        self._tell(state, point)

    def _commit(self, saved: Saved | None, state: State, point: Point) -> None:
        previous, [report] = self.generation, point.reports
        place = Place(report.worker, previous.number + 1)
        new = [*self.files.values()] if previous.number == 0 else []
        if saved is not None:
            durable.rename(self.store.checkpoints / saved.name, self.store.checkpoints / place.name)
            new.append(_file(place, saved))
            self.there.add(report.worker)
        self.origins = origins.follow(self.origins, place.generation, report, point.decisions)
        self.useless |= origins.touched(point.decisions) & self.busy.keys()
        self.keeping.take(place.generation, origins.needed(self.origins))
        best = better(previous.best_ever, state, point.decisions, lambda worker: place._replace(worker=worker).name)
        timing = self.clock.since_last()
        committed = self.store.commit(previous, report.step, [point], state, new, best, timing, self.keeping)
        self.controller.spent(timing["seconds"])
        self.files = {**self.files, **{file.name: file for file in new}}
        self.files = {name: file for name, file in self.files.items() if name in self.keeping.names}
        self.generation = replace(
            committed,
            files={w: self.files[o.own.name] for w, o in self.origins.items() if o.own and o.own.name in self.files},
            networks={
                w: self.files[o.network.name]
                for w, o in self.origins.items()
                if o.network and o.network.name in self.files
            },
        )

    def round_is_over(self) -> bool:
        """Whether as many reports as there are workers have come since the last round was."""
        return self.generation.number % len(self.generation.state.workers) == 0

    def step(self) -> int:
        """How far the members are, on average: what a person is told, and a clock that never goes back."""
        steps = member_steps(self.generation.state)
        return sum(steps) // len(steps)

    def _share(self) -> float:
        """Of the time of the members' training, what is over."""
        members, whole = member_steps(self.generation.state), self.config.steps
        cost = self.controller.cost
        return sum(step * cost(step) for step in (min(s, whole) for s in members)) / (
            len(members) * whole * cost(whole)
        )

    def _tell(self, state: State, point: Point) -> None:
        seconds, parts = self.clock.end_round()
        done = self._share()
        left = (self.engine.now() - self.begun) * (1 - done) / max(done - self.share, 1e-9)
        trained = self.setup.eval_interval
        self.controller.observer.round_done(Round(self.step(), state, point, True, trained, seconds, parts, left))
        self.clock.begin_round()


def trains(worker: Worker, steps: int) -> bool:
    """Whether a worker has an interval to train before a run of so many steps ends."""
    if worker.is_evaluator:
        return worker.evaluation is not None
    return not worker.failed and worker.step < steps


def _file(place: Place, saved: Saved) -> File:
    return File(place.worker, place.generation, place.name, saved.size, saved.sha256)

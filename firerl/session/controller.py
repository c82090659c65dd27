"""The loop that joins evolution, engine and store: advance, decide, commit, apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from firerl.base.clock import Clock
from firerl.base.seeding import Purpose, integer_seed
from firerl.base.settings import build
from firerl.config.run_config import RunConfig, setup_of, window_of
from firerl.engine.interface import Advance, Create, Engine, Load, MachineFailure, Outcome, Saved, Transfer
from firerl.engine.suspects import DIED, Suspects
from firerl.errors import FirerlError, PopulationDied, SettingError
from firerl.evolution import find
from firerl.evolution.population import (
    Copy,
    Decision,
    Promote,
    Report,
    Set,
    Setup,
    StartEvaluator,
    State,
    Worker,
    extinct,
)
from firerl.evolution.winner import winner
from firerl.learner import Learner
from firerl.session import results, standing
from firerl.session.pace import Pace
from firerl.session.watching.progress import Observer, Round
from firerl.storage.generation import File, Generation, Point, better
from firerl.storage.lock import STOPPED
from firerl.storage.store import Store

MAX_MACHINE_FAILURES = 3  # in a row without a new generation


class Controller:
    """Runs one population from a store's last generation to its end."""

    def __init__(
        self,
        config: RunConfig,
        learner: type[Learner],
        store: Store,
        observer: Observer,
        start_engine: Callable[[Sequence[int]], Engine],
    ):
        """``start_engine`` is given the workers that need a process of their own."""
        self.config = config
        self.learner = learner
        self.store = store
        self.observer = observer
        self.start_engine = start_engine
        self.step = 0  # of the last reports: where the engine is
        self._seconds = 0.0  # of all that is committed
        self.suspects = Suspects()
        self._last_failure = ""  # of a learner, for people
        self.unbalanced = 0  # readies at which no worker moves
        self.patience = 4  # readies of that kind after the next failure among workers that have moved
        self.setup = setup_of(config)
        self.algorithm: ModuleType = find.algorithm(config.algo.name)
        self.settings = build(self.algorithm.Settings, config.algo.settings, "algo.")

    def run(self) -> dict[str, Any]:
        """To the end, through machine failures; returns the result. Raises PopulationDied, KeyboardInterrupt."""
        failures = 0  # in a row that taught nothing
        self._seconds = sum(timing["seconds"] for timing in self.store.journal().timings())
        while True:
            generation = before = self.store.last()
            try:
                while not (stopped := self._stopped(generation)):
                    engine = self.start_engine(self.suspects.alone)
                    try:
                        generation = self._run_on(engine, generation)
                    finally:
                        engine.close()
                if stopped == STOPPED:
                    self._say_stopped(generation)
                return results.write(self.config, self.learner, self.store, generation, stopped, self.observer)
            except MachineFailure as failure:
                if failure.moving:  # a process has no memory for one worker more, say, or a machine went
                    self.unbalanced, self.patience = self.patience, 4 * self.patience
                self.store.note(f"machine failure: {failure}")
                if self.store.last().number != before.number:
                    failures, self.suspects = 0, self._still_suspects()
                known, self.suspects = self.suspects, self.suspects.after(failure, self._step_of(failure))
                failures = 0 if self.suspects.taught(known) else failures + 1
                if failures > MAX_MACHINE_FAILURES:
                    raise FirerlError(f"{failure}; {failures} times in a row at step {before.step}") from failure
                self.observer.note(f"{failure}: {self._next_attempt(known)} from step {self.store.last().step}")

    def _next_attempt(self, known: Suspects) -> str:
        """What comes after a machine failure, in words; ``known`` was known before it."""
        if found := self.suspects.died.keys() - known.died.keys():
            who = ", ".join(f"worker {worker}" for _, _, worker in found)
            return f"{who} was alone in that process for the second time and has failed; computing again"
        if apart := [f"worker {worker}" for worker in self.suspects.alone if worker not in known.alone]:
            return f"this was not the first time; computing again with {', '.join(apart)} in a process of its own"
        return "computing again"

    def _still_suspects(self) -> Suspects:
        """What is kept in mind after a new generation: whoever it was about has gone on."""
        return Suspects()

    def _step_of(self, failure: MachineFailure) -> int:
        """Where the machine failed."""
        return self.step

    def _run_on(self, engine: Engine, generation: Generation) -> Generation:
        """Generation after generation, until the run ends, a process dies, or another engine can do better."""
        journal = self.store.journal()
        self.observer.started(self.config, journal, generation.step, engine.processes)
        self.step = generation.step
        _restore(engine, self.config, self.store, generation, self.suspects)
        clock = Clock(engine.processes, engine.now)
        workers = sum(self.setup.sizes) + self.setup.evaluators
        self.pace = Pace(self.cost, workers, engine.processes, generation.step, self.config.steps)
        while True:
            generation = self._next_generation(engine, generation, clock)
            if self._stopped(generation):
                return generation
            if engine.outdated:
                self._say_grown(generation.step)
                return generation

    def _say_grown(self, step: int) -> None:
        text = f"the cluster has grown: going on with more actors from step {step}"
        self.store.note(text)
        self.observer.note(text)

    def _say_stopped(self, generation: Generation) -> None:
        text = f"stopped by firerl.stop at {standing.where(generation, self.config.sync)}; a resume goes on from there"
        self.store.note(text)
        self.observer.note(text)

    def _next_generation(self, engine: Engine, generation: Generation, clock: Clock) -> Generation:
        """Evaluation points up to the next ready, then the commit."""
        state, points = generation.state, list[Point]()
        built = set(generation.files) or {w.id for w in state.workers if not w.is_evaluator}
        built |= {d.worker for d in generation.decisions if isinstance(d, Copy | StartEvaluator)}
        while True:
            clock.begin_round()
            reports = self._advance(engine, state, clock)
            self.step = step = max(report.step for report in reports)
            saved: list[Saved] = []
            if ready := step % self.setup.ready_interval == 0:
                with clock.part("save"):
                    saved, reports = self._save(engine, generation, state, reports)
            with clock.part("decide"):
                state, decisions = self.algorithm.decide(self.setup, self.settings, state, reports)
            points.append(Point(reports, decisions))
            died = extinct(state)
            if died:
                self._check_final(generation.number > 0, points)
            if ready or died:
                with clock.part("save"):
                    generation = self._commit(generation, step, points, state, saved, clock)
            if died:
                raise PopulationDied(self.obituary(points))
            with clock.part("copy"):
                engine.transfer(self.suspects.marked(transfers(self.setup, state, decisions, built), step))
                if ready and step < self.config.steps:
                    if not self.unbalanced:
                        engine.balance()
                    self.unbalanced = max(0, self.unbalanced - 1)
            self._tell(step, state, points[-1], ready, clock)
            if ready:
                return generation

    def _advance(self, engine: Engine, state: State, clock: Clock) -> list[Report]:
        orders = self.suspects.marked(advances(self.setup, state), self.step)
        done = 0

        def hear(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            clock.add("train", outcome.train_seconds)
            clock.add("evaluate", outcome.evaluate_seconds)
            self._note_failure(outcome, state)
            self.observer.worker_done(done, len(orders))

        outcomes = engine.advance(orders, hear)
        self._note_lost(outcomes)
        steps = {order.worker: state.workers[order.worker].step + order.steps for order in orders}
        return [Report(o.worker, steps[o.worker], o.objective, o.metrics, o.failure) for o in outcomes]

    def _note_failure(self, outcome: Outcome, state: State) -> None:
        if outcome.failure is not None:
            who = f"worker {outcome.worker}"
            step = state.workers[outcome.worker].step
            self.store.log_failure(f"{who} after step {step}: {outcome.traceback}")
            log = self.store.run_dir / "failures.log"
            self._last_failure = outcome.told or outcome.failure
            self.observer.note(f"{who} failed after step {step}: {self._last_failure}; see {log}")

    def obituary(self, points: Sequence[Point]) -> str:
        """For people: the last failure comes with its place in the learner's code."""
        last = [r for r in points[-1].reports if r.failure is not None]
        kinds = ", ".join(sorted({str(r.failure) for r in last})) or "failures"
        what = f"{kinds}; the last: {self._last_failure}" if self._last_failure else kinds
        log = self.store.run_dir / "failures.log"
        return f"no healthy member is left in P1 at step {points[-1].reports[0].step} ({what}); see {log}"

    def _save(
        self, engine: Engine, previous: Generation, state: State, reports: Sequence[Report]
    ) -> tuple[list[Saved], list[Report]]:
        """The states in files, and the reports: who cannot be saved has failed at this point.

        Raises SettingError where nobody can be saved: no result of evolution, but a learner to be mended.
        """
        self.store.make_room()
        prefix = f"g{previous.number + 1:06d}"
        saved, failed = sorted_out(engine.save(self.store.checkpoints, prefix, [w.id for w in state.workers]))
        reporting = {report.worker for report in reports}
        if idle := failed.keys() - reporting:  # evaluators: what they are is of no use any more, but have a stream
            engine.create([self._anew(worker, state) for worker in sorted(idle)])
            again, still = sorted_out(engine.save(self.store.checkpoints, prefix, sorted(idle)))
            saved, failed = [*saved, *again], {**{w: o for w, o in failed.items() if w not in idle}, **still}
        if failed and (not saved or failed.keys() - reporting):
            raise SettingError(f"the state of worker {min(failed)} cannot be saved: {failed[min(failed)].told}")
        for outcome in failed.values():
            self._note_failure(outcome, state)
        told = [
            replace(r, objective=None, metrics={}, failure=failed[r.worker].failure) if r.worker in failed else r
            for r in reports
        ]
        return saved, told

    def _anew(self, worker: int, state: State) -> Create:
        seed = integer_seed(self.setup.seed, Purpose.LEARNER, worker, self.step)
        return Create(worker, state.workers[0].hyperparameters, seed)

    def _note_lost(self, outcomes: Sequence[Outcome]) -> None:
        """States that were loaded do not go on as they would have: the run does, and its journal remembers."""
        if told := [outcome for outcome in outcomes if outcome.lost]:
            who = ", ".join(str(outcome.worker) for outcome in told)
            text = f"not as if nothing had happened, worker{'s' * (len(told) > 1)} {who}: {told[0].lost}"
            self.store.note(text)
            self.observer.note(text)

    def _commit(
        self,
        previous: Generation,
        step: int,
        points: Sequence[Point],
        state: State,
        saved: Sequence[Saved],
        clock: Clock,
    ) -> Generation:
        files = {s.worker: File(s.worker, previous.number + 1, s.name, s.size, s.sha256) for s in saved}
        best = better(previous.best_ever, state, points[-1].decisions, lambda worker: files[worker].name)
        timing = clock.since_last()
        committed = self.store.commit(previous, step, points, state, list(files.values()), best, timing)
        self.spent(timing["seconds"])
        return committed

    def _check_final(self, begun: bool, points: Sequence[Point]) -> None:
        """Raise where a dead population is no generation: a resume must be able to leave each.

        Where processes die or learners raise, what they stand on may be to blame, data or a machine; before the first
        ready (not ``begun``) nothing is final.
        """
        last = points[-1].reports
        step = max(report.step for report in last)
        if killers := [r for p in points for r in p.reports if r.failure == DIED]:
            raise FirerlError(no_verdict(step, killers))
        kinds = {report.failure for report in last} - {None}
        if begun and kinds <= {"NaN", "infinity"}:
            return
        told = self.obituary(points)
        self.store.note(f"not committed: {told}")
        raise PopulationDied(f"{told}. These last steps are not kept: a resume tries again from the last generation")

    def _stopped(self, generation: Generation) -> str:
        """Why the run ends with this generation; "" if it goes on."""
        stop = self.config.stop
        if extinct(generation.state):
            raise PopulationDied(f"no healthy member is left in P1 at step {generation.step}")
        if self._at_end(generation):
            return "steps"
        if generation.number == 0:
            return ""
        leader = winner(generation.state, generation.decisions, window_of(self.config))
        reached = leader.objective if leader else None
        if stop.objective is not None and reached is not None and reached >= stop.objective:
            return "stop.objective"
        if stop.hours is not None and self._seconds >= stop.hours * 3600:
            return "stop.hours"
        return STOPPED if self.store.asked_to_stop() else ""

    def _at_end(self, generation: Generation) -> bool:
        return generation.step >= self.config.steps

    def spent(self, seconds: float) -> None:
        """So much of the run's time has been committed."""
        self._seconds += seconds

    def _tell(self, step: int, state: State, point: Point, committed: bool, clock: Clock) -> None:
        seconds, parts = clock.end_round()
        trained = len(point.reports) * self.setup.eval_interval
        self.pace.round_done(step, len(point.reports))
        left = self.pace.seconds_left(clock.elapsed())
        self.observer.round_done(Round(step, state, point, committed, trained, seconds, parts, left))

    def cost(self, steps: int) -> float:
        """Of a step, the mean over so many; see ``Learner.cost_of``."""
        return self.learner.cost_of(self.config.settings, steps)


def advances(setup: Setup, state: State) -> list[Advance]:
    """Every healthy member and every busy evaluator trains one evaluation interval."""
    active = [w for w in state.workers if not w.failed and (w.evaluation or not w.is_evaluator)]
    return [advance(setup, worker) for worker in active]


def advance(setup: Setup, worker: Worker) -> Advance:
    """The worker's next evaluation interval."""
    seed = integer_seed(setup.seed, Purpose.EVALUATE, worker.id, worker.step + setup.eval_interval)
    return Advance(worker.id, setup.eval_interval, seed)


def transfers(setup: Setup, state: State, decisions: Sequence[Decision], built: set[int]) -> list[Transfer]:
    """The copies of weights and changes of hyperparameters that these decisions ask for, in their order.

    ``built`` are the workers that have a learner; those that get one now are added.
    """
    orders = []
    for d in decisions:
        if isinstance(d, Promote):
            orders.append(Transfer(d.worker, d.child, state.workers[d.child].hyperparameters))
        elif isinstance(d, Copy | StartEvaluator):
            source = d.donor if isinstance(d, Copy) else d.parent
            fresh = d.fresh or d.worker not in built
            seed = integer_seed(setup.seed, Purpose.LEARNER, d.worker, d.step) if fresh else None
            orders.append(Transfer(source, d.worker, d.hyperparameters, seed))
            built.add(d.worker)
        elif isinstance(d, Set):
            orders.append(Transfer(d.worker, d.worker, d.hyperparameters))
    return orders


def creates(config: RunConfig, store: Store, state: State) -> list[Create]:
    """The members as a run begins."""
    weights = None if config.init_sha256 is None else store.initial_weights(config.init_sha256)
    members = [w for w in state.workers if not w.is_evaluator]
    return [
        Create(w.id, w.hyperparameters, integer_seed(config.seed, Purpose.LEARNER, w.id, 0), weights) for w in members
    ]


def _restore(engine: Engine, config: RunConfig, store: Store, generation: Generation, suspects: Suspects) -> None:
    """Give the engine all learners as they were when this generation was saved, then apply its decisions."""
    setup, state = setup_of(config), generation.state
    stand_in = state.workers[0].hyperparameters  # for an idle evaluator: it trains with others or not at all
    seeds = {w.id: integer_seed(setup.seed, Purpose.LEARNER, w.id, 0) for w in state.workers}
    if generation.number == 0:
        engine.create(suspects.marked(creates(config, store, state), generation.step))
        return
    store.check_files(generation)
    engine.load(
        [
            Load(id, state.workers[id].hyperparameters or stand_in, seeds[id], store.checkpoints / file.name)
            for id, file in generation.files.items()
        ]
    )
    moves = transfers(setup, state, generation.decisions, set(generation.files))
    engine.transfer(suspects.marked(moves, generation.step))


def no_verdict(step: int, killers: Sequence[Report]) -> str:
    """A machine may be to blame for each of these deaths: it must not end a run for good."""
    workers = ", ".join(str(worker) for worker in sorted({report.worker for report in killers}))
    return (
        f"no healthy member would be left in P1 at step {step}, since the processes of workers {workers} die or hang "
        "again and again, also with nobody else in them; see failures.log. The last generation is kept: a resume tries "
        "again"
    )


def sorted_out(answers: Sequence[Saved | Outcome]) -> tuple[list[Saved], dict[int, Outcome]]:
    """What an engine's ``save`` has returned: the files, and by worker who has failed."""
    failed = {answer.worker: answer for answer in answers if isinstance(answer, Outcome)}
    return [answer for answer in answers if isinstance(answer, Saved)], failed

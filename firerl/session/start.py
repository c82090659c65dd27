"""Start a run, and go on with one: from its complete settings to the controller that evolves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from firerl.base.disk import unused_files
from firerl.base.disk.files import digest
from firerl.base.paths import anchored, back_here
from firerl.base.settings import build
from firerl.base.terminal import lasting
from firerl.config import named_code
from firerl.config.configured_learner import fixed_line
from firerl.config.find_loggers import find_loggers, folder_of
from firerl.config.learners import completed, find_again, find_learner, is_homeless, without_windows
from firerl.config.promised import aside_of, first_difference, identity, split, with_aside
from firerl.config.request import MAY_CHANGE, going_on, rounded_line
from firerl.config.run_config import SIMULATED, RunConfig, from_plain, setup_of, to_plain
from firerl.engine import devices as machine
from firerl.envs.state.registrations import check_sent
from firerl.errors import RunFolderError, SettingError
from firerl.evolution import find
from firerl.evolution.plain import dumps, loads
from firerl.evolution.population import State, member_steps
from firerl.learner import Continuation, Learner
from firerl.logger import Logger
from firerl.session import data_files
from firerl.session.initial import read_initial
from firerl.session.this_machine import COMPUTES, cluster_of, continuation_of, moved, on_this_machine
from firerl.session.watching.progress import Observer, Together
from firerl.storage.journal.journal_db import Journal, whole_result
from firerl.storage.journal.recorded_config import config_of
from firerl.storage.lock import STOPPED
from firerl.storage.remote import home as remote_run
from firerl.storage.remote.home import Home
from firerl.storage.remote.reading import local
from firerl.storage.run_folder import check_can_be

if TYPE_CHECKING:
    from firerl.engine.interface import Engine
    from firerl.storage.store import Store


class Ended(NamedTuple):
    """A run that has come to its end."""

    run_dir: Path
    figures: Mapping[str, Any]  # what result.json holds

    @property
    def ranked(self) -> bool:
        """Whether anybody had an objective at a ready: else the winner is none, but the first of those who trained."""
        return self.figures["objective"] is not None or self.figures["best_ever"] is not None


def start(
    config: RunConfig,
    learner: type[Learner] | None = None,
    *,
    progress: bool = False,
    observer: Observer | None = None,
) -> Ended:
    """Start the run that ``config`` describes."""
    _check_that_we_may_start()
    with _apart(), remote_run.home(config.run_dir, config.local_dir, begin=True) as home:
        return _start(config, home, learner, progress, observer)


@contextmanager
def _apart() -> Iterator[None]:
    """Where learners may be built in this process: neither what they print nor where they go has a hold on the run."""
    with lasting(), back_here():
        yield


def _start(
    config: RunConfig, home: Home, learner: type[Learner] | None, progress: bool, observer: Observer | None
) -> Ended:
    from firerl.storage.store import Store, check_free

    check_can_be(str(home.folder))
    check_free(home.folder)  # before anything that takes time; Store.create asks again under its lock
    learner = learner or find_learner(config.learner)
    loggers = find_loggers(config.logger)
    if config.engine.name in ("local", "ray"):
        check_sent(config.settings)
    here = on_this_machine(config, learner)
    continuation = continuation_of(config, learner)
    initial = read_initial(config, learner)
    if initial is not None:
        config = replace(config, init_sha256=digest(initial))
    plain = loads(dumps(to_plain(config)))
    config = from_plain(plain)  # as a resume will read it: the order of its entries, too
    promised, usual = split(config, learner, find.algorithm(config.algo.name))
    survey = data_files.survey(learner, config.settings, progress)
    first = initial_state_of(config)
    with Store.create(home.folder, plain, promised, first, initial, home.mirror, usual) as store:
        if survey is not None:
            data_files.write(store.run_dir, survey)
            data_files.say_unused(survey)
        store.note(COMPUTES + machine.kind(here.engine.devices, here.engine.deterministic))
        here = replace(config, engine=here.engine, settings=anchored(config.settings), run_dir=str(home.folder))
        return _run(here, learner, store, _observers(here, home, loggers, progress, observer, store.note), continuation)


def initial_state_of(config: RunConfig) -> State:
    """The population of this run before its first step."""
    algorithm = find.algorithm(config.algo.name)
    settings = build(algorithm.Settings, config.algo.settings, "algo.")
    return find.initial_state(algorithm, setup_of(config), settings)


def resume_run(
    run_dir: str | Path,
    changes: Mapping[str, Any],
    learner: type[Learner] | None = None,
    *,
    progress: bool = False,
    observer: Observer | None = None,
    given: Mapping[str, str] | None = None,
    line: Callable[[Mapping[str, str]], str] | None = None,
    local_dir: str | None = None,
) -> Ended:
    """``resume`` with the changes as nested data.

    ``given`` is code that the run names and a person gives again, by role (``firerl.config.named_code``); ``line``
    makes what to type of what is missing.
    """
    from firerl.storage.journal.proof import looked_at
    from firerl.storage.store import Store

    _check_that_we_may_start()
    call = f"firerl.resume({str(run_dir)!r}, learner=<class>)"
    with _apart(), remote_run.home(run_dir, local_dir) as home:
        with looked_at(home.folder) as (journal, proof):  # what may be refused comes before anything is written
            old, finished, generation = config_of(journal), whole_result(journal), journal.last()
            named_code.take_given(given or {}, old)
            reached = generation.step if old.sync else max(member_steps(generation.state))
            aside = {group: changes[group] for group in ("learner", "data") if group in changes}
            rest = {name: value for name, value in changes.items() if name not in aside}
            config = going_on(old, rest, finished, reached)
            as_it_is = (config.steps, config.stop) == (old.steps, old.stop)
            ends = finished is not None and as_it_is and finished["stopped"] != STOPPED
            in_hand = learner is not None or is_homeless(config.learner)
            # Of a run that has ended only its loggers are asked for: they are told of it again.
            typed = named_code.typed_in(changes) | ({"learner"} if in_hand else set())
            through, line = ("logger",) if ends and not aside else None, line or named_code.call_line(call)
            named_code.check_run(config, typed, line, through)
            if aside or not ends:
                learner = find_again(config.learner, call, learner)
                settings = with_aside(learner, completed(learner, config.settings), aside)
                config = config if ends else _with_data(config, learner, settings, home.folder)
        with Store.open(home.folder, home.mirror, proof) as store:
            here = replace(config, run_dir=str(home.folder))  # the folder may have moved
            told = _observers(here, home, find_loggers(config.logger), progress, observer, store.note)
            if rounded := rounded_line(changes.get("steps"), config):
                told.note(rounded)
            if finished is not None and ends:
                return _tell_again(told, finished, store, run_dir)
            assert learner is not None
            here = on_this_machine(replace(here, settings=completed(learner, here.settings)), learner)
            continuation = continuation_of(here, learner)
            store.check_that_it_can_go_on(generation)
            if config != old:
                store.set_config(to_plain(config))
            number = generation.number
            store.note(f"resumed at step {generation.step}" if config.sync else f"resumed at report {number}")
            if not number:  # else the view says at which step
                told.note("resumed at step 0, because no generation had been saved: all is computed again")
            if text := moved(store, machine.kind(here.engine.devices, here.engine.deterministic)):
                told.note(text)
            return _run(here, learner, store, told, continuation)


def _tell_again(told: Observer, finished: dict[str, Any], store: Store, run_dir: str | Path) -> Ended:
    """What a run that has ended is resumed to, where nothing more is asked for."""
    stopped = finished["stopped"]
    more = "steps=<more>" if stopped == "steps" else f"{stopped}=<more> (or null)"
    told.note(f"{run_dir} has finished already; resume it with {more} to extend it")
    told.finished(finished, store.run_dir)
    told.close()
    return Ended(store.run_dir, finished)


def _with_data(config: RunConfig, learner: type[Learner], settings: dict[str, Any], run_dir: Path) -> RunConfig:
    """The config of a run that goes on with these settings of its learner. Raises SettingError, also where the data are
    not those that the run began with."""
    data_files.check(learner, settings, run_dir)
    changed = settings != completed(learner, config.settings)
    return replace(config, settings=dict(learner.resolve(settings))) if changed else config


def go_on(config: RunConfig, *, progress: bool = False, observer: Observer | None = None) -> Ended:
    """Go on with the run that lies in ``config.run_dir`` and that ``config`` describes, ``steps``, ``stop`` and the
    like as it says. Raises RunFolderError where another run lies there."""
    with closing(Journal.open(local(config.run_dir))) as journal:
        old = config_of(journal)
    config = replace(config, settings=without_windows(config.settings))  # as what comes from the folder
    learner = find_learner(config.learner)
    there = identity(old, learner if old.learner == config.learner else Learner)
    if differs := first_difference(there, identity(config, learner)):
        raise RunFolderError(
            f"run_dir={config.run_dir} holds another run: {differs}; give this one a folder of its own, or go on with "
            f"that one by resume={config.run_dir}"
        )
    plain = to_plain(config)
    changes = {name: plain[name] for name in MAY_CHANGE} | aside_of(learner, config.settings)
    return resume_run(config.run_dir, changes, progress=progress, observer=observer, local_dir=config.local_dir)


def _run(
    config: RunConfig, learner: type[Learner], store: Store, observer: Observer, continuation: Continuation
) -> Ended:
    from firerl.engine import make_engine, usable_cores
    from firerl.engine.interface import Costs, LearnerSpec
    from firerl.engine.placement import poor_fit, usual_processes
    from firerl.engine.threads import one_thread
    from firerl.session.async_controller import AsyncController
    from firerl.session.controller import Controller

    one_thread()  # the winner is looked at in this process: promise 1 holds here too
    engine = config.engine
    stacked = learner.stacked_of(config.settings)
    if stacked > 1 and engine.workers_per_device is not None:
        raise SettingError(
            f"engine.workers_per_device={engine.workers_per_device}: must be null with learner.stacked={stacked}, "
            "whose groups are built as a whole"
        )
    if fixed := fixed_line(learner, config.settings, config.space):
        observer.note(fixed)
    spec = LearnerSpec(
        learner,
        config.settings,
        engine.devices,
        engine.workers_per_device,
        engine.deterministic,
        stacked,
        config.chunk,
        continuation.moves,
    )
    if continuation.lost:
        observer.note(f"{continuation.lost}; its workers stay where they are")
    elif continuation.stays and config.chunk is not None:
        observer.note(f"chunk={config.chunk} shares no worker: {continuation.stays}")
    workers = sum(config.sizes) + config.evaluators
    hosts = engine.processes or usual_processes(engine.devices, usable_cores())
    idle = poor_fit(hosts, workers, stacked, config.chunk is not None and continuation.moves)
    if idle and config.sync and engine.name not in ("inline", "ray"):
        observer.note(idle)
    costs = Costs(config.seed, **{name: getattr(engine, name) for name in SIMULATED})
    cluster = cluster_of(engine)

    def start_engine(alone: Sequence[int]) -> Engine:
        return make_engine(engine.name, spec, engine.processes, engine.timeout, workers, costs, alone, cluster)

    controller = Controller if config.sync else AsyncController
    try:
        with unused_files.listed_in(store.run_dir):
            figures = controller(config, learner, store, observer, start_engine).run()
        observer.finished(figures, store.run_dir)
    finally:
        observer.close()
    return Ended(store.run_dir, figures)


def _check_that_we_may_start() -> None:
    """Raise SettingError in a worker process: it is importing the learner, whose module starts a run itself."""
    import multiprocess

    if multiprocess.current_process().name.startswith("firerl-"):
        raise SettingError('its module starts a run when it is imported: put that under if __name__ == "__main__":')


def _observers(
    config: RunConfig,
    home: Home,
    loggers: Mapping[str, type[Logger]],
    progress: bool,
    observer: Observer | None,
    note: Callable[[str], None],
) -> Observer:
    """The terminal, whoever else is to be told, and the loggers, each guarded; ``note`` keeps what becomes of them."""
    people: list[Observer] = [observer] if observer else []
    if progress:
        from firerl.session.watching.view import make_view

        people.append(make_view(config, home.typed))
    if not loggers:
        return Together(*people)
    from firerl.session.watching.guarded_logger import GuardedLogger

    say, folder = Together(*people).note, Path(config.run_dir)
    guarded = [GuardedLogger(name, made, folder_of(folder, name), say, note) for name, made in loggers.items()]
    return Together(*people, *guarded)

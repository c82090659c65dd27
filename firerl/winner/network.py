"""The network that won a run, or leads one that goes on: its weights, its settings, as a learner that can play."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.config.named_code import check, learner_names, options_line
from firerl.errors import FirerlError, RunFolderError

if TYPE_CHECKING:
    from firerl.learner import Learner
    from firerl.storage.journal.journal_db import Journal

TRIES = 5  # to read a checkpoint that the run under way may replace meanwhile


@dataclass(frozen=True)
class Network:
    """Whose weights play."""

    task: str
    title: str
    learner: str
    settings: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    objective: float | None
    weights: Any
    step: int  # training steps behind it
    facts: Mapping[str, Any] | None = None  # of the task (``Learner.facts_of``); None: not kept
    measure: str = "objective"  # what the objective is

    def headline(self) -> str:
        """What it is and how good, in one line."""
        return f"{self.title}: {self.measure} {'none yet' if self.objective is None else f'{self.objective:.6g}'}"


def load(run_dir: Path | str, best_ever: bool = False) -> Network:
    """The winner of a finished run, else the best member of the last generation. Raises RunFolderError."""
    from firerl.config.run_config import window_of
    from firerl.storage import winner_file
    from firerl.storage.journal.journal_db import Journal
    from firerl.storage.journal.recorded_config import config_of
    from firerl.storage.remote.reading import local
    from firerl.summary import figure_names

    given, run_dir = run_dir, local(run_dir, weights=True)
    with closing(Journal.open(run_dir)) as journal:
        config, finished = config_of(journal), _has_winner(journal)
    if not finished:
        return _load_current(given, best_ever)
    best = winner_file.read(run_dir / "best.pt")
    title, measure = (
        f"{config.task}: winner at step {best['network_step']:,}",
        figure_names.ranked_by(window_of(config)),
    )
    if best_ever:
        best, measure = winner_file.read(run_dir / "best_ever.pt"), figure_names.BEST_EVER
        title = f"{config.task}: best ever, at step {best['network_step']:,}"
    if "hyperparameters" not in best:
        raise RunFolderError(f"{run_dir}: its winner has no hyperparameters")
    kept = {name: best[name] for name in ("task", "learner", "settings", "hyperparameters", "objective", "weights")}
    return Network(title=title, step=best["network_step"], facts=best.get("facts"), measure=measure, **kept)


def _has_winner(journal: Journal) -> bool:
    """Whether the results are those of the last generation, not of a shorter run that goes on."""
    try:
        return journal.result() is not None
    except RunFolderError:  # result.json is damaged; best.pt may be whole
        return True


def _load_current(run_dir: Path | str, best_ever: bool) -> Network:
    """From the checkpoints of a run that has no result yet; while it goes on they change under our eyes."""
    from firerl.storage.remote.reading import local

    for attempt in range(TRIES):
        try:
            return _read_current(local(run_dir), best_ever)
        except RunFolderError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _read_current(run_dir: Path, best_ever: bool) -> Network:
    from firerl.config.run_config import window_of
    from firerl.evolution.winner import winner
    from firerl.storage.journal.journal_db import Journal
    from firerl.storage.journal.recorded_config import config_of
    from firerl.summary import figure_names

    with closing(Journal.open(run_dir)) as journal, journal.moment():
        config = config_of(journal)
        generation = journal.last()
        leader = winner(generation.state, generation.decisions, window_of(config))
        ever = generation.best_ever
        if leader is None:
            raise FirerlError(f"no member of P1 is healthy in {run_dir}: nobody can play")
        found = generation.network_of(leader)
        if found is None:
            raise FirerlError(f"the run in {run_dir} has nothing to play yet: no generation is committed")
        if best_ever and ever is None:
            raise FirerlError(f"the run in {run_dir} has no best ever yet: no member of P1 has an objective")
        worker, file, step, objective = (
            leader.worker, found.name, leader.network_step, leader.objective
        )  # fmt: skip
        title = f"{config.task}: unfinished run, best member so far, worker {worker} at step {step:,}"
        if best_ever and ever is not None:
            worker, file, step, objective = ever.worker, ever.file, ever.step, ever.objective
            title = f"{config.task}: unfinished run, best ever, worker {worker} at step {step:,}"
        weights = weights_of(journal, file)
    values = generation.state.workers[worker].hyperparameters
    measure = figure_names.BEST_EVER if best_ever else figure_names.ranked_by(window_of(config))
    return Network(
        config.task, title, config.learner, config.settings, values, objective, weights, step, measure=measure
    )


def weights_of(journal: Journal, file: str) -> Any:
    """One half of a worker's state. Raises RunFolderError."""
    state = journal.read_file(file)
    if not isinstance(state, dict) or "weights" not in state:
        raise RunFolderError(f"{journal.run_dir / 'checkpoints' / file} is not the state of a learner")
    return state["weights"]


def build(network: Network, own: str | None = None, command: str = "python -m firerl.play <run_dir>") -> Learner:
    """The network as a learner, ready to play; ``own`` is the class to take where the run's cannot be found."""
    from firerl.config.learners import completed, find_again, find_learner, is_homeless

    names = learner_names(network.learner, network.settings)
    if own is not None or is_homeless(network.learner):
        del names["learner"]
    check(names, options_line(command))
    given = None if own is None else find_learner(own)
    found = find_again(network.learner, f"{command} --learner <its module>.<class>", given)
    settings = completed(found, network.settings)
    with weights_of_a_file(network):
        learner = found(settings, network.hyperparameters, 0, "cpu")
        learner.load(weights=network.weights)
    return learner


@contextmanager
def weights_of_a_file(network: Network) -> Iterator[None]:
    """What a learner makes of weights that are none of its own, as one FirerlError."""
    try:
        yield
    except (FirerlError, OSError):
        raise
    except Exception as error:  # anybody's code, on anybody's weights
        from firerl.engine.failures import message_of

        why = message_of(error)[:160]
        text = f"learner={network.learner} cannot work with these weights: {type(error).__name__}: {why}"
        raise FirerlError(text) from error

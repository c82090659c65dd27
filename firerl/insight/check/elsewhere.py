"""A learner in other processes: what comes of one that is loaded there, of one that is built there, and of one that
moves from one to the other."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firerl.base.disk import files
from firerl.engine import make_engine
from firerl.engine.interface import Advance, Create, LearnerSpec, Load, Outcome, Saved
from firerl.errors import FirerlError
from firerl.insight.check.states import EVALUATE_SEED, Snapshot, snapshot
from firerl.insight.check.subject import Subject
from firerl.storage import checkpoint


@dataclass(frozen=True)
class Elsewhere:
    """What has come of them; None where an evaluation raised, and nothing could be saved."""

    trouble: str = ""  # what went wrong with the first
    objectives: tuple[Any, Any] = (None, None)
    resumed: Snapshot | None = None  # loaded after ``first`` steps, trained for ``second``
    neighbour: Snapshot | None = None  # built beside it in another process, trained for ``second``
    moving: str = ""  # what went wrong with the move
    stayed: Snapshot | None = None  # ``resumed`` after ``first`` steps more
    moved: Snapshot | None = None  # the same in the neighbour's process


def tried_elsewhere(subject: Subject) -> Elsewhere:
    """Two workers in two new processes, which are one here where the subject's engine is inline."""
    spec = LearnerSpec(subject.learner, subject.settings, (subject.device,))
    with tempfile.TemporaryDirectory() as name, closing(make_engine(subject.engine, spec, 2)) as engine:
        folder = Path(name)
        files.write(folder / "state.pt", checkpoint.dumps(subject.known["first"].whole()))
        engine.load([Load(0, subject.values, subject.seed_of(1), folder / "state.pt")])
        engine.create([Create(1, subject.values, subject.seed_of(1))])
        outcomes = _advanced(engine, subject.second)
        objectives = (outcomes[0].objective, outcomes[1].objective)
        for outcome in outcomes:
            if outcome.traceback and "evaluate() returned" not in outcome.traceback:
                return Elsewhere(f"in a new process it fails: {outcome.told}")
        if any(outcome.failure for outcome in outcomes):  # NaN, as here
            return Elsewhere(objectives=objectives)
        states = _saved(engine, folder, "resumed")
        if isinstance(states, str):
            return Elsewhere(f"in a new process its state cannot be saved: {states}")
        try:
            engine.load([Load(1, subject.values, subject.seed_of(1), folder / "resumed-w0.pt")])
            after = "" if any(o.failure for o in _advanced(engine, subject.first)) else _saved(engine, folder, "moved")
        except FirerlError as error:
            after = str(error)
        if isinstance(after, str):
            why = f"a worker cannot move from one process to another: {after or 'it fails there'}"
            return Elsewhere("", objectives, *states, moving=why)
        return Elsewhere("", objectives, *states, stayed=after[0], moved=after[1])


def _advanced(engine: Any, steps: int) -> list[Outcome]:
    return list(engine.advance([Advance(worker, steps, EVALUATE_SEED) for worker in (0, 1)], lambda _: None))


def _saved(engine: Any, folder: Path, prefix: str) -> tuple[Snapshot, Snapshot] | str:
    """The states of both; or why there is none."""
    answers = engine.save(folder, prefix, [0, 1])
    for answer in answers:
        if not isinstance(answer, Saved):
            return str(answer.told)
    one, other = (snapshot(checkpoint.read(folder / answer.name)) for answer in answers)
    return one, other

"""firerl as a library; the commands are a thin layer over it.

``run`` starts a population, ``resume`` goes on with one. Both return a ``Result`` and leave a run folder behind that
every command reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firerl.base.terminal import say
from firerl.config.compose import compose
from firerl.config.learners import warn_of_main
from firerl.config.request import resolve, rounded_line
from firerl.config.run_config import USUAL_LOGGERS
from firerl.learner import Learner
from firerl.run_result import Result
from firerl.session import standing
from firerl.session.start import resume_run, start
from firerl.session.watching.progress import Observer
from firerl.storage.remote.address import is_remote
from firerl.storage.remote.home import folder_of


def run(
    learner: type[Learner] | str = "vmpo",
    *,
    env: str | None = None,
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    algo: str = "fire",
    algo_settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    population: Sequence[int] | None = None,
    evaluators: int | None = None,
    steps: float | None = None,
    eval_interval: float | None = None,
    ready_interval: float | None = None,
    chunk: float | None = None,
    run_dir: str | Path | None = None,
    local_dir: str | Path | None = None,
    engine: str = "local",
    processes: int | None = None,
    devices: str | Sequence[str] = "auto",
    seed: int = 0,
    init: str | Path | None = None,
    sync: bool = True,
    logger: str | Sequence[str] = USUAL_LOGGERS,
    progress: bool = True,
    observer: Observer | None = None,
) -> Result:
    """Evolve a population to its end.

    ``learner`` is a Learner class, a short name or a dotted path; ``settings`` are its own. ``population`` gives the
    sizes of P1, P2, ...; steps and intervals are in the learner's steps, per worker, whole
    numbers (1e6 is one); a run that would end between two readies goes on to the next. ``run_dir`` may be an address
    (``s3://bucket/runs/x``), ``local_dir`` is where the run then works. ``init`` is a run folder or a ``best.pt`` whose
    weights all members start from; ``devices`` is where they compute ("cpu", ["cuda:0", "cuda:1"]). ``chunk`` is the
    part of an evaluation interval after which a worker may change its process (docs/how-to/cluster.md). With
    ``sync=False`` no worker waits for the others (docs/how-to/async.md). ``logger`` is who is told besides:
    "tensorboard", "wandb", dotted paths; "none". What is left out is as the command line has it. ``progress`` prints
    how it goes, ``observer`` is told besides.

    A class of a script or a notebook will do: worker processes get it from this process, and never run the script
    again. Such a class must be handed in again to ``resume``.

    Raises SettingError on what cannot work, RunFolderError on a folder in use, PopulationDied.
    """
    class_given = learner if isinstance(learner, type) else None
    wanted = {
        "learner": {"name": learner, **(settings or {})},
        "algo": {"name": algo, **(algo_settings or {})},
        "engine": {"name": engine, "processes": processes, "devices": devices},
        "population": {"sizes": None if population is None else list(population), "evaluators": evaluators},
        "space": space or {},
        "steps": steps,
        "eval_interval": eval_interval,
        "ready_interval": ready_interval,
        "chunk": chunk,
        "seed": seed,
        "run_dir": None if run_dir is None else str(run_dir),
        "local_dir": None if local_dir is None else str(local_dir),
        "init": None if init is None else str(init),
        "sync": sync,
        "logger": logger if isinstance(logger, str) else list(logger),
    }
    if env is not None:
        wanted["env"] = env
    if preset is not None:
        wanted["preset"] = preset
    if run_dir is not None:
        is_remote(run_dir)  # refuses an address that became a Path
    config = resolve(compose(settings=wanted), class_given)
    if progress and (line := rounded_line(steps, config)):
        say(line, error=True)
    if class_given is not None:
        warn_of_main(class_given, config.run_dir)
    with _telling(config.run_dir, config.local_dir, progress, class_given):
        return Result(*start(config, class_given, progress=progress, observer=observer))


def resume(
    run_dir: str | Path,
    learner: type[Learner] | None = None,
    *,
    progress: bool = True,
    observer: Observer | None = None,
    local_dir: str | Path | None = None,
    **changes: Any,
) -> Result:
    """Go on with a run from its last generation; a finished run returns at once.

    ``run_dir`` and ``local_dir`` as in ``run``. A ``learner`` that cannot be imported by name (from a notebook, say)
    must be handed in again. Only ``steps``, ``stop``, ``checkpoints``, ``engine`` and ``logger`` may change, and of the
    learner's ``settings`` those that change nothing of the result, as in ``data={"root": "/elsewhere"}``. Raises
    RunFolderError if there is no run, SettingError.
    """
    local_dir = None if local_dir is None else str(local_dir)
    if "settings" in changes:  # as ``run`` calls them
        changes["learner"] = changes.pop("settings")
    with _telling(str(run_dir), local_dir, progress, learner):
        return Result(*resume_run(run_dir, changes, learner, progress=progress, observer=observer, local_dir=local_dir))


@contextmanager
def _telling(run_dir: str, local_dir: str | None, progress: bool, own: type[Learner] | None) -> Iterator[None]:
    """A run that a person interrupts: what is kept, and the call that goes on."""
    begun = time.time()
    try:
        yield
    except KeyboardInterrupt:
        if progress:
            call = f"firerl.resume({run_dir!r}{'' if own is None else f', {own.__name__}'})"
            say(f"{standing.kept(folder_of(run_dir, local_dir), begun)}. Go on with: {call}")
        raise

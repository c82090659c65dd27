"""Weights that a new population starts from: ``init=<run_dir|best.pt>``.

Every member starts with the file's weights (networks, optimiser, normalisers: all that exploit would copy), with
hyperparameters and a stream of its own. A member's network step counts from 0: the schedule tells this run's steps.
The weights are copied into the run folder before the run begins, so that a resume never needs the file again, and
their digest is part of what decides the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from firerl.base.settings import show
from firerl.config.configured_learner import usual_values
from firerl.config.run_config import RunConfig
from firerl.engine.failures import message_of
from firerl.errors import FirerlError, RunFolderError, SettingError, reason
from firerl.evolution.space import Space
from firerl.learner import Learner


def read_initial(config: RunConfig, learner: type[Learner]) -> bytes | None:
    """The weights that ``config.init`` names, as ``checkpoint.loads`` takes them; None: it names none.

    Raises RunFolderError on a file that is missing or damaged, SettingError on weights that do not fit this run.
    """
    if config.init is None:
        return None
    from firerl.storage import checkpoint, winner_file

    where = f"init={show(config.init)}"
    try:
        best = winner_file.read(winner_file.file_of(config.init))
    except (RunFolderError, OSError, ValueError) as error:  # the operating system's: too long a name, a null byte
        why = reason(error) if isinstance(error, OSError) else error
        raise RunFolderError(f"{where}: must be a run folder or a best.pt: {why}") from error
    if best["learner"] != config.learner:
        raise SettingError(f"{where}: these are weights of learner={best['learner']}, not {config.learner}")
    other = differing(best["settings"], config.settings)
    values = usual_values(Space.parse(config.space), config.settings)
    try:
        network = learner(dict(config.settings), values, 0, "cpu")
        fresh = network.state()["weights"] if other else None
        network.load(weights=best["weights"])
        misfit = next(_misfits(fresh, best["weights"], "weights"), None)
    except FirerlError:
        raise
    except Exception as error:  # anybody's code
        misfit = f"{type(error).__name__}: {message_of(error)[:160]}"
    if misfit:
        here = ", ".join(f"{name}={show(there)} there, {show(own)} here" for name, there, own in other)
        raise SettingError(f"{where}: the weights do not fit this run's learner ({here or misfit})")
    return checkpoint.dumps(best["weights"], "weights")


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, there, here) of settings that are not equal; tuples equal lists."""
    plain = [{name: list(v) if isinstance(v, tuple) else v for name, v in side.items()} for side in (there, here)]
    names = dict.fromkeys([*plain[0], *plain[1]])
    pairs = [(name, plain[0].get(name), plain[1].get(name)) for name in names]
    return [(name, a, b) for name, a, b in pairs if a != b]


def _misfits(own: Any, given: Any, place: str) -> Iterator[str]:
    """Arrays and tensors that lie at the same place with different shapes."""
    if isinstance(own, Mapping) and isinstance(given, Mapping):
        for key in own.keys() & given.keys():
            yield from _misfits(own[key], given[key], f"{place}[{key!r}]")
    elif isinstance(own, list | tuple) and isinstance(given, list | tuple):
        for i, (a, b) in enumerate(zip(own, given, strict=False)):
            yield from _misfits(a, b, f"{place}[{i}]")
    elif hasattr(own, "shape") and hasattr(given, "shape") and tuple(own.shape) != tuple(given.shape):
        yield f"{place} has shape {list(given.shape)} there, {list(own.shape)} here"

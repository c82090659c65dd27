"""The file of a winner: ``best.pt`` or ``best_ever.pt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firerl.errors import RunFolderError
from firerl.storage import checkpoint

HOLDS = ("task", "learner", "settings", "weights", "network_step", "objective")


def read(file: Path) -> dict[str, Any]:
    """What a ``best.pt`` holds. Raises RunFolderError if it is missing, damaged or something else."""
    best = checkpoint.read(file)
    if not isinstance(best, dict) or any(name not in best for name in HOLDS):
        raise RunFolderError(f"{file} is not a best.pt or best_ever.pt of a run")
    kinds = {"task": str, "learner": str, "settings": dict, "network_step": int, "facts": dict, "hyperparameters": dict}
    wrong = [name for name, kind in kinds.items() if name in best and type(best[name]) is not kind]
    wrong += [] if type(best["objective"]) in (float, int, type(None)) else ["objective"]
    if wrong:
        raise RunFolderError(f"{file} is not a best.pt or best_ever.pt of a run: its {wrong[0]} is wrong")
    return best


def file_of(path: str | Path) -> Path:
    """The file of a winner: ``path``, or the one in a run folder (also at an address). Raises RunFolderError if that
    has not finished."""
    from firerl.storage.remote.reading import local

    path = local(path, weights=True)
    if not path.is_dir():
        return path
    if (path / "journal.sqlite").is_file() and not (path / "best.pt").is_file():
        raise RunFolderError(f"the run in {path} has not finished: it has no best.pt yet")
    return path / "best.pt"

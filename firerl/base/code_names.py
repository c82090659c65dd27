"""Names of code as people type them: ``my_pkg:Name`` and ``my_pkg.Name`` are the same.

A run keeps one spelling: ``package.module.Class`` of a learner or a logger, ``package.module`` of an algorithm, which
is a module, ``package.module:Id`` of an environment, as Gymnasium has it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from contextlib import suppress
from pathlib import Path

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")  # of a module


def module_of(role: str, name: str) -> str | None:
    """The module that a name leads to, in either spelling; None: to none outside firerl. ``role`` is learner, logger,
    algo or env; an environment's module stands before a colon, as Gymnasium has it."""
    if role == "env":
        return name.rpartition(":")[0] or None
    path = name.replace(":", ".")
    if "." not in path:
        return None
    return path if role == "algo" else path.rpartition(".")[0]


def spelled(role: str, name: str) -> str:
    """What a person typed, as a run keeps it."""
    if role != "env":
        before, colon, after = name.partition(":")
        return f"{before}.{after}" if colon and _PATH.fullmatch(before) else name
    module, _, own = name.rpartition(".")
    if ":" in name or not _PATH.fullmatch(module) or not own or _is_registered(name) or not _is_there(module):
        return name  # an id may have dots, and somebody's own learner may call its tasks as it likes
    return f"{module}:{own}"


def _is_registered(env_id: str) -> bool:
    gymnasium = sys.modules.get("gymnasium")
    return gymnasium is not None and env_id in gymnasium.registry


def _is_there(module: str) -> bool:
    """Whether Python would find its first part, in the current directory or elsewhere. Imports nothing."""
    top = module.partition(".")[0]
    if Path(top).is_dir() or Path(f"{top}.py").is_file():
        return True
    with suppress(ImportError, ValueError):  # ValueError: a module without a spec, such as __main__
        return importlib.util.find_spec(top) is not None
    return False

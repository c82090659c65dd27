"""Names of code as people type them: ``my_pkg:Name`` and ``my_pkg.Name`` are the same.

A run keeps one spelling: ``package.module.Class`` of a learner or a logger, ``package.module.function`` of a data set
or of a model, ``package.module`` of an algorithm, which is a module, ``package.module:Id`` of an environment, as
Gymnasium has it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from firerl.errors import SettingError

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")  # of a module
_OF_SETTINGS = ("data", "learner.model", "learner.module")  # roles that a learner's settings name


def module_of(role: str, name: str) -> str | None:
    """The module that a name leads to, in either spelling; None: to none outside firerl. ``role`` is learner, logger,
    algo, env, data or learner.model; an environment's module stands before a colon, as Gymnasium has it."""
    if role == "env":
        return name.rpartition(":")[0] or None
    path = name.replace(":", ".")
    if "." not in path:
        return None
    module = path.rpartition(".")[0]
    if role in _OF_SETTINGS:  # somebody's own learner may call its models as it likes
        return module if _PATH.fullmatch(module) and _is_there(module) else None
    return path if role == "algo" else module


def spelled(role: str, name: str) -> str:
    """What a person typed, as a run keeps it."""
    if role != "env":
        before, colon, after = name.partition(":")
        return f"{before}.{after}" if colon and _PATH.fullmatch(before) else name
    module, _, own = name.rpartition(".")
    if ":" in name or not _PATH.fullmatch(module) or not own or _is_registered(name) or not _is_there(module):
        return name  # an id may have dots, and somebody's own learner may call its tasks as it likes
    return f"{module}:{own}"


def is_path(name: str) -> bool:
    """Whether it has the form of ``package.module.function``, in either spelling."""
    return "." in name.replace(":", ".") and _PATH.fullmatch(name.replace(":", ".")) is not None


def load(what: str, name: str) -> Any:
    """The object at ``package.module.function``; ``what`` is the setting that names it. Raises SettingError."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # anybody's code runs here
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SettingError(f"{what}={name}: cannot be imported, must be <package>.<module>.<name>: {told}") from error


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

"""Find an algorithm by the name of its file in this folder, or by dotted path outside the project."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from types import ModuleType

from firerl.errors import SettingError, unknown

PARTS = ("Settings", "arrange", "validate", "decide")  # what makes a module an algorithm


def names() -> list[str]:
    """The algorithms of this folder."""
    package = importlib.import_module("firerl.evolution")
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        if all(hasattr(importlib.import_module(f"firerl.evolution.{info.name}"), part) for part in PARTS):
            found.append(info.name)
    return found


def algorithm(name: str) -> ModuleType:
    """The module of algorithm ``name``. Raises SettingError on an unknown name or a module that is none."""
    if "." not in name:
        if name not in names():
            raise unknown("algorithm", name, names())
        return importlib.import_module(f"firerl.evolution.{name}")
    try:
        module = importlib.import_module(name)
    except (ImportError, TypeError, ValueError) as error:  # a leading dot, say
        raise SettingError(f"algo={name}: cannot be imported: {error}") from error
    lacking = [part for part in PARTS if not hasattr(module, part)]
    if lacking:
        raise SettingError(f"algo={name}: the module lacks {', '.join(lacking)}")
    return module

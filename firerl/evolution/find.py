"""Find an algorithm by the name of its file in ``algorithms/``, or by dotted path outside the project.

An algorithm is a module with four parts: ``Settings`` (a dataclass), ``arrange``, ``validate`` and ``decide``. A fifth,
``initial(setup, settings) -> State``, is for one whose members do not start with draws from the space. See
``docs/how-to/your-own-algorithm.md``.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import textwrap
from types import ModuleType
from typing import Any

from firerl.base.code_names import spelled
from firerl.errors import SettingError, unknown
from firerl.evolution import population

ROOM = "firerl.evolution.algorithms"
PARTS = ("Settings", "arrange", "validate", "decide")  # what makes a module an algorithm


def names() -> list[str]:
    """The algorithms that come with firerl."""
    package = importlib.import_module(ROOM)
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        if all(hasattr(importlib.import_module(f"{ROOM}.{info.name}"), part) for part in PARTS):
            found.append(info.name)
    return found


def algorithm(name: str) -> ModuleType:
    """The module of algorithm ``name``. Raises SettingError on an unknown name or a module that is none."""
    name = spelled("algo", name)
    if "." not in name:
        if name not in names():
            raise unknown("algorithm", name, names())
        return importlib.import_module(f"{ROOM}.{name}")
    try:
        module = importlib.import_module(name)
    except (ImportError, TypeError, ValueError) as error:  # a leading dot, say
        raise SettingError(f"algo={name}: cannot be imported: {error}") from error
    lacking = [part for part in PARTS if not hasattr(module, part)]
    if lacking:
        raise SettingError(f"algo={name}: the module lacks {', '.join(lacking)}")
    return module


def summary(name: str) -> str:
    """What the algorithm is, in short: the first sentence of its file, without the sources in brackets."""
    first = (algorithm(name).__doc__ or "").partition("\n")[0]
    sentence = re.sub(r" \([^)]*\)", "", first).removesuffix(".").partition(". ")[0] + "."
    return textwrap.shorten(sentence, 90, placeholder="...")


def initial_state(algorithm: ModuleType, setup: population.Setup, settings: Any) -> population.State:
    """The population before its first step: the algorithm's own, else drawn from the space."""
    own = getattr(algorithm, "initial", None)
    state: population.State = own(setup, settings) if own else population.initial_state(setup)
    return state

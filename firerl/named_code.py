"""Code that a run folder names: a learner, an algorithm, an environment's module.

A name in a file may lead to any module of this machine, and importing a module runs it. So a name that comes from a
run folder (or a ``best.pt``) is followed only to firerl itself and to installed packages, with the current directory
off the import path. What is neither is given again by a person: on the command line, or as an import or a class in
the program that calls firerl; then its module is in memory already, and to use it runs nothing new.
"""

from __future__ import annotations

import functools
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.errors import SettingError

if TYPE_CHECKING:
    from firerl.config import RunConfig

ROLES = ("learner", "algo", "env")  # what a person may give again


def may_import(module: str) -> bool:
    """Whether a run folder may name this module: it is firerl's, an installed package's, or in memory already."""
    if module in sys.modules:
        return module not in ("__main__", "")
    top = module.partition(".")[0]
    if module.rpartition(".")[2] == "__main__":
        return False  # a program, which would run
    return top == "firerl" or (top in _installed() and _found_outside_here(top))


@contextmanager
def without_here() -> Iterator[None]:
    """The current directory is not on the import path, as ``python -m`` and ``find_learner`` put it there."""
    before = list(sys.path)
    here = {"", os.getcwd()}
    sys.path[:] = [*(entry for entry in before[:1] if entry not in here), *(e for e in before[1:] if _stays(e))]
    try:
        yield
    finally:
        sys.path[:] = before


def put_here_on_path() -> None:
    """Let names that a person typed lead into the current directory."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


def check(names: Mapping[str, str | None], line: Callable[[Mapping[str, str]], str]) -> None:
    """Raise SettingError where a run names code that it may not; ``line`` makes what to type of these names.

    By role: learner (``package.module.Class``), algo (``package.module``), env (``package.module:Id``).
    """
    modules = {role: _module_of(name, role) for role, name in names.items() if name is not None}
    foreign = {role: str(names[role]) for role, module in modules.items() if module and not may_import(module)}
    if foreign:
        told = ", ".join(f"{role}={name}" for role, name in foreign.items())
        raise SettingError(
            f"{told}: the run names code that is neither firerl's nor an installed package's, and a file may not name "
            f"that; if you trust it, give it again: {line(foreign)}"
        )


def settings_line(command: str) -> Callable[[Mapping[str, str]], str]:
    """``command learner=... env=...``"""
    return lambda names: " ".join([command, *(shlex.quote(f"{role}={name}") for role, name in names.items())])


def options_line(command: str) -> Callable[[Mapping[str, str]], str]:
    """``command --learner ... --env ...``"""
    return lambda names: " ".join([command, *(f"--{role} {shlex.quote(name)}" for role, name in names.items())])


def call_line(call: str) -> Callable[[Mapping[str, str]], str]:
    """What to write in a program; ``call`` has ``<class>`` for the learner's own name."""

    def line(names: Mapping[str, str]) -> str:
        imports = [f"import {_module_of(name, role)}" for role, name in names.items() if role != "learner"]
        own = names.get("learner", "").rpartition(".")[2] or "..."
        return "; ".join([*imports, call.replace("<class>", own)])

    return line


def take_given(given: Mapping[str, str], config: RunConfig) -> None:
    """Import what a person has given again, each the run's own, so that the run may name it.

    Raises SettingError where it is another than the run's, or cannot be imported.
    """
    own = own_names(config)
    for role, name in given.items():
        if name != own[role] and (role, name) != ("learner", config.learner):
            raise SettingError(
                f"{role}={name}: this run has {role}={own[role]}, which cannot change; start a new run for it"
            )
        module = _module_of(name, role)
        if module is not None:
            import_given(module, f"{role}={name}")


def import_given(module: str, what: str) -> Any:
    """A module that a person named; it may lie in the current directory. Raises SettingError."""
    put_here_on_path()
    try:
        return importlib.import_module(module)
    except Exception as error:  # anybody's code runs here
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise SettingError(f"{what}: cannot import {module!r}: {kind}{error}") from error


def import_env(name: str) -> None:
    """The module of an environment that a person named, ``package.module:Id``. Raises SettingError."""
    module = _module_of(name, "env")
    if module is not None:
        import_given(module, f"env={name}")


def own_names(config: RunConfig) -> dict[str, str | None]:
    """What a run names, by role."""
    return {"algo": config.algo.name, **learner_names(config.learner, config.settings)}


def learner_names(learner: str, settings: Mapping[str, Any]) -> dict[str, str | None]:
    """What a learner and its settings name: itself, or whom a modelled one stands for, and the environment."""
    of, env = settings.get("of"), settings.get("env")
    name = env.get("name") if isinstance(env, Mapping) else env
    return {
        "learner": of if learner == "modelled" and isinstance(of, str) else learner,
        "env": name if isinstance(name, str) else None,
    }


def _module_of(name: str, role: str) -> str | None:
    """The module that a name leads to; None: to none outside firerl."""
    if role == "env":
        return name.rpartition(":")[0] or None
    if "." not in name:
        return None
    return name.rpartition(".")[0] if role == "learner" else name


@functools.cache
def _installed() -> Mapping[str, Sequence[str]]:
    """The distributions of every importable name that pip knows of, editable ones too."""
    from importlib.metadata import packages_distributions  # imports much

    with without_here():
        return packages_distributions()


def _found_outside_here(top: str) -> bool:
    """Whether Python finds it where it is installed: by the path without the current directory, or by the finder that
    an editable package has brought."""
    with without_here():
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            editable = finder is not PathFinder and "__editable__" in _name_of(finder)
            if editable and find is not None and find(top) is not None:
                return True
        return PathFinder.find_spec(top) is not None


def _name_of(finder: Any) -> str:
    return f"{getattr(finder, '__module__', '')} {getattr(finder, '__name__', '')}"


def _stays(entry: str) -> bool:
    """Of the rest of the path only the empty word stands for the current directory: others were named by a person, as
    PYTHONPATH, or by an editable package."""
    return entry != "" and Path(entry) != Path(".")

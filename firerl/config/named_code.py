"""What a file may not bring along: code that it names, and places that it connects to. ``DOORS`` lists all of it.

A name in a file may lead to any module of this machine, and importing a module runs it. So a name that comes from a
run folder (or a ``best.pt``) is followed only to firerl itself and to installed packages, with the current directory
off the import path. What is neither is given again by a person: on the command line, or as an import or a class in
the program that calls firerl; then its module is in memory already, and to use it runs nothing new.

Whatever talks to somebody elsewhere (a Ray cluster, which also runs what it is sent and answers with what is run here;
a logger; a store) is never taken from a file at all: a person types it, each time anew.
"""

from __future__ import annotations

import functools
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.base.code_names import module_of, spelled
from firerl.errors import SettingError

if TYPE_CHECKING:
    from firerl.config.run_config import RunConfig

ROLES = ("learner", "algo", "env", "data")  # names of code: what a person may give again
MODEL = "learner.model"  # the same, of a learner whose network somebody brings
MODULE = "learner.module"  # the same, of learner=lightning
IMPORTED = ("algo", "env", "data", MODEL, MODULE)  # what a program gives again by an import
QUIET_LOGGERS = ("tensorboard",)  # that write files in the run folder and talk to nobody


@dataclass(frozen=True)
class Door:
    """A setting by which a file could run code here or connect this machine to somewhere."""

    typed: str  # how a person gives it again
    does: str  # what would be done: "imports", "connects to"
    asked: Callable[[RunConfig], str | None]  # what of it in these settings must be typed; None: nothing
    else_: str = ""  # what to type to go on without it


def _asked_code(role: str) -> Callable[[RunConfig], str | None]:
    def asked(config: RunConfig) -> str | None:
        return foreign({role: own_names(config)[role]}).get(role)

    return asked


def _asked_loggers(config: RunConfig) -> str | None:
    """All loggers of a run, where one of them may tell somebody; a class that is in memory already was given."""

    def given(name: str) -> bool:
        return name in QUIET_LOGGERS or module_of("logger", name) in sys.modules

    return None if all(map(given, config.logger)) else _loggers(config)


def _loggers(config: RunConfig) -> str:
    return config.logger[0] if len(config.logger) == 1 else f"[{','.join(config.logger)}]"


def _asked_init(config: RunConfig) -> str | None:
    return config.init if config.init is not None and "://" in config.init else None


# Everything that comes from a file and imports code or connects somewhere. Where a run is kept (run_dir) is no member:
# only what was typed is ever gone to. tests/config/test_named_code.py tries each, and asks where each setting belongs.
DOORS = (
    Door("learner", "imports", _asked_code("learner")),
    Door("algo", "imports", _asked_code("algo")),
    Door("env", "imports", _asked_code("env")),
    Door("data", "imports", _asked_code("data")),
    Door(MODEL, "imports", _asked_code(MODEL)),
    Door(MODULE, "imports", _asked_code(MODULE)),
    Door("logger", "connects to", _asked_loggers, "logger=none"),
    Door("engine.address", "connects to", lambda config: config.engine.address, "engine=local"),
    Door("init", "connects to", _asked_init),  # of replay: a resume has the weights in its folder
)


def may_import(module: str) -> bool:
    """Whether a run folder may name this module: it is firerl's, an installed package's, or in memory already."""
    return module not in ("__main__", "") if module in sys.modules else _is_known(module)


def _is_known(module: str) -> bool:
    """Whether it is firerl's or an installed package's."""
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

    By role: learner, algo, env, data, learner.model, learner.module, as ``firerl.base.code_names`` spells them.
    """
    if found := foreign(names):
        _refuse(found, line)


def foreign(names: Mapping[str, str | None]) -> dict[str, str]:
    """Those of these names of code that a file may not name."""
    modules = {role: module_of(role, name) for role, name in names.items() if name is not None}
    return {role: str(names[role]) for role, module in modules.items() if module and not may_import(module)}


def check_run(
    config: RunConfig,
    typed: Collection[str],
    line: Callable[[Mapping[str, str]], str],
    through: Collection[str] | None = None,
) -> None:
    """Raise SettingError where a run from a file goes through one of the ``DOORS`` that nobody has ``typed``;
    ``through``: those that it may go through at all, None: all but the weights that it began with."""
    through = {door.typed for door in DOORS} - {"init"} if through is None else through
    asked = {door.typed: door.asked(config) for door in DOORS if door.typed in {*through} - {*typed}}
    if found := {name: value for name, value in asked.items() if value is not None}:
        _refuse(found, line)


def typed_in(changes: Mapping[str, Any]) -> set[str]:
    """The doors that a person has typed at a resume."""
    engine = changes.get("engine")
    address = isinstance(engine, Mapping) and "address" in engine
    return {name for name, given in (("logger", "logger" in changes), ("engine.address", address)) if given}


def _refuse(found: Mapping[str, str], line: Callable[[Mapping[str, str]], str]) -> None:
    told = ", ".join(f"{name}={value}" for name, value in found.items())
    doors = [door for door in DOORS if door.typed in found]
    whys = {
        "imports": "the run names code that is neither firerl's nor an installed package's, and a file may not name "
        "that",
        "connects to": "the run names whom to connect to, and a file may not say that",
    }
    why = "; ".join(whys[does] for does in dict.fromkeys(door.does for door in doors))
    rest = [door.else_ for door in doors if door.else_]
    without = f"; else {' '.join(rest)}" if len(rest) == len(doors) else ""
    raise SettingError(f"{told}: {why}; if you trust it, give it again: {line(found)}{without}")


def to_give_again(names: Mapping[str, str | None]) -> dict[str, str]:
    """What of ``check``'s names another process has to be given again; what no name leads to is left out."""
    modules = {role: module_of(role, name) for role, name in names.items() if name is not None and "<" not in name}
    return {
        role: str(names[role])
        for role, module in modules.items()
        if module is not None and module != "__main__" and not _is_known(module)
    }


def to_type_again(config: RunConfig) -> dict[str, str]:
    """All that a resume of this run in another process has to be given again, by what one types."""
    again = to_give_again(own_names(config))
    if not set(config.logger) <= {*QUIET_LOGGERS}:
        again["logger"] = _loggers(config)
    return again if config.engine.address is None else {**again, "engine.address": config.engine.address}


def settings_line(command: str) -> Callable[[Mapping[str, str]], str]:
    """``command learner=... env=...``"""
    return lambda names: " ".join([command, *(shlex.quote(f"{role}={name}") for role, name in names.items())])


def options_line(command: str) -> Callable[[Mapping[str, str]], str]:
    """``command --learner ... --env ... --data ... --learner.model ...``"""
    return lambda names: " ".join([command, *(f"--{role} {shlex.quote(name)}" for role, name in names.items())])


def call_line(call: str, address: str = "engine={{'address': {!r}}}") -> Callable[[Mapping[str, str]], str]:
    """What to write in a program; ``call`` has ``<class>`` for the learner's own name, ``address`` is how it takes
    a cluster's."""
    words = {"engine.address": address, "init": "init={!r}"}

    def line(names: Mapping[str, str]) -> str:
        imports = [f"import {module_of(role, name)}" for role, name in names.items() if role in IMPORTED]
        own = names.get("learner", "").rpartition(".")[2]
        made = call.replace("<class>", own) if own else call.replace(", learner=<class>", "").replace("<class>", "...")
        given = [f", {words[role].format(name)}" for role, name in names.items() if role in words]
        given += [f", logger={name.strip('[]').split(',')!r}" for role, name in names.items() if role == "logger"]
        return "; ".join([*imports, f"{made.removesuffix(')')}{''.join(given)})"])

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
        module = module_of(role, name)
        if module is not None:
            import_given(module, f"{role}={name}")


def import_given(module: str, what: str) -> Any:
    """A module that a person named; it may lie in the current directory. Raises SettingError."""
    put_here_on_path()
    return _import(module, what)


def _import(module: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as error:  # anybody's code runs here
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise SettingError(f"{what}: cannot import {module!r}: {kind}{error}") from error


def import_named(role: str, name: str) -> None:
    """The module of an environment, a data set or a model that a person named. Raises SettingError."""
    module = module_of(role, spelled(role, name))
    if module is not None:
        import_given(module, f"{role}={name}")


def import_known(names: Mapping[str, str | None]) -> None:
    """Import what a file names, once ``check_run`` has let it pass: what lies in the current directory is not taken in
    its place. Raises SettingError."""
    for role, name in names.items():
        module = None if name is None else module_of(role, name)
        if module is not None and module not in sys.modules:
            with without_here():
                _import(module, f"{role}={name}")


def own_names(config: RunConfig) -> dict[str, str | None]:
    """What a run names, by role."""
    return {"algo": config.algo.name, **learner_names(config.learner, config.settings)}


def learner_names(learner: str, settings: Mapping[str, Any]) -> dict[str, str | None]:
    """What a learner and its settings name: itself, or whom a modelled one stands for, and the environment."""
    of = settings.get("of")
    names = {role: _name_in(settings.get(role)) for role in ("env", "data")}
    return {
        "learner": of if learner == "modelled" and isinstance(of, str) else learner,
        **names,
        MODEL: _name_in(settings.get("model")),
        MODULE: _name_in(settings.get("module")),
    }


def _name_in(group: Any) -> str | None:
    name = group.get("name") if isinstance(group, Mapping) else group
    return name if isinstance(name, str) else None


def split_given(changes: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Of what is typed at a resume: code that the run names, given again, which is no change but says that it may be
    run; and the rest."""
    given: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for group, change in changes.items():
        if not isinstance(change, Mapping):
            rest[group] = change
            continue
        roles = {"name": group, "model": f"{group}.model", "module": f"{group}.module"}
        given |= {role: spelled(role, change[key]) for key, role in roles.items() if _is_code(role, change.get(key))}
        if kept := {key: value for key, value in change.items() if roles.get(key) not in given}:
            rest[group] = kept
    return given, rest


def _is_code(role: str, name: Any) -> bool:
    return isinstance(name, str) and (role in ROLES or (role in (MODEL, MODULE) and module_of(role, name) is not None))


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

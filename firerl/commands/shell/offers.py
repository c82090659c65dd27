"""What a half-typed line of ``firerl`` may go on with. Imports nothing heavy: a person waits for it at every Tab.

The settings of firerl's own learners are read from their source, since to import a learner is to import torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import firerl
from firerl.commands import COMMANDS
from firerl.errors import SettingError

OPTIONS = ("--help", "--version", "--completion")
SHELLS = ("bash", "zsh", "fish")
TRUTH = ("true", "false")
DEFAULTS = {"learner": "vmpo", "algo": "fire"}  # where the line names none


def offers(line: str) -> list[str]:
    """All words that the last word of ``line`` may become; none: a file, or nothing that is known."""
    words = line.split()
    last = "" if not words or line[-1].isspace() else words.pop()
    given = words[1:]  # words[0] is firerl
    if not given:
        found: Sequence[str] = (*COMMANDS, *OPTIONS)
    elif given == ["--completion"]:
        found = SHELLS
    elif last.startswith("-"):
        found = _options(given[0])
    elif given == ["check"]:
        from firerl.config.compose import choices

        found = choices("learner")
    else:
        found = _of_settings(given[0], given[1:], last)
    return sorted({word for word in found if word.startswith(last)})


def _options(command: str) -> Sequence[str]:
    found: Sequence[str] = ("--help",)
    if command == "launch":
        from firerl.commands.launch import OPTIONS as OF_LAUNCH

        found = OF_LAUNCH
    elif command == "plan":
        from firerl.commands.plan import FLAGS, VALUED

        found = (*VALUED, *FLAGS)
    return [option for option in found if option.startswith("--")]


def _of_settings(command: str, given: Sequence[str], last: str) -> Sequence[str]:
    """Keys, or values of a key, of a command that takes settings."""
    typed = dict(word.split("=", 1) for word in given if "=" in word)
    if command in ("launch", "plan", "check"):
        known = _settings(typed)
        known |= {"config": ()} | ({"resume": ()} if command == "launch" else {})
    elif command == "replay" and given:
        from firerl.commands.replay import SETTINGS

        known = dict.fromkeys(SETTINGS, ())
    else:
        return ()
    key, equals, _ = last.partition("=")
    if equals:
        return [f"{key}={value}" for value in known.get(key, ())]
    return list(_level([name for name in known if name not in typed], last.count(".")))


def _level(names: Sequence[str], depth: int) -> Iterator[str]:
    """Names of at most so many dots, those with more cut there: ``steps=``, ``learner.``"""
    for name in names:
        parts = name.split(".")
        if len(parts) > depth + 1:
            yield ".".join(parts[: depth + 1]) + "."
        elif parts[-1]:
            yield f"{name}="


def _settings(typed: dict[str, str]) -> dict[str, Sequence[str]]:
    """Every setting of a run with the values that it may have, where these are known."""
    from firerl.config.compose import GROUPS, choices
    from firerl.config.find_loggers import NOBODY
    from firerl.config.find_loggers import SHORT_NAMES as LOGGERS
    from firerl.config.request import Request
    from firerl.evolution import find

    chosen = {**DEFAULTS, **typed}
    known: dict[str, Sequence[str]] = {name: values for name, values in _fields(Request) if not name.endswith(".name")}
    known |= {group: choices(group) for group in GROUPS}
    known |= {"logger": (*LOGGERS, NOBODY), "env.kwargs.": ()}
    with suppress(SettingError):  # half typed
        known |= dict(_fields(find.algorithm(chosen["algo"]).Settings, "algo."))
    settings, space = _of_learner(chosen["learner"])
    return known | {f"learner.{name}": () for name in settings} | {f"space.{name}": () for name in space}


def _fields(cls: Any, prefix: str = "") -> Iterator[tuple[str, Sequence[str]]]:
    hints = get_type_hints(cls)
    for declared in fields(cls):
        hint, name = hints[declared.name], prefix + declared.name
        if is_dataclass(hint):
            yield from _fields(hint, f"{name}.")
        else:
            yield name, TRUTH if hint is bool else declared.metadata.get("choices", ())


def _of_learner(name: str) -> tuple[list[str], list[str]]:
    """Settings and hyperparameters of a learner of firerl's own; none of anybody else's."""
    from firerl.config.learners import SHORT_NAMES

    settings: list[str] = []
    space: list[str] = []
    todo, done = [SHORT_NAMES.get(name, "").rpartition(".")[0]], set()
    while todo:
        module = todo.pop()
        path = _source(module)
        if module in done or path is None:
            continue
        done.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                settings += [target for target, value in _assigned(node) if node.name == "Settings"]
                space += [target for target, value in _assigned(node) if node.name == "Settings" and _tunable(value)]
                space += [key for target, value in _assigned(node) if target == "space" for key in _keys(value)]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [alias.name for alias in node.names]
                todo += [f"{node.module}.{name}" for name in names if name.endswith("settings")]
                todo += [node.module] if "Settings" in names else []
    return settings, space


def _source(module: str) -> Path | None:
    """The file of a module of firerl's."""
    top, *parts = module.split(".")
    places = [Path(place).joinpath(*parts).with_suffix(".py") for place in firerl.__path__ if top == "firerl" and parts]
    return next((place for place in places if place.is_file()), None)


def _assigned(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id, line.value


def _tunable(value: ast.expr | None) -> bool:
    words = value.keywords if isinstance(value, ast.Call) else []
    return any(word.arg == "tunable" and isinstance(word.value, ast.Constant) and word.value.value for word in words)


def _keys(value: ast.expr | None) -> list[str]:
    keys = value.keys if isinstance(value, ast.Dict) else []
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]

"""From ``key=value`` arguments to the tree of settings that ``firerl.config.request.resolve`` reads.

Hydra composes the groups of ``configs/`` and reads the values. Around it: a value of ``env=``, ``learner=`` or
``algo=`` that is no config is a name itself (a Gymnasium id, a dotted path), nobody types ``+``, and whatever is
wrong is one SettingError. Algorithms have no configs at all: their files in ``firerl/evolution/algorithms`` say
everything. Only ``firerl.config.request.resolve`` knows which values are right.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from firerl.base.code_names import module_of, spelled
from firerl.base.paths import at_home, expanded
from firerl.base.settings import plain
from firerl.config import settings_file
from firerl.config.learners import name_of
from firerl.config.named_code import MODEL, ROLES, put_here_on_path
from firerl.errors import SettingError, unknown
from firerl.evolution import find

GROUPS = {
    "env": "environment",
    "data": "data set",
    "algo": "algorithm",
    "learner": "learner",
    "engine": "engine",
    "preset": "preset",
}
FILE = "config"  # config=<file>: settings that the arguments are laid over
PATHS = ("run_dir", "resume", "init", "local_dir", "data.root", "data.file", "learner.pretrained")  # taken as they are
BRACKETS = ("[", "{", "'", '"')  # what begins so must be right in Hydra's grammar


class Argument(NamedTuple):
    """One ``key=value`` as typed."""

    key: str
    value: str


def compose(arguments: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tree of settings that ``arguments`` (as typed) and ``settings`` (as nested data) ask for.

    ``settings`` is laid over ``arguments``: ``{"env": "Ant", "learner": {"name": "vmpo", "epochs": 4}, "steps": 10}``;
    a Learner class may stand for its name. Both are laid over the file of settings that ``config=`` names. Raises
    SettingError on unknown names, malformed arguments, a file that cannot be read.
    """
    given = split(arguments)
    chosen, values = _choices_and_values([argument for argument in given if argument.key != FILE])
    more_chosen, more_values = _from_settings(settings or {})
    chosen.update(more_chosen)
    values = _overlaid(values, more_values)
    for argument in given:
        if argument.key == FILE:
            of_file = settings_file.read(expanded(argument.value, FILE), chosen, values)
            file_chosen, file_values = _from_settings(of_file)
            chosen, values = {**file_chosen, **chosen}, _overlaid(file_values, values)
    for group, value in chosen.items():
        _check_choice(group, value)
    for key in ("model", "module"):
        name = (values.get("learner") or {}).get(key)
        if isinstance(name, str) and module_of(MODEL, name) is not None:
            put_here_on_path()
    tree = compose_groups(chosen)
    default_preset = (tree.get("learner") or {}).get("default_preset")
    if default_preset and "preset" not in chosen:
        tree = compose_groups({**chosen, "preset": default_preset})
    return at_home(_overlaid(tree, values))


def read(arguments: Sequence[str]) -> dict[str, Any]:
    """The tree of these arguments alone, without defaults: what a resumed run is told to change."""
    chosen, values = _choices_and_values(split(arguments))
    return _overlaid({group: {"name": name} for group, name in chosen.items()}, values)


def split(arguments: Sequence[str]) -> list[Argument]:
    """Arguments by key. Raises SettingError on one without ``=``, given twice, or empty."""
    result: list[Argument] = []
    for text in arguments:
        key, equals, value = text.partition("=")
        key = key.lstrip("+")  # Hydra's habit, not needed here
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*(\.[\w-]+)*", key):
            raise SettingError(f"cannot read {text!r}: must be <setting>=<value>, as in env=Humanoid")
        if any(key == earlier.key for earlier in result):
            raise SettingError(f"{key} is given twice")
        if not value.strip():
            raise SettingError(f"{key}= has no value; null stands for the default")
        result.append(Argument(key, value))
    return result


def choices(group: str) -> list[str]:
    """The names that a group offers: its configs, or the algorithms."""
    return find.names() if group == "algo" else _configs(group)


def _configs(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def config_folder() -> Path:
    """Where the YAML files are, in a clone and in a wheel."""
    return Path(str(importlib.resources.files("firerl.configs")))


def _choices_and_values(given: Sequence[Argument]) -> tuple[dict[str, str], dict[str, Any]]:
    """``env=Ant`` is a choice; ``env.kwargs.x=1`` and all the others are values."""
    chosen = {key: _spelled(key, value) for key, value in given if key in GROUPS}
    values: dict[str, Any] = {}
    for argument in given:
        if argument.key not in GROUPS:
            value = _value(argument)
            for name in reversed(argument.key.split(".")):
                value = {name: value}
            values = _overlaid(values, value)
    return chosen, values


def _from_settings(settings: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The same for nested data, where a group is a name, a class, or a mapping with a name in it."""
    chosen, values = {}, {}
    for key, given in settings.items():
        value = plain(given)
        rest = dict(value) if isinstance(value, Mapping) else value
        if key in GROUPS:
            name = rest.pop("name", None) if isinstance(rest, dict) else rest
            if isinstance(name, type):
                name = name_of(name)
            if name is not None:
                chosen[key] = _spelled(key, str(name))
            rest = rest if isinstance(rest, dict) else {}
        values[key] = rest
    return chosen, values


def _spelled(group: str, given: str) -> str:
    """The name of a choice; one of a person's own code may lead into the current directory."""
    if group not in ROLES:
        return given
    name = spelled(group, given)
    if module_of(group, name) is not None:
        put_here_on_path()
    return name


def _check_choice(group: str, value: str) -> None:
    """Refuse a name that is no config of its group, unless it may be a name from outside."""
    from_outside = group == "env" or (group in ("learner", "algo", "data") and "." in value) or _is_file(group, value)
    if value not in choices(group) and not from_outside:
        raise unknown(GROUPS[group], value, choices(group))


def compose_groups(chosen: Mapping[str, str]) -> dict[str, Any]:
    """Hydra's part: config.yaml with the chosen config of every group."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    configs = {group: value for group, value in chosen.items() if value in _configs(group)}
    outer, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None  # firerl.run in somebody's Hydra app
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = hydra_compose("config", [f"{group}={value}" for group, value in configs.items()])
    finally:
        GlobalHydra.instance().hydra = outer
    tree: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    for group, value in chosen.items():
        if group not in configs:
            tree[group] = settings_file.read_preset(value) if _is_file(group, value) else {"name": value}
    return tree


def _is_file(group: str, value: str) -> bool:
    """Whether a preset is a person's own file."""
    return group == "preset" and value.endswith(settings_file.ENDINGS)


def _value(argument: Argument) -> Any:
    """A value as Hydra's grammar reads it: numbers, null, [lists], {mappings}, texts. A text that it cannot read is
    taken as it is, so that a path needs no quotes."""
    key, value = argument
    if key in PATHS:
        return None if value == "null" else expanded(value, key)
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
        if not override.is_sweep_override():
            return override.value()
    except HydraException:
        if value.startswith(BRACKETS):
            raise SettingError(f"cannot read the value of {key}={value}: quote what has special characters") from None
        return value
    if "/" in value:  # a path with a comma
        return value
    raise SettingError(f"{key}={value}: several values are written as a list, {key}=[{value}]")


def _overlaid(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``tree`` with ``over`` laid over it, mapping by mapping."""
    result = dict(tree)
    for name, value in over.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = _overlaid(old, value) if both else value  # type: ignore[arg-type]
    return result

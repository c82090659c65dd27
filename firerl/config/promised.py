"""The part of a run's settings that its result is a function of: what the journal's hash begins with.

Settings at their defaults are left out, so that a setting that firerl or a learner gets later changes the hash of no
run that does without it. So are settings that change nothing of the result, such as where the data lie (``aside`` of a
learner): these may also change when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from firerl.base.settings import defaults, plain, show
from firerl.config.learners import completed
from firerl.config.run_config import RunConfig, to_plain
from firerl.errors import SettingError
from firerl.evolution.plain import dumps, loads
from firerl.learner import Learner

# Where and how long a run goes on, and who is told, changes nothing of what has happened up to a step. Of init, its
# weights' digest is promised.
NOT_PROMISED = ("checkpoints", "engine", "init", "logger", "run_dir", "steps", "stop")


def split(config: RunConfig, learner: type[Learner], algorithm: ModuleType) -> tuple[dict[str, Any], dict[str, Any]]:
    """The promised settings, and those beside them that are at their defaults, both as plain data.

    ``together`` of both is the whole but for ``aside``, whose names stand in the second.
    """
    whole = {name: value for name, value in loads(dumps(to_plain(config))).items() if name not in NOT_PROMISED}
    own = without(whole["settings"], learner.aside)
    usual = without(plain(learner.defaults_of(config.settings)), learner.aside)
    kept = {"settings": differing(own, usual)}
    algo = whole["algo"]
    kept["algo"] = {**algo, "settings": differing(algo["settings"], defaults(algorithm.Settings))}
    left_out = {
        "settings": _beside(own, kept["settings"]),
        "algo": {"settings": _beside(algo["settings"], kept["algo"]["settings"])},
        "aside": list(learner.aside),
    }
    return {**whole, **kept}, left_out


def identity(config: RunConfig, learner: type[Learner]) -> dict[str, Any]:
    """What makes a run that run and no other, in full: with defaults, the weights it starts from by their path."""
    settings = completed(learner, config.settings)
    kept = {**loads(dumps(to_plain(replace(config, settings=settings)))), "sync": config.sync}
    kept["settings"] = without(kept["settings"], learner.aside)
    left_out = (*(name for name in NOT_PROMISED if name != "init"), "init_sha256")
    return {name: value for name, value in kept.items() if name not in left_out}


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two parts of the same settings as one; what both have is the first one's."""
    result = {**other, **one}
    for name in one.keys() & other.keys():
        if isinstance(one[name], Mapping) and isinstance(other[name], Mapping):
            result[name] = together(one[name], other[name])
    return result


def differing(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not as ``defaults`` have them; of a complete group those inside that are not."""
    found = {}
    for name, value in settings.items():
        usual = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(usual, Mapping) and usual.keys() <= value.keys():
            if inner := differing(value, usual):
                found[name] = inner
        elif name not in defaults or not _same(value, usual):
            found[name] = value
    return found


def _same(value: Any, usual: Any) -> bool:
    try:
        return dumps(plain(value)) == dumps(plain(usual))  # 1, 1.0 and true are three values
    except (TypeError, ValueError):  # a default that no file could hold
        return False


def _beside(whole: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """What ``kept`` lacks of ``whole``."""
    found = {}
    for name, value in whole.items():
        if name not in kept:
            found[name] = value
        elif isinstance(value, Mapping) and (inner := _beside(value, kept[name])):
            found[name] = inner
    return found


def without(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The settings but for those called ``name`` or ``group.name``."""
    kept = dict(settings)
    for name in names:
        first, _, rest = name.partition(".")
        if not rest:
            kept.pop(first, None)
        elif isinstance(kept.get(first), Mapping):
            kept[first] = without(kept[first], (rest,))
    return kept


def with_aside(learner: type[Learner], settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run with what a resume changes in them, not checked yet; ``changes`` are what a person types:
    the groups ``learner`` and ``data``. Raises SettingError on what would make it another run."""
    changed = dict(settings)
    for path, value in _leaves(changes):
        name = path.removeprefix("learner.")
        if name not in learner.aside and _at(settings, name) != value:
            told = ", ".join(one if one.startswith("data.") else f"learner.{one}" for one in learner.aside)
            raise SettingError(
                f"{path} cannot change when a run is resumed: of the learner's settings only {told or 'none'} can; "
                "start a new run for it"
            )
        changed = _put(changed, name.split("."), value)
    return changed


def aside_of(learner: type[Learner], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a resume may change, as ``with_aside`` takes them."""
    changes: dict[str, Any] = {}
    for name in learner.aside:
        if (value := _at(settings, name)) is not _NOTHING:
            changes = _put(changes, ["learner", *name.split(".")], value)
    return changes


_NOTHING = object()


def _at(settings: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(settings, Mapping) or part not in settings:
            return _NOTHING
        settings = settings[part]
    return settings


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _put(tree: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**tree, path[0]: value}
    inner = tree.get(path[0])
    return {**tree, path[0]: _put(inner if isinstance(inner, Mapping) else {}, path[1:], value)}


def first_difference(there: Any, here: Any, name: str = "") -> str:
    """The first setting in which two identities differ, with both values; "" where there is none."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                return first_difference(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
        return ""
    first, _, rest = name.partition(".")
    typed = {"settings": "learner", "sizes": "population.sizes", "evaluators": "population.evaluators"}
    name = ".".join(filter(None, (typed.get(first, first), rest.removeprefix("settings."))))
    return f"{name} is {show(there)} there and {show(here)} here"

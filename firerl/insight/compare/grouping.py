"""Which runs may be compared, and which of them are the same thing but for their seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firerl.base.settings import plain, show
from firerl.config.run_config import RunConfig
from firerl.errors import SettingError, unknown

SAME_FOR_ALL = ("task", "learner", "env", "eval_interval", "steps")  # else runs are not comparable
WORKERS = ("population.sizes", "population.evaluators")
SAID = 3  # differences in one message
Settings = dict[str, Any]  # by the names that a user types, leaves only


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed."""

    name: str  # the algorithm, and what is different from its other groups
    algo: str
    differs: Settings
    settings: Settings
    members: tuple[int, ...]  # indices of its runs, by seed


def settings_of(config: RunConfig) -> Settings:
    """All settings that decide the run but for the seed, by the names that a user types."""
    learner = dict(config.settings)
    tree = {
        "task": config.task,
        "learner": config.learner,
        "env": learner.pop("env", {}),
        "eval_interval": config.eval_interval,
        "ready_interval": config.ready_interval,
        "steps": config.steps,
        "population": {"sizes": config.sizes, "evaluators": config.evaluators},
        "space": config.space,
        "algo": config.algo.settings,
    }
    settings = {**_leaves("", plain(tree)), **_leaves("learner.", plain(learner))}
    if settings.get("env.name") == config.task:
        del settings["env.name"]
    return settings


def check_comparable(names: Sequence[str], configs: Sequence[RunConfig], allow: Collection[str] = ()) -> list[str]:
    """The settings that are ``allow``ed to differ and do; raises SettingError on others that differ.

    Task, learner with its settings, environment, eval_interval and steps must be the same. ``allow`` names settings or
    whole groups of them (learner, env); nothing allows different tasks.
    """
    every = [settings_of(config) for config in configs]
    needed = [name for name in _names(every) if name.split(".")[0] in SAME_FOR_ALL]
    known = {*needed, *(name.split(".")[0] for name in needed)} - {"task"}
    for name in allow:
        if name not in known:
            raise unknown("setting to allow", name, known)
    differing = {name: other for name in needed if (other := _first_other(every, name))}
    refused = {name: other for name, other in differing.items() if not _allowed(name, allow)}
    if not refused:
        return list(differing)
    if "task" in refused:
        refused = {"task": refused["task"]}
    said = [
        f"{names[0]} has {name}={show(every[0].get(name))}, {names[other]} has {show(every[other].get(name))}"
        for name, other in list(refused.items())[:SAID]
    ]
    more = f"; {len(refused) - SAID} more settings differ" if len(refused) > SAID else ""
    options = " ".join(f"--allow {name}" for name in refused if name != "task")
    help = f"; {options} compares them nevertheless" if options else ""
    raise SettingError(f"runs are not comparable: {'; '.join(said)}{more}{help}")


def group(names: Sequence[str], configs: Sequence[RunConfig]) -> list[Group]:
    """The groups in the order of their first runs. Raises SettingError where one run is given twice."""
    every = [settings_of(config) for config in configs]
    by_algo: dict[str, list[list[int]]] = {}
    order: list[list[int]] = []
    for i, config in enumerate(configs):
        earlier = by_algo.setdefault(config.algo.name, [])
        same = next((runs for runs in earlier if every[runs[0]] == every[i]), None)
        if same is None:
            same = []
            earlier.append(same)
            order.append(same)
        for j in same:
            if configs[j].seed == config.seed:
                raise SettingError(
                    f"{names[j]} and {names[i]} are the same run, all settings and seed {config.seed}: give one of them"
                )
        same.append(i)
    groups = []
    for runs in order:
        first = configs[runs[0]]
        settings = every[runs[0]]
        kin = [every[other[0]] for other in by_algo[first.algo.name]]
        differs = {name: settings.get(name) for name in _names(kin) if _first_other(kin, name)}
        by_seed = tuple(sorted(runs, key=lambda i: configs[i].seed))
        groups.append(Group(_name(first, differs), first.algo.name, differs, settings, by_seed))
    return groups


def workers(config: RunConfig) -> str:
    """8+8+6: the members of P1, P2, ... and the evaluators; 22 or 8+8+0 where there are none."""
    several = [config.evaluators] if config.evaluators or len(config.sizes) > 1 else []
    return "+".join(map(str, [*config.sizes, *several]))


def also_different(groups: Sequence[Group]) -> list[str]:
    """The settings that several algorithms have, and have with different values; not how they arrange workers."""
    found = set()
    for i, a in enumerate(groups):
        for b in groups[i + 1 :]:
            if a.algo != b.algo:
                found |= {name for name in a.settings.keys() & b.settings if a.settings[name] != b.settings[name]}
    return sorted(name for name in found if name not in WORKERS)


def short(name: str) -> str:
    """A setting's name without the groups that go without saying."""
    return name.removeprefix("algo.").removeprefix("population.")


def _name(config: RunConfig, differs: Settings) -> str:
    """fire 4+4+3 truncation=0.5"""
    parts = [config.algo.name]
    if any(name in WORKERS for name in differs):
        parts.append(workers(config))
    parts += [f"{short(name)}={_compact(value)}" for name, value in differs.items() if name not in WORKERS]
    return " ".join(parts)


def _compact(value: Any) -> str:
    return show(value).replace(", ", ",")  # a group's name holds spaces between settings only


def _leaves(prefix: str, tree: Mapping[str, Any]) -> Settings:
    leaves: Settings = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves.update(_leaves(f"{prefix}{name}.", value))
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def _names(every: Sequence[Settings]) -> list[str]:
    return list(dict.fromkeys(name for settings in every for name in settings))


def _first_other(every: Sequence[Settings], name: str) -> int | None:
    """The first whose value is not that of the first; None: all have the same."""
    return next((i for i, settings in enumerate(every) if settings.get(name) != every[0].get(name)), None)


def _allowed(name: str, allow: Collection[str]) -> bool:
    return any(name == allowed or name.startswith(f"{allowed}.") for allowed in allow)

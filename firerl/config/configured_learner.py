"""The learner of a run: its complete settings, environment or data set among them, and the space that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firerl.base.settings import convert, plain, show
from firerl.errors import FirerlError, SettingError, unknown
from firerl.evolution.space import Space
from firerl.learner import Learner


def named(group: str, given: Any, default: str) -> tuple[str, dict[str, Any]]:
    """The name and the settings in one group of the tree."""
    if isinstance(given, str):
        return given, {}
    if given is not None and not isinstance(given, Mapping):
        raise SettingError(f"{group}={show(given)}: must be a name")
    rest = {str(key): value for key, value in (given or {}).items()}
    name = rest.pop("name", default)
    if not isinstance(name, str) or not name:
        raise SettingError(f"{group}={show(name)}: must be a name")
    return name, rest


def merged(name: str, old: Mapping[str, Any], changes: Any) -> dict[str, Any]:
    """A group of settings with ``changes``. Raises SettingError where these are none."""
    if not isinstance(changes, Mapping):
        raise SettingError(f"{name}={show(changes)}: must be a group of settings, as in {name}.<setting>=<value>")
    return {**old, **changes}


def learner_settings(
    learner: type[Learner], name: str, given: Mapping[str, Any], env: Any, data: Any
) -> dict[str, Any]:
    """The learner's complete settings, the environment or the data set among them where it has one."""
    given = {key: value for key, value in given.items() if key not in ("default_preset", *_space_alone(learner, given))}
    for key, value in given.items():
        default = learner.settings.get(key)
        if isinstance(default, (bool, int, float, str)):
            given[key] = convert(f"learner.{key}", value, type(default))
    if env:
        if "env" not in learner.settings:
            raise SettingError(f"env={show(named('env', env, 'null')[0])}: learner={name} takes no environment")
        given["env"] = _environment(learner.settings["env"], env)
    if data:
        if "data" not in learner.settings:
            raise SettingError(f"data={show(named('data', data, 'null')[0])}: learner={name} takes no data set")
        own = learner.settings["data"]
        chosen, rest = named("data", data, own.get("name", "") if isinstance(own, Mapping) else str(own))
        given["data"] = {"name": chosen, **rest}
    if given.get("stacked") is not None and "stacked" not in learner.settings:
        raise _cannot_stack(name, given["stacked"])
    try:
        return dict(plain(learner.resolve(given)))
    except FirerlError:
        raise
    except Exception as error:  # anybody's code
        raise SettingError(f"learner={name}: resolve() raised {type(error).__name__}: {error}") from error


def check_stacked(learner: type[Learner], name: str, settings: Mapping[str, Any], space: Space) -> None:
    """Refuse what cannot train as one, where the learner's setting ``stacked`` asks for it."""
    stacked = convert("learner.stacked", settings.get("stacked"), int | None, {"min": 2, "max": 4096})
    if stacked is None:
        return
    if learner.stack.__func__ is Learner.stack.__func__:  # type: ignore[attr-defined]
        raise _cannot_stack(name, stacked)
    for dimension in space.dimensions:
        if dimension.name in learner.reshaping:
            raise SettingError(
                f"learner.stacked={stacked}: space.{dimension.name} changes the shapes of what is computed, which "
                "members that train as one must share"
            )


def _cannot_stack(name: str, stacked: Any) -> SettingError:
    return SettingError(f"learner.stacked={show(stacked)}: learner={name} has no stack(): its members train one by one")


def _environment(default: Any, given: Any) -> dict[str, Any]:
    """``{"name": ..., "kwargs": {...}}`` of the environment, its name from the learner's default if not given."""
    known = default.get("name") if isinstance(default, Mapping) else default
    name, rest = named("env", given, known if isinstance(known, str) else "")
    for key in rest:
        if key != "kwargs":
            raise unknown("setting", f"env.{key}", ["env.name", "env.kwargs.<argument>"])
    return {"name": name, "kwargs": convert("env.kwargs", rest.get("kwargs") or {}, dict)}


def usual_values(space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One value a tuned hyperparameter, for algorithms that do not search: the first of ``initial``, else the fixed
    value that the learner has for it, where the space holds that, else the middle of the range on its own scale."""
    values = {}
    for d in space.dimensions:
        fixed = [value for value in (*d.initial[:1], settings.get(d.name)) if value is not None and d.contains(value)]
        values[d.name] = d.clip(fixed[0]) if fixed else d.draw(0.5)
    return values


def space_of(
    learner: type[Learner], settings: Mapping[str, Any], changes: Any, typed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The learner's search space, with a user's changes by hyperparameter; null takes one out, and so does a value
    among the learner's settings as they were ``typed``."""
    own = plain(learner.space_of(settings))
    known = learner.tunable_of(settings) if learner.Settings or learner.tunable else set(settings) - {"env", "data"}
    allowed = {*own, *known}
    for name, spec in merged("space", {}, changes).items():
        if own and name not in allowed:
            raise unknown("hyperparameter", f"space.{name}", [f"space.{known}" for known in allowed])
        if spec is None and name not in settings:
            raise SettingError(f"space.{name}=null: the learner has no fixed value for it, so it must be tuned")
    changes = {**plain(changes), **_fixing(own, settings, changes, typed or {})}
    both = {name: spec for name, spec in {**own, **changes}.items() if spec is not None}
    space = Space.parse(both)
    _check_numbers(Space.parse(own), settings, space)
    for dimension in space.dimensions:
        for value in dimension.ends:
            try:
                learner.check_hyperparameter(dimension.name, value)
            except FirerlError:
                raise
            except Exception as error:  # anybody's code
                reason = f"check_hyperparameter() raised {type(error).__name__}: {error}"
                raise SettingError(f"space.{dimension.name}={show(value)}: {reason}") from error
    return both


def fixed_line(learner: type[Learner], settings: Mapping[str, Any], space: Mapping[str, Any]) -> str | None:
    """What of the learner's own search space a run does not search, and whether anything is left; None: all of it."""
    values = {name: settings.get(name) for name in learner.space_of(settings) if name not in space}
    values |= {d.name: d.choices[0] for d in Space.parse(space).dimensions if len(d.choices) == 1}
    if not values:
        return None
    told = ", ".join(f"{name}={show(value)}" for name, value in values.items())
    left = [name for name in space if name not in values]
    return f"fixed, not searched: {told}; in the search space: {', '.join(left) or 'nothing, so nothing is tuned'}"


def _space_alone(learner: type[Learner], given: Mapping[str, Any]) -> list[str]:
    """What a learner knows as a hyperparameter only, and a person gave as a setting."""
    return [name for name in given if name in learner.space and name not in learner.settings]


def _fixing(
    own: Mapping[str, Any], settings: Mapping[str, Any], changes: Mapping[str, Any], typed: Mapping[str, Any]
) -> dict[str, Any]:
    """The changes of the space by which typed values hold: null, or of one value where the learner has no setting of
    that name. Raises SettingError where such a value is to be tuned, too."""
    fixing: dict[str, Any] = {}
    for name, value in typed.items():
        if value is None or name not in {*own, *changes}:
            continue
        if changes.get(name) is not None:
            raise SettingError(
                f"learner.{name}={show(value)} fixes what space.{name}={show(changes[name])} tunes: give one of them"
            )
        fixing[name] = None if name in settings else {"choice": [value]}
    return fixing


def _check_numbers(own: Space, settings: Mapping[str, Any], space: Space) -> None:
    """Raise SettingError where texts or booleans are to be tried for what is a number to the learner."""
    numbers = {d.name for d in own.dimensions if all(_is_number(value) for value in d.choices)}
    numbers |= {name for name, value in settings.items() if _is_number(value)}
    for d in space.dimensions:
        wrong = [value for value in d.choices if not _is_number(value)]
        if wrong and d.name in numbers:
            raise SettingError(
                f"space.{d.name}: {d.kind} must list numbers, as the learner's own are, got {wrong[0]!r}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

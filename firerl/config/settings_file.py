"""Settings in YAML files that a person names: ``config=my.yaml`` and ``preset=my_preset.yaml``.

A file of settings holds what one could type, nested: ``{learner: {name: vmpo, epochs: 4}, env: Ant, steps: 1e6}``. Or
it is the ``config.yaml`` of a run; then its settings become those that make this run again. What is typed beside it
wins.

The file may be a stranger's: of the ``DOORS`` of ``firerl.config.named_code`` it goes through none that nobody has
typed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from firerl.base.code_names import spelled
from firerl.base.disk import untrusted
from firerl.base.paths import expanded
from firerl.base.settings import build, convert, describe, plain, show
from firerl.config.configured_learner import named, usual_values
from firerl.config.find_loggers import NOBODY
from firerl.config.learners import find_learner, find_named, without_windows
from firerl.config.named_code import DOORS, ROLES, check_run, import_known, own_names
from firerl.config.promised import differing
from firerl.config.request import SECTIONS, Preset, Request
from firerl.config.run_config import AlgoConfig, EngineConfig, RunConfig, from_plain
from firerl.errors import SettingError, reason, unknown
from firerl.evolution import find
from firerl.evolution.space import Space
from firerl.learner import Learner

ENDINGS = (".yaml", ".yml")  # of a preset that is a file
OF_A_RUN = {"task", "settings"}  # what only the config.yaml of a run holds
IN_STEPS = ("steps", "eval_interval", "ready_interval")  # of a learner on its task: no other's
COUNTED = (*IN_STEPS, "population")  # what a preset says
COUNTED_BY_ALGO = ("max_eval_steps", "fitness_window")
EXPLORE = {"explore_factors": "factors", "resample_probability": "resample_probability"}  # also typed as explore.<name>
LEARNER, ALGO = "vmpo", "fire"  # where nobody names another
ALL = [door.typed for door in DOORS]

Tree = dict[str, Any]


def read(path: str, chosen: Mapping[str, str], typed: Mapping[str, Any]) -> Tree:
    """The settings in this file, without those in whose place others are typed: ``chosen`` groups by name, ``typed``
    values as nested data. Raises SettingError, naming the file."""
    with _of(path):
        content = _content(Path(path) / "config.yaml" if Path(path).is_dir() else Path(path))
        if config := _run(content):
            tree = _without_groups(_spelled(_whole(config)), chosen)
            _check_doors(tree, chosen, typed)
            tree = _as_typed(tree, config, chosen)
        else:
            tree = without_windows(_without_groups(_spelled(content), chosen))
            _check_names(tree)
            _check_doors(tree, chosen, typed)
            _check_plug_ins(tree, chosen)
        return _without_rivals(tree, typed)


def read_preset(path: str) -> Tree:
    """The preset in this file. Raises SettingError, naming the file."""
    where = Path(expanded(path, "preset"))
    with _of(path):
        return dict(plain(build(Preset, {"name": where.stem, **_content(where)}, "preset.")))


@contextmanager
def _of(path: str) -> Iterator[None]:
    try:
        yield
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error


def _content(path: Path) -> Tree:
    try:
        content = untrusted.parse_yaml(untrusted.read_text(path, untrusted.YAML), exponents=True)
    except OSError as error:
        raise SettingError(f"cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise SettingError(f"is not a file of settings: {error}") from error
    if not isinstance(content, Mapping):
        raise SettingError("must hold settings, as in steps: 1e6")
    return {str(name): value for name, value in content.items()}


def _run(content: Mapping[str, Any]) -> RunConfig | None:
    """The run that a ``config.yaml`` describes; None: these are settings as one types them."""
    if not content.keys() >= OF_A_RUN:
        return None
    config = from_plain(content)
    return replace(config, settings=without_windows(config.settings))


def _whole(config: RunConfig) -> Tree:
    """All settings of a run, as one types them. Its folder stays its own."""
    settings = plain(config.settings)
    data = plain(config)
    tree = {name: data[name] for name in ("steps", "eval_interval", "ready_interval", "chunk", "seed", "sync", "init")}
    tree |= {name: data[name] for name in ("space", "engine", "stop", "checkpoints", "logger")}
    tree |= {name: settings.pop(name) for name in ("env", "data") if _is_named(settings.get(name))}
    tree["population"] = {"sizes": data["sizes"], "evaluators": data["evaluators"]}
    tree["algo"] = {"name": config.algo.name, **data["algo"]["settings"]}
    tree["learner"] = {"name": config.learner, **settings}
    return tree


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("name"), str)


def _spelled(tree: Mapping[str, Any]) -> Tree:
    """With names of code as a run keeps them: what is asked of the doors is what would be imported."""
    kept = dict(tree)
    for role in ROLES:
        given = kept.get(role)
        if isinstance(given, str):
            kept[role] = spelled(role, given)
        elif isinstance(given, Mapping) and isinstance(given.get("name"), str):
            kept[role] = {**given, "name": spelled(role, given["name"])}
    return kept


def _without_groups(tree: Mapping[str, Any], chosen: Mapping[str, str]) -> Tree:
    """Without the groups in whose place another is typed: the settings of one learner are no other's."""
    kept = dict(tree)
    for group, name in chosen.items():
        if named(group, kept.get(group), name)[0] != name:
            del kept[group]
            if group == "learner":
                kept.pop("space", None)
    return kept


def _without_rivals(tree: Tree, typed: Mapping[str, Any]) -> Tree:
    """Without what a typed setting would contradict: of a hyperparameter either the value is given or the space."""
    learner, space = _group(typed, "learner"), _group(typed, "space")
    kept = {**tree}
    if isinstance(tree.get("learner"), Mapping):
        fixed = {name for name, spec in space.items() if spec is not None}
        kept["learner"] = {name: value for name, value in tree["learner"].items() if name not in fixed}
    if isinstance(tree.get("space"), Mapping):
        kept["space"] = {name: spec for name, spec in tree["space"].items() if name not in {*learner, *space}}
    return kept


def _group(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}


def _check_names(tree: Mapping[str, Any]) -> None:
    """Raise SettingError on a setting that no run has; those of learners and algorithms come later."""
    for name in tree:
        if name not in SECTIONS:
            raise unknown("setting", name, SECTIONS)
    known = {
        "env": ["env.name", "env.kwargs"],
        "preset": [f"preset.{declared.name}" for declared in fields(Preset)],
    }
    for line in describe(Request):
        if "." in line.name:
            known.setdefault(line.name.partition(".")[0], []).append(line.name)
    for group, names in known.items():
        for name in _group(tree, group):
            if f"{group}.{name}" not in names:
                raise unknown("setting", f"{group}.{name}", names)


def _check_doors(tree: Mapping[str, Any], chosen: Mapping[str, str], typed: Mapping[str, Any]) -> None:
    """Raise SettingError where the file leads to code or to an address that nobody has typed; import what it may."""
    for name in ("run_dir", "local_dir"):
        if name not in typed and "://" in str(tree.get(name)):
            raise SettingError(
                f"{name}={show(tree[name])}: a file may not say whom to connect to; if you trust it, give it again: "
                f"{shlex.quote(f'{name}={tree[name]}')}"
            )
    learner, settings = named("learner", tree.get("learner"), LEARNER)
    address = convert("engine.address", _group(tree, "engine").get("address"), str | None)
    asked = RunConfig(
        task="",
        sizes=(),
        evaluators=0,
        steps=1,
        eval_interval=1,
        ready_interval=1,
        run_dir="",
        space={},
        learner=learner,
        settings={
            "of": settings.get("of"),
            "model": settings.get("model"),
            "module": settings.get("module"),
            **{group: tree.get(group) or settings.get(group) for group in ("env", "data")},
        },
        algo=AlgoConfig(named("algo", tree.get("algo"), ALGO)[0]),
        engine=EngineConfig(name="ray", address=address) if address else EngineConfig(),
        logger=tuple(name for name in convert("logger", tree.get("logger", []), tuple[str, ...]) if name != NOBODY),
        init=convert("init", tree.get("init"), str | None),
    )
    inside = [f"{group}.{name}" for group in ("engine", "learner") for name in _group(typed, group)]
    given = {*chosen, *typed, *inside}
    check_run(asked, given, lambda names: shlex.join(f"{name}={value}" for name, value in names.items()), ALL)
    import_known({role: name for role, name in own_names(asked).items() if role not in given})


def _learner(tree: Mapping[str, Any], chosen: Mapping[str, str]) -> type[Learner]:
    name, _ = named("learner", tree.get("learner"), LEARNER)
    return find_learner(chosen["learner"]) if "learner" in chosen else find_named(name)


def _check_plug_ins(tree: Mapping[str, Any], chosen: Mapping[str, str]) -> None:
    """Raise SettingError on a setting that the learner or the algorithm has not."""
    algo, settings = named("algo", tree.get("algo"), chosen.get("algo", ALGO))
    if settings:
        known = [f"algo.{declared.name}" for declared in fields(find.algorithm(algo).Settings)]
        for name in settings:
            if f"algo.{name}" not in known:
                raise unknown("setting", f"algo.{name}", known)
    if given := _group(tree, "learner"):
        learner, settings = _learner(tree, chosen), {name: given[name] for name in given if name != "name"}
        known = [f"learner.{name}" for name in (*learner.settings, *learner.space, "stacked")]
        for name in given:
            if name != "name" and f"learner.{name}" not in known and name not in learner.resolve(settings):
                raise unknown(f"setting of learner {learner.__name__}", f"learner.{name}", known)


def _as_typed(tree: Tree, config: RunConfig, chosen: Mapping[str, str]) -> Tree:
    """Of a run's settings what one would have typed, so that the rest follows from what is typed beside the file."""
    result, space = dict(tree), Space.parse(config.space)
    size: Tree = {}
    if "learner" in tree:
        learner = _learner(tree, chosen)
        own = Space.parse(plain(learner.space_of(config.settings))).to_plain()
        whole = space.to_plain()
        result["space"] = {name: spec for name, spec in whole.items() if own.get(name) != spec}
        result["space"] |= {name: None for name in own if name not in whole}
        given = _given(learner, config, space)
        for group in ("env", "data"):
            there = result.pop(group, None)
            if _is_named(given.get(group)):
                value = given.pop(group)
                result |= {} if there is None else {group: value}
        result["learner"] = {"name": config.learner, **given}
        if "preset" not in chosen:
            size = _in_evaluations(config, learner.eval_interval_of(config.settings))
    counted = COUNTED if "preset" in chosen else IN_STEPS
    result = {name: value for name, value in result.items() if name not in counted} | ({"preset": size} if size else {})
    if "algo" in tree:
        algo = _as_typed_of_algo(tree["algo"], config, space)
        result["explore"] = {EXPLORE[name]: algo.pop(name) for name in EXPLORE if name in algo}
        follows = COUNTED_BY_ALGO if not size else ["max_eval_steps"] if "max_eval_evaluations" in size else []
        result["algo"] = {name: value for name, value in algo.items() if name not in follows}
    return result


def _in_evaluations(config: RunConfig, usual: int) -> Tree:
    """The size of a run as a preset of its own: it follows an environment or a setting of the learner that is typed
    beside the file. ``usual`` is the learner's own evaluation interval."""
    unit, longest = config.eval_interval, config.algo.settings.get("max_eval_steps")
    counts = {"evaluations": config.steps // unit, "evaluations_per_ready": config.ready_interval // unit}
    if isinstance(longest, int) and longest % unit == 0:
        counts["max_eval_evaluations"] = longest // unit
    return {**counts, "eval_interval_scale": unit / usual}


def _as_typed_of_algo(settings: Mapping[str, Any], config: RunConfig, space: Space) -> Tree:
    """Without what a run gives an algorithm by itself."""
    kept = dict(settings)
    if kept.get("anneal_steps") in (None, config.steps):
        kept.pop("anneal_steps", None)
    if isinstance(kept.get("hyperparameters"), Mapping):
        kept["hyperparameters"] = differing(kept["hyperparameters"], usual_values(space, config.settings))
    return kept


def _given(learner: type[Learner], config: RunConfig, space: Space) -> Tree:
    """The learner's settings that lead to those of the run: what is left out is at its default, or follows."""
    tuned = {dimension.name for dimension in space.dimensions}
    wanted = {name: value for name, value in plain(config.settings).items() if name not in tuned}
    given: Tree = {name: wanted[name] for name in ("env", "data") if name in wanted}
    while more := _unlike(plain(learner.resolve(given)), wanted, given):
        given |= more
    usual = plain(learner.settings)
    return {name: value for name, value in given.items() if name not in ("env", "data") or value != usual.get(name)}


def _unlike(found: Mapping[str, Any], wanted: Mapping[str, Any], given: Mapping[str, Any]) -> Tree:
    """What is ``wanted``, is not ``given`` yet and is not so by itself."""
    return {name: value for name, value in wanted.items() if name not in given and found.get(name) != value}

"""The cases of ``settings_sweep.py``, derived from the declarations: a new setting is swept without a new line here.

What a setting may be comes from its dataclass field (type, limits, choices). Every setting gets edge values, values
outside its limits, wrong types and a misspelt name.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

from firerl.config.compose import choices
from firerl.config.learners import SHORT_NAMES, find_learner
from firerl.config.request import Preset, Request
from firerl.engine import ENGINES
from firerl.envs import images
from firerl.evolution import find, space

# Two rounds of ten workers: a moment.
QUADRATIC = {
    "learner": "quadratic", "population.sizes": "[4,4]", "population.evaluators": "2", "steps": "20",
    "ready_interval": "10", "engine": "inline", "logger": "[]",
}  # fmt: skip
AGENT = {"env": "InvertedPendulum", "population.sizes": "[2]", "algo": "pbt", "engine": "inline", "logger": "[]",
         "preset.evaluations": "2", "preset.evaluations_per_ready": "1"}  # fmt: skip
PICTURES = {"data.root": "../../pictures", "data.size": "8", "data.objective": "2", "learner.model": "cnn",
            "learner.batch_size": "2", "learner.micro_batch": "null"}  # fmt: skip
SMALL = {"learner.num_envs": "2", "learner.unroll": "10", "learner.minibatches": "2", "learner.hidden": "[4]"}
# What a run of two rounds with this learner needs besides; a learner that is not named here gets AGENT's without env.
LEARNERS: dict[str, dict[str, str]] = {
    "quadratic": QUADRATIC,
    "modelled": {**QUADRATIC, "learner": "modelled", "learner.of": "quadratic"},
    "vmpo": {**AGENT, **SMALL, "learner": "vmpo"},
    "ppo": {**AGENT, **SMALL, "learner": "ppo"},
    "sb3": {**AGENT, "learner": "sb3", "learner.arguments.n_steps": "16", "learner.batch_size": "8",
            "learner.eval_interval": "16"},
    "lightning": {**QUADRATIC, "learner": "lightning", "learner.module": "lightning_for_tests:Net",
                  "learner.data": "lightning_for_tests:Rows"},
    "classifier": {**{k: v for k, v in AGENT.items() if k != "env"}, "learner": "classifier", "learner.width": "2",
                   "learner.eval_interval": "1"},
}  # fmt: skip
MEANT = ("seed=[1]",)  # what looks like a wrong type and is none
PATHS = ("run_dir", "resume", "init", "local_dir")
TEXTS = ("x", "x" * 300, "../x", "'two words'", "''")
HUGE = 10**12
LARGE = 100  # from here on a whole number of an agent is only checked: a width, a batch


@dataclass(frozen=True)
class Swept:
    """One setting, the command line that it is tried in, and what is known of it."""

    name: str  # as typed
    base: Mapping[str, str]  # the rest of the command line
    hint: Any
    limits: Mapping[str, Any]
    group: str  # of the table
    real: bool = True  # False: checked, never started


@dataclass(frozen=True)
class Case:
    """One command line."""

    group: str
    kind: str  # edge, outside, type, unknown, pair
    names: tuple[str, ...]  # of the settings that it is about
    arguments: tuple[str, ...]
    real: bool = True

    @property
    def must_refuse(self) -> bool:
        """Whether no run may come of it."""
        return self.kind in ("outside", "type", "unknown")

    def __str__(self) -> str:
        keys = {argument.partition("=")[0] for argument in self.arguments} if not self.names else set(self.names)
        return " ".join(a for a in self.arguments if a.partition("=")[0] in keys) or " ".join(self.arguments)


def settings() -> list[Swept]:
    """Every setting of every group."""
    found = [*_fields(Request, "", QUADRATIC, "run"), *_fields(Preset, "preset.", QUADRATIC, "preset")]
    for engine in ENGINES:
        if engine not in (QUADRATIC["engine"], "ray"):  # a cluster takes seconds to start
            base = {**QUADRATIC, "engine": engine, "engine.processes": "1"}
            found += [s for s in _fields(Request, "", base, f"engine={engine}") if s.name.startswith("engine.")]
    for algo in find.names():
        base = {**QUADRATIC, "algo": algo}
        found += _fields(find.algorithm(algo).Settings, "algo.", base, f"algo={algo}")
    for learner in SHORT_NAMES:
        found += _learner(learner)
    for name, declared in images.SETTINGS.items():
        base = {**LEARNERS["classifier"], "data": name}
        base |= PICTURES if name == "imagenet" else {}
        found += _fields(declared, "data.", base, f"data={name}", real=name != "shapes")  # which take time to make
    found += list(_environments())
    found += list(_choices())
    return found


def _fields(cls: type, prefix: str, base: Mapping[str, str], group: str, real: bool = True) -> Iterator[Swept]:
    hints = get_type_hints(cls)
    for declared in fields(cls):
        name, hint = prefix + declared.name, hints[declared.name]
        if is_dataclass(hint):
            yield from _fields(hint, f"{name}.", base, group, real)  # type: ignore[arg-type]
        elif declared.name != "name":  # the group's own choice: see _choices
            yield Swept(name, base, hint, declared.metadata, group, real)


def _learner(name: str) -> Iterator[Swept]:
    """What a learner declares."""
    base = LEARNERS.get(name, {**AGENT, "learner": name})
    for swept in _fields(find_learner(name).Settings, "learner.", base, f"learner={name}"):
        key = swept.name.removeprefix("learner.")
        yield replace(swept, base={k: v for k, v in base.items() if k != key})  # env= would go over learner.env=


def _environments() -> Iterator[Swept]:
    """The arguments of the environments in configs/env, as their classes declare them."""
    import gymnasium

    from firerl.envs.vector import resolve

    for name in choices("env"):
        spec = gymnasium.spec(resolve(name))
        base = {**AGENT, "env": name, "learner": "vmpo"}
        entry: Any = gymnasium.envs.registration.load_env_creator(str(spec.entry_point))
        parameters = inspect.signature(entry).parameters.values()
        for parameter in [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty]:
            default = parameter.default
            hint: Any = tuple[float, ...] if isinstance(default, tuple) else dict if isinstance(default, dict) else Any
            if isinstance(default, bool | str | float):
                hint = type(default)
            elif isinstance(default, int):  # a weight may have the default 1
                hint = int if parameter.annotation in (int, "int") else float
            yield Swept(f"env.kwargs.{parameter.name}", base, hint, {}, f"env={name}", real=False)
        yield Swept("env.kwargs.max_episode_steps", base, int | None, {"min": 1}, f"env={name}", real=False)


def _choices() -> Iterator[Swept]:
    """The groups themselves, the space, and what stands alone."""
    for group in ("env", "data", "algo", "learner", "engine", "preset"):
        base = LEARNERS[{"env": "vmpo", "data": "classifier"}.get(group, "quadratic")]
        base = {key: value for key, value in base.items() if key != group and not (group == "learner" and "." in key)}
        limits = {"choices": tuple(choices(group)), "open": group == "env"}
        yield Swept(group, base, str, limits, "groups", real=group in ("algo", "engine", "preset"))
    for kind in (*space._NUMBERS, *space._CHOICES):
        yield Swept(f"space.lr.{kind}", QUADRATIC, tuple[float, ...], {}, "space")
    for name in ("space.lr", "space.kappa", "space.lr.bounds", "space.lr.initial"):
        kind = {} if name.count(".") == 1 else {"space.lr.uniform": "[0.1,0.5]"}
        yield Swept(name, {**QUADRATIC, **kind}, dict if name.count(".") == 1 else tuple[float, ...], {}, "space")


def cases(swept: Swept) -> list[Case]:
    """All single cases of one setting."""
    made = [_case("edge", swept, text) for text in edges(swept.hint, swept.limits)]
    made += [_case("outside", swept, text) for text in outside(swept.hint, swept.limits)]
    if swept.name not in PATHS:  # taken as they are typed
        types = wrong_types(swept.hint, swept.limits)
        made += [_case("type", swept, text) for text in types if f"{swept.name}={text}" not in MEANT]
    wrong = f"{swept.name}x"
    return [*made, Case(swept.group, "unknown", (wrong,), _line({**swept.base, wrong: "1"}), swept.real)]


def pairs(all_settings: Sequence[Swept], count: int, seed: int, works: Callable[[Sequence[str]], bool]) -> list[Case]:
    """``count`` command lines on the quadratic, each with two settings at values that each works with alone."""
    rng, made = random.Random(seed), list[Case]()
    algos = find.names()
    while len(made) < count:
        base = {**QUADRATIC, "algo": rng.choice(algos)}
        fit = [s for s in all_settings if s.real and s.group in ("run", "preset", "space", "learner=quadratic")]
        fit += [s for s in all_settings if s.group == f"algo={base['algo']}"]
        chosen: dict[str, str] = {}
        for swept in rng.sample(fit, 2):
            values = edges(swept.hint, swept.limits)
            for text in rng.sample(values, min(4, len(values))):
                if works(_line({**base, swept.name: text})):
                    chosen[swept.name] = text
                    break
        if len(chosen) == 2:
            made.append(Case("pairs", "pair", tuple(chosen), _line({**base, **chosen})))
    return made


def edges(hint: Any, limits: Mapping[str, Any]) -> list[str]:
    """Values that may be allowed, as typed: at the limits, just inside them, very small and very large."""
    inner, nullable = _without_none(hint)
    null = ["null"] if nullable else []
    if limits.get("choices"):
        return [*map(str, limits["choices"]), *null]
    if get_origin(inner) is tuple:
        one = edges(get_args(inner)[0], limits) if get_args(inner)[0] is not dict else ["{}", "{a: 1}"]
        return [*(f"[{value}]" for value in one), "[]", f"[{','.join(one[:3])}]", f"[{','.join(one[:1] * 50)}]", *null]
    if inner is bool:
        return ["true", "false", *null]
    if inner in (int, float):
        known = [limits[key] for key in ("min", "max", "above", "below") if limits.get(key) is not None]
        inside = {"min": 1, "above": 1, "max": -1, "below": -1}
        unit = 1 if inner is int else 1e-9
        near = [limits[key] + sign * unit for key, sign in inside.items() if limits.get(key) is not None]
        usual = [0, 1, 2, 7, HUGE] if inner is int else [0, 1, 0.5, 1e-300, 1e300]
        return [*dict.fromkeys(_text(v) for v in (*known, *near, *usual) if _allowed(v, limits)), *null]
    if inner is str:
        return [*TEXTS, *null]
    if inner in (dict, Mapping) or get_origin(inner) in (dict, Mapping):
        return ["{}", "{a: 1}", "{a: {b: [1, null]}}", *null]
    return ["0", "1", "-1", "0.5", str(HUGE), "x", "true", "[1]", "{a: 1}", "null"]


def outside(hint: Any, limits: Mapping[str, Any]) -> list[str]:
    """Values beyond the limits."""
    inner, _ = _without_none(hint)
    if get_origin(inner) is tuple and get_args(inner)[0] in (int, float, str):
        return [f"[{value}]" for value in outside(get_args(inner)[0], limits)] + ["[]"] * bool(limits.get("shortest"))
    if limits.get("choices"):
        return [] if limits.get("open") else ["nonsense", f"{limits['choices'][0]}x"]
    if inner not in (int, float):
        return []
    steps = {"min": -1, "above": 0, "max": 1, "below": 0}
    beyond = [limits[key] + step for key, step in steps.items() if limits.get(key) is not None]
    return [_text(value) for value in beyond]


def wrong_types(hint: Any, limits: Mapping[str, Any]) -> list[str]:
    """Values of a type that cannot be meant."""
    inner, nullable = _without_none(hint)
    null = [] if nullable else ["null"]
    if get_origin(inner) is tuple:
        of = get_args(inner)[0]
        return ["{a: 1}", "[[1]]", *(["[text]", "text", "[true]", "[nan]"] if of in (int, float) else ["[1]"])]
    if inner is bool:
        return ["1", "text", "[true]", "{a: 1}", *null]
    if inner is int:
        return ["text", "1.5", "true", "[1]", "{a: 1}", "nan", "inf", *null]
    if inner is float:
        return ["text", "true", "[1]", "{a: 1}", "nan", "inf", *null]
    if inner is str:
        return ["1", "true", "[a]", "{a: 1}"]
    if inner in (dict, Mapping) or get_origin(inner) in (dict, Mapping):
        return ["1", "text", "[1]", "true"]
    return []


def _case(kind: str, swept: Swept, text: str) -> Case:
    agent = swept.group.startswith("learner=") and "preset.evaluations" in swept.base
    large = text.isdigit() and LARGE < int(text) < HUGE  # works, but not in a moment; HUGE has to be refused
    line = _line({**swept.base, swept.name: text})
    return Case(swept.group, kind, (swept.name,), line, swept.real and not (agent and large))


def _line(arguments: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in arguments.items())


def _text(value: float) -> str:
    return repr(value)


def _allowed(value: float, limits: Mapping[str, Any]) -> bool:
    low, high = limits.get("min"), limits.get("max")
    above, below = limits.get("above"), limits.get("below")
    return not (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The type, and whether null stands for a default."""
    rest = [part for part in get_args(hint) if part is not type(None)]
    if type(None) in get_args(hint) and len(rest) == 1:
        return rest[0], True
    return hint, hint is type(None)

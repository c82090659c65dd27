"""The settings that every on-policy agent has, and how an agent's settings are completed and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

from firerl import envs
from firerl.agents.actor_critic.activations import ACTIVATIONS
from firerl.agents.actor_critic.schedule import SCHEDULES
from firerl.errors import SettingError, unknown
from firerl.learner import check_multiple


@dataclass(frozen=True)
class Settings:
    """Defaults for a small task. An algorithm adds its own and may choose other defaults."""

    env: Any = field(default_factory=lambda: {"name": "InvertedPendulum", "kwargs": {}})  # a name alone will do

    # acting
    num_envs: int = 8  # environments stepped together
    unroll: int = 25  # steps of each environment between two updates; num_envs x unroll is the granularity
    init_scale: float = 0.3  # first standard deviation of an action, in half widths of its bounds
    min_scale: float = 0.01  # floor of it
    one_scale: bool = False  # the same in every state, instead of a second output of the network
    observation_clip: float = 10.0  # largest normalised observation, in standard deviations

    # learning
    hidden: tuple[int, ...] = (64, 64)  # width of each layer, the same for policy and value
    activation: str = "tanh"  # after each layer: tanh | elu
    epochs: int = 4  # passes over an unroll
    minibatches: int = 4  # gradient steps in a pass
    discount: float = 0.99  # of one step
    gae_lambda: float = 0.95  # of the lambda-returns
    learning_rate: float = 1e-3  # Adam, networks; where ``schedule`` begins
    schedule: str = "fixed"  # of the rate: fixed | linear (to a hundredth) | kl (follows ``target_kl``)
    schedule_steps: int | None = None  # linear: environment steps until the rate is at its lowest
    target_kl: float = 0.01  # kl: how far an unroll shall move the policy, in nats
    entropy_cost: float = 0.0  # weight of the policy's entropy, in nats
    max_grad_norm: float = 1.0  # of policy and of value, each
    value_rate: float = 0.05  # share of the newest unroll in the running scale of value targets

    # objective
    objective: str = "training"  # training | fresh | info:<key of the final info>
    objective_episodes: int = 8  # training, info: smallest window; fresh: episodes of one evaluation
    objective_policy: str = "sample"  # fresh: sample | mean
    eval_interval: int | None = None  # steps between evaluations; None: two updates


_OPEN = ("eval_interval", "schedule_steps")  # may be None, and are steps of a run, with no largest
_CHOICES = {"activation": tuple(ACTIVATIONS), "schedule": SCHEDULES, "objective_policy": ("sample", "mean")}
MOST = 1_000_000  # of whole numbers: what would never come to its end is a slip of the finger
WIDEST = 65_536
_INTEGERS = {  # smallest allowed
    "num_envs": 1, "unroll": 1, "epochs": 1, "minibatches": 1, "objective_episodes": 1, "eval_interval": 1,
    "schedule_steps": 1,
}  # fmt: skip
_NUMBERS: dict[str, tuple[float | None, float]] = {  # (lowest, highest) allowed; None: just above zero
    "init_scale": (None, 10.0), "min_scale": (None, 1.0), "observation_clip": (None, math.inf),
    "discount": (0.0, 1.0), "gae_lambda": (0.0, 1.0), "learning_rate": (0.0, 1.0), "entropy_cost": (0.0, 100.0),
    "max_grad_norm": (None, math.inf), "value_rate": (None, 1.0), "target_kl": (None, 100.0),
}  # fmt: skip


class Table:
    """One algorithm's settings: defaults, what each task changes, what is allowed, what may change while it trains."""

    def __init__(
        self,
        learner: str,  # its class's name, for errors
        defaults: Settings,
        tasks: Mapping[str, Mapping[str, Any]],  # by base name, any version
        tunable: tuple[str, ...],  # settings that a search space may hold: no rebuild is needed when they change
        integers: Mapping[str, int] | None = None,  # limits of the algorithm's own settings, as ``_INTEGERS``
        numbers: Mapping[str, tuple[float | None, float]] | None = None,  # as ``_NUMBERS``
    ):
        self.learner, self.tasks, self.tunable = learner, tasks, tunable
        self.defaults: dict[str, Any] = asdict(defaults)
        self.integers = {**_INTEGERS, **(integers or {})}
        self.numbers = {**_NUMBERS, **(numbers or {})}

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Complete, checked settings: the user's over the task's over the defaults. Twice is the same as once."""
        for name in given:
            if name not in self.defaults:
                known = [f"learner.{known}" for known in self.defaults]
                raise unknown(f"setting of learner {self.learner}", f"learner.{name}", known)
        env = _env(given.get("env", self.defaults["env"]), self.defaults["env"]["name"])
        settings = {**self.defaults, **self.tasks.get(envs.base_name(env["name"]), {}), **given, "env": env}
        for name in (*self.integers, *self.numbers):
            if not (name in _OPEN and settings[name] is None):
                settings[name] = self.check_value("learner", name, settings[name])
        for name, default in self.defaults.items():
            if isinstance(default, bool) and not isinstance(settings[name], bool):
                raise SettingError(f"learner.{name}={settings[name]!r}: allowed is true or false")
        settings["hidden"] = _hidden(settings["hidden"])
        settings |= _following(settings, given)
        for name, choices in _CHOICES.items():
            if settings[name] not in choices:
                raise unknown(f"learner.{name}", settings[name], choices)
        _check_objective(settings)
        _check_relations(settings)
        return settings

    def check_value(self, prefix: str, name: str, value: Any) -> Any:
        """One integer or number within its range, as int or float; SettingError naming ``prefix.name``."""
        label = f"{prefix}.{name}={value!r}"
        if name in self.integers:
            if isinstance(value, bool) or not isinstance(value, Real) or not float(value).is_integer():
                raise SettingError(f"{label}: must be a whole number")
            whole = int(float(value))
            if whole < self.integers[name]:
                raise SettingError(f"{label}: the smallest allowed is {self.integers[name]}")
            if whole > MOST and name not in _OPEN:
                raise SettingError(f"{label}: the largest allowed is {MOST}")
            return whole
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise SettingError(f"{label}: must be a finite number")
        low, high = self.numbers[name]
        number = float(value)
        if (low is None and number <= 0) or (low is not None and number < low) or number > high:
            above = "above 0" if low is None else f"from {low:g}"
            raise SettingError(f"{label}: allowed is {above}" + (f" to {high:g}" if math.isfinite(high) else ""))
        return number


def _env(env: Any, usual: str) -> dict[str, Any]:
    if isinstance(env, str):
        env = {"name": env}
    if not isinstance(env, Mapping):
        raise SettingError(f"learner.env={env!r}: allowed is a name or {{'name': ..., 'kwargs': {{...}}}}")
    for key in env:
        if key not in ("name", "kwargs"):
            raise unknown("setting of the environment", f"env.{key}", ["env.name", "env.kwargs.<argument>"])
    kwargs = env.get("kwargs") or {}
    if not isinstance(kwargs, Mapping):
        raise SettingError(f"env.kwargs={kwargs!r}: allowed is a mapping of arguments")
    name = env.get("name", usual)
    envs.check(name, kwargs)
    envs.check_ends(name, kwargs)
    return {"name": name, "kwargs": dict(kwargs)}


def _hidden(hidden: Any) -> list[int]:
    whole = isinstance(hidden, (list, tuple)) and all(type(width) is int and 0 < width <= WIDEST for width in hidden)
    if not whole or not hidden:
        allowed = f"a list of layer widths from 1 to {WIDEST}, such as [128, 128]"
        raise SettingError(f"learner.hidden={hidden!r}: allowed is {allowed}")
    return list(hidden)


def _check_objective(settings: Mapping[str, Any]) -> None:
    objective = settings["objective"]
    if objective not in ("training", "fresh") and not (
        isinstance(objective, str) and objective.startswith("info:") and len(objective) > len("info:")
    ):
        raise unknown("learner.objective", objective, ["training", "fresh", "info:<key>"])


def _following(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's own settings become where they do not fit the batch that is asked for; never what is given."""
    batch, changed = settings["num_envs"] * settings["unroll"], {}
    if "minibatches" not in given:
        changed["minibatches"] = _nearest_parts(batch, settings["minibatches"])[0]
    if "eval_interval" not in given and settings["eval_interval"] is not None:
        changed["eval_interval"] = max(round(settings["eval_interval"] / batch), 1) * batch
    return changed


def _nearest_parts(batch: int, parts: int) -> list[int]:
    """The one or two numbers nearest to ``parts``, the nearest first, of equal parts of two samples or more."""
    most = max(batch // 2, 1)
    below = (n for n in range(min(parts, most), 0, -1) if batch % n == 0)
    above = (n for n in range(parts + 1, min(2 * parts, most) + 1) if batch % n == 0)
    found = [*([next(below)]), *([n] if (n := next(above, None)) else [])]
    return sorted(found, key=lambda n: abs(n - parts))


def _check_relations(settings: Mapping[str, Any]) -> None:
    batch = settings["num_envs"] * settings["unroll"]
    parts = settings["minibatches"]
    if batch % parts or batch // parts < 2:
        near = " or ".join(map(str, sorted(_nearest_parts(batch, parts))))
        raise SettingError(
            f"learner.minibatches={parts} does not divide learner.num_envs x learner.unroll = {batch} into "
            f"equal parts of two samples or more, the nearest: {near}"
        )
    if settings["min_scale"] >= settings["init_scale"]:
        raise SettingError(
            f"learner.min_scale={settings['min_scale']} must be below learner.init_scale={settings['init_scale']}"
        )
    if settings["schedule"] == "linear" and settings["schedule_steps"] is None:
        raise SettingError("learner.schedule='linear' needs learner.schedule_steps, the steps that the rate falls over")
    if settings["eval_interval"] is not None:
        check_multiple("learner.eval_interval", settings["eval_interval"], batch, "num_envs x unroll")

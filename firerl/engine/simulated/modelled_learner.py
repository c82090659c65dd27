"""A learner that trains nothing: a stated model says what the objective of a network would be.

It stands for another learner, whose search space and intervals it has, where only the time that a run takes and what
evolution does are of interest. docs/lab/simulated.md has the model in formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from firerl.base.code_names import spelled
from firerl.base.settings import plain, setting, show
from firerl.config.learners import find_learner
from firerl.errors import SettingError
from firerl.evolution.space import Dimension, Space
from firerl.learner import Hyperparameters, Learner

SHARPNESS = 4.0  # pace is exp(-SHARPNESS) where every hyperparameter is at an end of its range
UNIT = 2.0**-20  # of the pace, so that sums of steps are exact: train(a); train(b) equals train(a + b)


class ModelledFailure(Exception):
    """What a modelled learner fails with."""


@dataclass(frozen=True)
class Settings:
    """What it stands for, and the model's numbers."""

    of: str = setting("vmpo", "the learner that it stands for")
    env: Any = setting(None, "that learner's environment; null: its default")
    space: Any = setting(None, "the search space, in whose middle it learns best; null: that learner's default space")
    granularity: int | None = setting(None, "granularity of train(); null: as that learner has it", "steps", minimum=1)
    eval_interval: int | None = setting(
        None, "steps between two evaluations; null: as that learner has it", "steps", minimum=1
    )
    learning_steps: float | None = setting(
        None,
        "how long it takes at the best pace to 63 % of all that can be learnt; null: 20 evaluations",
        "steps",
        above=0,
    )
    noise: float = setting(0.02, "noise of an objective", "standard deviations", minimum=0)
    failure_rate: float = setting(0.0, "learner failures per worker and step", minimum=0, maximum=1)
    stacked: int | None = setting(
        None, "so many in a row share a process, as those of a learner that trains them as one", "workers", minimum=2
    )


class Modelled(Learner):
    """Progress x grows by ``pace`` a step; the objective is 1 - exp(-x / learning_steps) plus noise.

    pace = exp(-4 mean_i d_i^2), d_i the distance of hyperparameter i from the middle of its range in the space of the
    learner that this one stands for, on its own scale, in half ranges. The weights are x alone.
    """

    Settings = Settings

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str):
        self.options = settings
        self.space_of_model = Space.parse(settings["space"])
        self.progress = 0.0
        self.steps = 0  # of this stream
        rate = settings["failure_rate"]
        self.lifetime = np.random.default_rng(seed).exponential(1 / rate) if rate else math.inf  # steps
        self.set_hyperparameters(hyperparameters)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        complete = super().resolve(settings)
        complete["of"], complete["env"] = spelled("learner", complete["of"]), _env(complete["env"])
        if complete["space"] is None or complete["granularity"] is None or complete["eval_interval"] is None:
            complete.update(_standing_for(complete))
        if complete["learning_steps"] is None:
            complete["learning_steps"] = 20.0 * complete["eval_interval"]
        try:
            complete["space"] = Space.parse(complete["space"]).to_plain()
        except SettingError as error:
            raise SettingError(f"learner.{error}") from error
        return complete

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(settings["space"])

    @classmethod
    def granularity_of(cls, settings: Mapping[str, Any]) -> int:
        return int(settings["granularity"])

    @classmethod
    def eval_interval_of(cls, settings: Mapping[str, Any]) -> int:
        return int(settings["eval_interval"])

    @classmethod
    def stack(cls, settings: Mapping[str, Any], slots: int, device: str) -> OneByOne:
        return OneByOne()

    @classmethod
    def task_of(cls, settings: Mapping[str, Any]) -> str:
        return f"modelled-{(settings['env'] or {}).get('name') or settings['of'].rpartition('.')[2]}"

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        known = [d for d in self.space_of_model.dimensions if d.name in values]
        distances = [distance(d, values[d.name]) ** 2 for d in known]
        self.pace = pace_of(sum(distances) / len(distances) if distances else 0.0)

    def train(self, steps: int) -> dict[str, float]:
        self.steps += steps
        if self.steps > self.lifetime:
            raise ModelledFailure(f"as failure_rate={self.options['failure_rate']} has it")
        self.progress += steps * self.pace
        return {}

    def evaluate(self, seed: int) -> float:
        noise = self.options["noise"] and self.options["noise"] * np.random.default_rng(seed).standard_normal()
        return float(1 - math.exp(-self.progress / self.options["learning_steps"]) + noise)

    def state(self) -> dict[str, Any]:
        return {"weights": {"progress": self.progress}, "stream": {"steps": self.steps, "lifetime": self.lifetime}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.progress = weights["progress"]
        if stream is not None:
            self.steps, self.lifetime = stream["steps"], stream["lifetime"]


class OneByOne:
    """The ``firerl.learner.Stack`` of learners that train nothing: it only keeps them together."""

    def train(self, members: Sequence[Modelled | None], steps: int) -> list[dict[str, float] | Exception | None]:
        return [None if member is None else self._one(member, steps) for member in members]

    def _one(self, member: Modelled, steps: int) -> dict[str, float] | Exception:
        try:
            return member.train(steps)
        except ModelledFailure as failure:
            return failure


def pace_of(mean_square: float) -> float:
    """Progress per step at this mean squared distance from the optimum, in whole units."""
    return round(math.exp(-SHARPNESS * mean_square) / UNIT) * UNIT


def distance(d: Dimension, value: Any) -> float:
    """How far a value lies from the middle of its range, on the scale of its kind: 0 there, 1 or -1 at the ends.

    The middle of an unordered choice is one of its values, and all others are at 1.
    """
    if d.kind == "choice":
        return float(d.choices.index(value) != len(d.choices) // 2)
    if d.kind == "ordered_choice":
        last = len(d.choices) - 1
        return 2 * d.choices.index(value) / last - 1 if last else 0.0
    scale = {"log_uniform": math.log, "one_minus_log_uniform": lambda x: math.log1p(-x)}.get(d.kind, float)
    low, high = scale(d.low), scale(d.high)
    return (2 * scale(value) - low - high) / (high - low)


def _env(env: Any) -> dict[str, Any] | None:
    """``{"name": ..., "kwargs": {...}}``, of which the learner that has it knows more; a name alone will do."""
    if env is None:
        return None
    given = {"name": env} if isinstance(env, str) else env
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or set(given) - {"name", "kwargs"}:
        raise SettingError(f"learner.env={show(env)}: must be a name or {{name: ..., kwargs: {{...}}}} or null")
    return dict(given)


def _standing_for(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is not given of the space and the intervals, from the learner that this one stands for."""
    name, env = settings["of"], settings["env"]
    if name == "modelled":
        raise SettingError("learner.of=modelled: must be a learner that trains")
    learner = find_learner(name)
    if env and "env" not in learner.settings:
        raise SettingError(f"env={env.get('name')}: learner.of={name} takes no environment")
    own = learner.resolve({"env": env} if env else {})
    found = {
        "space": plain(learner.space_of(own)),
        "granularity": learner.granularity_of(own),
        "eval_interval": learner.eval_interval_of(own),
    }
    return {"env": own.get("env"), **{key: value for key, value in found.items() if settings[key] is None}}

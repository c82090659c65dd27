"""The settings that every on-policy agent has, and what follows from them: the search, the rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firerl import envs
from firerl.agents.actor_critic.networks import ACTIVATIONS
from firerl.base.settings import plain, setting
from firerl.errors import SettingError, unknown
from firerl.learner import check_multiple

MOST = 1_000_000  # of whole numbers: what would never come to its end is a slip of the finger
WIDEST = 65_536
SCHEDULES = ("fixed", "linear", "kl")
STEP = 1.5  # one change of the rate's factor
LOWEST, HIGHEST = 0.01, 30.0  # factors
FACTOR = 3.0  # a first value of a search lies within this factor of the setting


@dataclass(frozen=True)
class Settings:
    """Defaults for a small task. An algorithm adds its own and may choose other defaults."""

    env: dict[str, Any] = setting(
        {"name": "InvertedPendulum", "kwargs": {}}, "the task, as env= of a run has it: its name and its arguments"
    )

    # acting
    num_envs: int = setting(8, "environments that are stepped together", "environments", minimum=1, maximum=MOST)
    unroll: int = setting(
        25, "steps of each environment between two updates; num_envs x unroll is the granularity", "steps",
        minimum=1, maximum=MOST,
    )  # fmt: skip
    init_scale: float = setting(
        0.3, "first standard deviation of an action", "half widths of its bounds", above=0, maximum=10
    )
    min_scale: float = setting(0.01, "smallest standard deviation of an action", "half widths", above=0, maximum=1)
    one_scale: bool = setting(False, "the standard deviation is the same in every state, not an output of the network")
    observation_clip: float = setting(10.0, "largest normalised observation", "standard deviations", above=0)

    # learning
    hidden: tuple[int, ...] = setting(
        (64, 64), "width of each layer, the same for policy and value", "units", minimum=1, maximum=WIDEST, shortest=1
    )
    activation: str = setting("tanh", "function after each layer: tanh or elu", choices=tuple(ACTIVATIONS))
    epochs: int = setting(4, "passes over an unroll", "passes", minimum=1, maximum=MOST, tunable=True)
    minibatches: int = setting(
        4, "parts of an unroll, each of which gives one gradient step", "parts", minimum=1, maximum=MOST
    )
    discount: float = setting(0.99, "discount factor of one step", minimum=0, maximum=1, tunable=True)
    gae_lambda: float = setting(0.95, "lambda of the returns and advantages", minimum=0, maximum=1, tunable=True)
    learning_rate: float = setting(
        1e-3, "Adam's rate for the networks, at which schedule begins", minimum=0, maximum=1, tunable=True
    )
    schedule: str = setting(
        "fixed",
        "how the rate goes on: fixed, linear (it falls to a hundredth) or kl (it follows target_kl)",
        choices=SCHEDULES,
    )
    schedule_steps: int | None = setting(
        None, "with schedule=linear: environment steps until the rate is at its lowest", "steps", minimum=1
    )
    target_kl: float = setting(
        0.01, "with schedule=kl: how far an unroll shall move the policy", "nats", above=0, maximum=100, tunable=True
    )
    entropy_cost: float = setting(0.0, "weight of the policy's entropy", minimum=0, maximum=100, tunable=True)
    max_grad_norm: float = setting(
        1.0, "largest norm of the policy's gradient, and of the value's", above=0, tunable=True
    )
    value_rate: float = setting(
        0.05, "share of the newest unroll in the running scale of value targets", "share", above=0, maximum=1
    )

    # objective
    objective: str = setting("training", "what ranks members: training, fresh, or info:<key of an episode's last info>")
    objective_episodes: int = setting(
        8,
        "episodes that an objective averages, at least; with objective=fresh: exactly",
        "episodes",
        minimum=1,
        maximum=MOST,
    )
    objective_policy: str = setting(
        "sample", "with objective=fresh: sampled actions or the mean action", choices=("sample", "mean")
    )
    eval_interval: int | None = setting(None, "steps between two evaluations; null: two updates", "steps", minimum=1)


def complete(settings: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """As plain data, with what nobody has ``given`` fitted to what is given. Twice is the same as once.

    Raises SettingError on settings that cannot go together.
    """
    found: dict[str, Any] = plain(settings)
    found |= _following(found, given)
    _check_objective(found["objective"])
    _check_relations(found)
    return found


def environment(env: Any, usual: str) -> dict[str, Any]:
    """``{"name": ..., "kwargs": {...}}`` of a name alone or a part of it. Raises SettingError where there is none."""
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


def info_key(objective: str) -> str | None:
    """The key of an ``objective`` info:<key>."""
    return objective.removeprefix("info:") if objective.startswith("info:") else None


def _check_objective(objective: str) -> None:
    if objective not in ("training", "fresh") and not info_key(objective):
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
        raise SettingError("learner.schedule=linear needs learner.schedule_steps, the steps that the rate falls over")
    if settings["eval_interval"] is not None:
        check_multiple("learner.eval_interval", settings["eval_interval"], batch, "num_envs x unroll")


def around(spec: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """A range of a search space, as in ``space.py`` -> first values near ``value``, the range as bounds to explore in.

    It stays as it is where it does not contain ``value``, has bounds or first values of its own, or is not logarithmic.
    """
    kind, *more = spec
    if more or kind not in ("log_uniform", "one_minus_log_uniform"):
        return dict(spec)
    low, high = spec[kind]
    if not low <= value <= high:
        return dict(spec)
    if kind == "one_minus_log_uniform":
        rest = 1.0 - value
        near = 1.0 - rest * FACTOR, 1.0 - rest / FACTOR
    else:
        near = value / FACTOR, value * FACTOR
    return {kind: [min(max(float(f"{end:.3g}"), low), high) for end in near], "bounds": [low, high]}


def next_factor(settings: Mapping[str, Any], factor: float, steps: int, kl: float) -> float:
    """The factor on ``learning_rate`` after an unroll whose last pass ended at ``kl``, in nats, and ``steps`` in all.

    fixed: as it was, 1. linear: from 1 to ``LOWEST`` over ``schedule_steps`` environment steps of learning. kl: a step
    down after an unroll that went further than twice ``target_kl`` from the policy that acted, a step up after one
    that stayed within half of it.
    """
    if settings["schedule"] == "linear":
        return max(1.0 - steps / settings["schedule_steps"], LOWEST)
    if settings["schedule"] == "kl" and kl > 2.0 * settings["target_kl"]:
        return max(factor / STEP, LOWEST)
    if settings["schedule"] == "kl" and kl < 0.5 * settings["target_kl"]:
        return min(factor * STEP, HIGHEST)
    return factor

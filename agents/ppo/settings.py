"""PPO's settings: one place for defaults, units, what is allowed, and what each task changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firerl.agents.actor_critic import settings


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Defaults for a small task; ``_TASKS`` changes them by task."""

    clip_range: float = 0.2  # largest change of an action's probability that is rewarded, as a share
    unroll: int = 50
    epochs: int = 10
    minibatches: int = 8
    max_grad_norm: float = 0.5


# As people run it, in round numbers: 8 x 256 steps and minibatches of 64 there. Where episodes last 1,000 steps, an
# evaluation every 8,000 finds some that ended. Humanoid, Hopper and Walker2d are what a study over millions of steps
# found (benchmarks/evidence/horizon.py, docs/ppo.md), the others are of before it.
_MUJOCO: dict[str, Any] = {
    "num_envs": 8, "unroll": 250, "minibatches": 25, "learning_rate": 3e-4,
}  # fmt: skip
_LONG = {**_MUJOCO, "eval_interval": 8000}
_MANY: dict[str, Any] = {  # many small gradient steps, at a rate that falls to nothing
    "num_envs": 16, "unroll": 128, "minibatches": 32, "learning_rate": 3e-4, "schedule": "linear",
    "schedule_steps": 3_000_000, "init_scale": 0.6, "one_scale": True,
}  # fmt: skip
_TASKS: dict[str, dict[str, Any]] = {  # by base name, any version
    "Humanoid": {
        "num_envs": 64, "unroll": 64, "hidden": (256, 128), "epochs": 5, "minibatches": 4, "learning_rate": 3e-4,
        "schedule": "kl", "target_kl": 0.01, "init_scale": 1.0, "max_grad_norm": 1.0,
    },
    "HumanoidStandup": {**_LONG, "init_scale": 0.5},
    "Ant": _MUJOCO,
    "HalfCheetah": _LONG,
    "Swimmer": _LONG,
    "Hopper": _MANY,
    "Walker2d": _MANY,
}  # fmt: skip
_TUNABLE = (
    "learning_rate",
    "target_kl",
    "clip_range",
    "entropy_cost",
    "gae_lambda",
    "discount",
    "max_grad_norm",
    "epochs",
)

TABLE = settings.Table("PPO", Settings(), _TASKS, _TUNABLE, numbers={"clip_range": (None, 10.0)})

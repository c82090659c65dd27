"""V-MPO's settings: one place for defaults, units, what is allowed, and what each task changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firerl.agents.actor_critic import settings


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Defaults for a small task; ``_TASKS`` changes them by task."""

    target_period: int = 1  # unrolls after which the acting policy pi_old becomes pi
    multiplier_learning_rate: float = 1e-2  # Adam, eta and alphas before their softplus
    eps_eta: float = 0.1  # temperature's bound
    eps_alpha_mu: float = 0.01  # bound of the KL's mean part per update, in nats; of the whole KL for discrete actions
    eps_alpha_sigma: float = 5e-4  # bound of the KL's covariance part, in nats
    init_eta: float = 1.0
    init_alpha_mu: float = 1.0
    init_alpha_sigma: float = 10.0
    control_variate: bool = True  # takes noise out of the policy's gradient, see docs/vmpo.md


# Humanoid and HalfCheetah are what a study over millions of steps found (docs/vmpo.md says how); the others are of
# before it. Tasks whose episodes last 1,000 steps take few environments and evaluate every 8,000 steps,
# so that episodes end in every interval; the others as often as they can, since evaluators live on points
# (docs/plan.md).
_BIG: dict[str, Any] = {"num_envs": 20, "unroll": 50, "hidden": (128, 128), "learning_rate": 3e-4}
_LONG: dict[str, Any] = {**_BIG, "num_envs": 8, "unroll": 250, "epochs": 8, "minibatches": 8, "eval_interval": 8000}
_TASKS: dict[str, dict[str, Any]] = {  # by base name, any version
    "Humanoid": {
        "num_envs": 16, "unroll": 256, "hidden": (256, 128), "epochs": 5, "minibatches": 4, "learning_rate": 3e-4,
        "init_scale": 1.0, "gae_lambda": 0.8, "eps_eta": 0.01, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 1e-4,
    },
    "HalfCheetah": {
        **_LONG, "hidden": (256, 128), "learning_rate": 1e-3, "init_scale": 0.6, "one_scale": True, "gae_lambda": 0.9,
        "eps_eta": 0.01, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 1e-5,
    },
    "HumanoidStandup": {
        **_BIG, "num_envs": 8, "unroll": 125, "init_scale": 0.5, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 2e-3,
        "eval_interval": 8000,
    },
    "Ant": {**_LONG, "num_envs": 16, "minibatches": 16, "eps_alpha_sigma": 2e-3, "eval_interval": 4000},
    "Swimmer": {**_LONG, "learning_rate": 1e-3, "eps_alpha_sigma": 2e-3},
    "Hopper": {**_BIG, "learning_rate": 1e-3, "init_scale": 1.0, "eps_alpha_sigma": 5e-3},
    "Walker2d": {
        **_BIG, "learning_rate": 5e-4, "init_scale": 0.6, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 5e-3,
    },
}  # fmt: skip

_TUNABLE = (
    "learning_rate", "target_kl", "eps_eta", "eps_alpha_mu", "eps_alpha_sigma", "discount", "gae_lambda",
    "entropy_cost", "multiplier_learning_rate", "max_grad_norm", "epochs",
)  # fmt: skip

TABLE = settings.Table(
    "VMPO", Settings(), _TASKS, _TUNABLE,
    integers={"target_period": 1},
    numbers={  # lowest, highest; None: just above zero
        "multiplier_learning_rate": (0.0, 1.0), "eps_eta": (None, 100.0), "eps_alpha_mu": (None, 100.0),
        "eps_alpha_sigma": (None, 100.0), "init_eta": (None, 1e6), "init_alpha_mu": (None, 1e6),
        "init_alpha_sigma": (None, 1e6),
    },
)  # fmt: skip

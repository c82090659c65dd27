"""The settings that ``horizon.py`` compares, by task and name: none leans on what a task's own settings are today."""

from __future__ import annotations

from typing import Any

PLAIN: dict[str, Any] = {"schedule": "fixed", "schedule_steps": None, "one_scale": False, "activation": "tanh"}
WALKS: dict[str, Any] = {  # the first that walked: what each factor is changed from
    **PLAIN,
    "num_envs": 64, "unroll": 64, "hidden": [256, 128], "epochs": 5, "minibatches": 4, "learning_rate": 3e-4,
    "init_scale": 1.0, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 1e-4, "eps_eta": 0.1, "gae_lambda": 0.95,
    "discount": 0.99,
}  # fmt: skip
BEFORE: dict[str, Any] = {  # V-MPO's settings of Humanoid until then, complete, so that they stay what they were
    **PLAIN,
    "num_envs": 20, "unroll": 50, "hidden": [128, 128], "epochs": 4, "minibatches": 4, "learning_rate": 3e-4,
    "init_scale": 0.5, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 2e-3, "eps_eta": 0.1, "gae_lambda": 0.95,
    "discount": 0.99,
}  # fmt: skip
KL_RATE = {"schedule": "kl", "target_kl": 0.01}
SHORT: dict[str, Any] = {**WALKS, "gae_lambda": 0.8, "eps_eta": 0.01}  # see docs/lab/humanoid-updates.md
FACTORS: dict[str, dict[str, Any]] = {  # over WALKS
    "walks": {},
    "lambda .9, flat eta": {"gae_lambda": 0.9, "eps_eta": 0.01},
    "linear rate": {"schedule": "linear", "schedule_steps": 4_000_000},
    "batch of 20 x 50": {"num_envs": 20, "unroll": 50},
    "lambda .9": {"gae_lambda": 0.9},
    "flat eta": {"eps_eta": 0.01},
    "eps_eta .3": {"eps_eta": 0.3},
}
OVER_SHORT: dict[str, dict[str, Any]] = {
    "lambda .8, flat eta": {},
    "short, one scale": {"one_scale": True},
    "short, lambda .6": {"gae_lambda": 0.6},
    "short, one scale, 16 x 256": {"one_scale": True, "num_envs": 16, "unroll": 256},
    "short, one scale, bound 3e-6": {"one_scale": True, "eps_alpha_sigma": 3e-6},
    "short, one scale, discount .995": {"one_scale": True, "discount": 0.995},
    "short, one scale, lambda .6": {"one_scale": True, "gae_lambda": 0.6},
    "short, one scale, elu": {"one_scale": True, "activation": "elu"},
    "short, one scale, kl rate": {"one_scale": True, **KL_RATE},
    "short, discount .995": {"discount": 0.995},
    "short, discount .98": {"discount": 0.98},
    "short, flatter eta": {"eps_eta": 0.003},
    "short, elu": {"activation": "elu"},
    "short, wide": {"hidden": [512, 256, 128]},
    "short, 256-256": {"hidden": [256, 256]},
    "short, 128-128": {"hidden": [128, 128]},
    "short, kl rate": KL_RATE,
    "short, epochs 10": {"epochs": 10},
    "short, 8 minibatches": {"minibatches": 8},
    "short, mean's bound .01": {"eps_alpha_mu": 0.01},
    "short, mean's bound .05": {"eps_alpha_mu": 0.05},
    "short, scale's bound 5e-4": {"eps_alpha_sigma": 5e-4},
    "short, scale's bound 2e-5": {"eps_alpha_sigma": 2e-5},
    "short, first scale .7": {"init_scale": 0.7},
    "short, unroll 32": {"unroll": 32},
    "short, 16 x 256": {"num_envs": 16, "unroll": 256},
    "short, 16 x 256, kl rate": {"num_envs": 16, "unroll": 256, **KL_RATE},
    "short, 16 x 256, discount .995": {"num_envs": 16, "unroll": 256, "discount": 0.995},
    "short, 16 x 256, scale's bound 3e-4": {"num_envs": 16, "unroll": 256, "eps_alpha_sigma": 3e-4},
    "short, 16 x 256, linear": {"num_envs": 16, "unroll": 256, "schedule": "linear", "schedule_steps": 4_000_000},
    "short, 16 x 256, linear, scale's bound 3e-4": {
        "num_envs": 16,
        "unroll": 256,
        "schedule": "linear",
        "schedule_steps": 4_000_000,
        "eps_alpha_sigma": 3e-4,
    },
    "short, 32 x 128": {"num_envs": 32, "unroll": 128},
    "short, no control variate": {"control_variate": False},
}
PPO: dict[str, Any] = {  # as the best published run of PPO on Humanoid, at the batch of WALKS
    **PLAIN,
    "num_envs": 64, "unroll": 64, "hidden": [256, 128], "epochs": 5, "minibatches": 4, "learning_rate": 3e-4,
    "init_scale": 1.0, "entropy_cost": 0.0, "max_grad_norm": 1.0, "gae_lambda": 0.95, "discount": 0.99,
}  # fmt: skip
PPO_BEFORE: dict[str, Any] = {  # of HalfCheetah
    **PLAIN,
    "num_envs": 8, "unroll": 250, "hidden": [64, 64], "epochs": 10, "minibatches": 25, "learning_rate": 3e-4,
    "init_scale": 0.3, "entropy_cost": 0.0, "max_grad_norm": 0.5, "gae_lambda": 0.95, "discount": 0.99,
}  # fmt: skip
TIANSHOU: dict[str, Any] = {  # its PPO's settings of MuJoCo, from fewer environments
    **PLAIN,
    "num_envs": 16, "unroll": 128, "hidden": [64, 64], "epochs": 10, "minibatches": 32, "learning_rate": 3e-4,
    "init_scale": 0.6, "one_scale": True, "schedule": "linear", "schedule_steps": 3_000_000, "max_grad_norm": 0.5,
    "entropy_cost": 0.0, "gae_lambda": 0.95, "discount": 0.99,
}  # fmt: skip
MANY: dict[str, Any] = {  # V-MPO with as many gradient steps
    **PLAIN,
    "num_envs": 16, "unroll": 128, "hidden": [128, 128], "epochs": 8, "minibatches": 16, "learning_rate": 3e-4,
    "init_scale": 0.6, "one_scale": True, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 1e-5, "eps_eta": 0.01,
    "gae_lambda": 0.95, "discount": 0.99,
}  # fmt: skip
RL_GAMES: dict[str, Any] = {  # its PPO's settings of Humanoid with EnvPool, but for the shared trunk
    **PPO, "epochs": 4, "schedule": "kl", "target_kl": 0.008, "max_grad_norm": 0.5, "one_scale": True,
    "activation": "elu", "discount": 0.995,
}  # fmt: skip
_LONG: dict[str, Any] = {  # V-MPO's settings of the other tasks before the study, complete
    **PLAIN,
    "num_envs": 8, "unroll": 250, "hidden": [128, 128], "epochs": 8, "minibatches": 8, "init_scale": 0.3,
    "learning_rate": 1e-3, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 2e-3, "eps_eta": 0.1, "gae_lambda": 0.95,
    "discount": 0.99,
}  # fmt: skip
_STEPPERS = {**_LONG, "num_envs": 20, "unroll": 50, "epochs": 4, "minibatches": 4, "eps_alpha_sigma": 5e-3}
BEFORE_TASK: dict[str, dict[str, Any]] = {
    "HalfCheetah": _LONG,
    "Swimmer": _LONG,
    "Ant": {**_LONG, "num_envs": 16, "minibatches": 16, "learning_rate": 3e-4, "eps_alpha_mu": 0.01},
    "Walker2d": {**_STEPPERS, "learning_rate": 5e-4, "init_scale": 0.6},
    "Hopper": {**_STEPPERS, "init_scale": 1.0, "eps_alpha_mu": 0.01},
}
SLOW: dict[str, Any] = {"one_scale": True, "eps_alpha_sigma": 1e-5, "hidden": [256, 128]}
FLAT: dict[str, Any] = {"gae_lambda": 0.9, "eps_eta": 0.01}
LINEAR = {"schedule": "linear", "schedule_steps": 4_000_000}
CHEETAH: dict[str, Any] = {**_LONG, **FLAT, **SLOW, "init_scale": 0.6}  # what HalfCheetah takes
NARROW: dict[str, Any] = {  # WALKS from a narrow scale, shorter lambda, a rate that falls
    **WALKS, **LINEAR, **FLAT, "num_envs": 16, "unroll": 256, "init_scale": 0.3, "eps_alpha_sigma": 3e-4,
}  # fmt: skip
CALM: dict[str, Any] = {  # TIANSHOU with a quarter of the gradient steps and larger layers
    **TIANSHOU, **LINEAR, "unroll": 256, "hidden": [256, 128], "epochs": 5, "minibatches": 16, "init_scale": 0.4,
}  # fmt: skip
Arm = tuple[str, dict[str, Any]]
STUDY: dict[str, dict[str, Arm]] = {  # task: name: agent and settings, the most telling first
    "Humanoid": {
        "before": ("vmpo", BEFORE),
        **{name: ("vmpo", {**WALKS, **change}) for name, change in FACTORS.items()},
        **{name: ("vmpo", {**SHORT, **change}) for name, change in OVER_SHORT.items()},
        "ppo": ("ppo", PPO),
        "ppo, lambda .9": ("ppo", {**PPO, "gae_lambda": 0.9}),
        "ppo, kl rate": ("ppo", {**PPO, **KL_RATE}),
        "ppo, kl rate, 16 x 256": ("ppo", {**PPO, **KL_RATE, "num_envs": 16, "unroll": 256}),
        "ppo, kl rate, 16 x 256, lambda .9": (
            "ppo",
            {**PPO, **KL_RATE, "num_envs": 16, "unroll": 256, "gae_lambda": 0.9},
        ),
        "ppo, kl rate, lambda .8, one scale": ("ppo", {**PPO, **KL_RATE, "gae_lambda": 0.8, "one_scale": True}),
        "ppo, as rl_games": ("ppo", RL_GAMES),
        "ppo, as rl_games, lambda .8": ("ppo", {**RL_GAMES, "gae_lambda": 0.8}),
        "ppo, as rl_games, tanh": ("ppo", {**RL_GAMES, "activation": "tanh"}),
        "ppo, as rl_games, wide": ("ppo", {**RL_GAMES, "hidden": [512, 256, 128]}),
    },
    **{
        task: {
            "before": ("vmpo", BEFORE_TASK[task]),
            "before, flat": ("vmpo", {**BEFORE_TASK[task], **FLAT}),
            "before, flat, slow scale": ("vmpo", {**BEFORE_TASK[task], **FLAT, "eps_alpha_sigma": 5e-4}),
            "one scale, slow": ("vmpo", {**BEFORE_TASK[task], **FLAT, **SLOW, "init_scale": 0.3}),
            "one scale, slow, wide": ("vmpo", {**BEFORE_TASK[task], **FLAT, **SLOW, "init_scale": 0.6}),
            "one scale, slow, wide, lambda .95": (
                "vmpo",
                {**BEFORE_TASK[task], **FLAT, **SLOW, "init_scale": 0.6, "gae_lambda": 0.95},
            ),
            "one scale, slow, wide, low rate": (
                "vmpo",
                {**BEFORE_TASK[task], **FLAT, **SLOW, "init_scale": 0.6, "learning_rate": 2e-4},
            ),
            "one scale, slow, wider": ("vmpo", {**BEFORE_TASK[task], **FLAT, **SLOW, "init_scale": 1.0}),
            "one scale, slow, wide, kl rate": (
                "vmpo",
                {**BEFORE_TASK[task], **FLAT, **SLOW, **KL_RATE, "init_scale": 0.6},
            ),
            "one scale, slow, wide, lambda .8": (
                "vmpo",
                {**BEFORE_TASK[task], **FLAT, **SLOW, "init_scale": 0.6, "gae_lambda": 0.8},
            ),
            "as cheetah, linear": ("vmpo", {**CHEETAH, **LINEAR}),
            "walks, narrow": ("vmpo", NARROW),
            "ppo, calm": ("ppo", CALM),
            "many, linear, discount .995": ("vmpo", {**MANY, **LINEAR, "discount": 0.995}),
            "as cheetah, linear, discount .999": ("vmpo", {**CHEETAH, **LINEAR, "discount": 0.999}),
            "many, linear, slow": ("vmpo", {**MANY, **LINEAR, "eps_alpha_sigma": 3e-6}),
            "many, lambda .9, linear": ("vmpo", {**MANY, **LINEAR, "gae_lambda": 0.9}),
            "before, flat, larger": ("vmpo", {**BEFORE_TASK[task], **FLAT, "hidden": [256, 256]}),
            "short": ("vmpo", SHORT),
            "short, one scale": ("vmpo", {**SHORT, "one_scale": True}),
            "before, flat, one scale": ("vmpo", {**BEFORE_TASK[task], **FLAT, "one_scale": True}),
            "short, narrow": ("vmpo", {**SHORT, "init_scale": 0.5, "eps_alpha_sigma": 5e-4}),
            "short, lambda .95": ("vmpo", {**SHORT, "gae_lambda": 0.95}),
            "short, 16 x 128": ("vmpo", {**SHORT, "num_envs": 16, "unroll": 128}),
            "many": ("vmpo", MANY),
            "many, mean's bound .1": ("vmpo", {**MANY, "eps_alpha_mu": 0.1}),
            "many, mean's bound .05": ("vmpo", {**MANY, "eps_alpha_mu": 0.05}),
            "many, more": ("vmpo", {**MANY, "eps_alpha_mu": 0.05, "epochs": 10, "minibatches": 32, "hidden": [64, 64]}),
            "many, kl rate": ("vmpo", {**MANY, **KL_RATE}),
            "many, linear": ("vmpo", {**MANY, "schedule": "linear", "schedule_steps": 4_000_000}),
            "ppo, as tianshou": ("ppo", TIANSHOU),
            "ppo, as tianshou, kl rate": ("ppo", {**TIANSHOU, "schedule": "kl", "target_kl": 0.02}),
            "ppo, as tianshou, fixed": ("ppo", {**TIANSHOU, "schedule": "fixed"}),
            "ppo, as tianshou, lambda .9": ("ppo", {**TIANSHOU, "gae_lambda": 0.9}),
            "ppo, as tianshou, 4M": ("ppo", {**TIANSHOU, "schedule_steps": 4_000_000}),
            "ppo, before": ("ppo", PPO_BEFORE),
            "ppo, before, kl rate": ("ppo", {**PPO_BEFORE, **KL_RATE}),
            "ppo, kl rate": ("ppo", {**PPO, **KL_RATE}),
            "ppo, kl rate, narrow": ("ppo", {**PPO, **KL_RATE, "init_scale": 0.5}),
            "ppo, kl rate, 16 x 128": ("ppo", {**PPO, **KL_RATE, "num_envs": 16, "unroll": 128}),
            "ppo, as rl_games": ("ppo", {**RL_GAMES, "discount": 0.99}),
        }
        for task in ("HalfCheetah", "Walker2d", "Hopper", "Ant", "Swimmer")
    },
}

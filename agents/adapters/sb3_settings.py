"""The settings of ``learner=sb3``, and what of each algorithm the search tunes. Imports nothing of the library."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from firerl.base.settings import setting

BUFFER = 100_000  # transitions
EVALUATION = 4_000  # environment steps, about, between two evaluations

_RANGES: dict[str, dict[str, Any]] = {
    "action_noise": {"log_uniform": [0.02, 0.5]},
    "clip_range": {"log_uniform": [0.05, 0.5]},
    "delta_std": {"log_uniform": [0.01, 0.2]},
    "ent_coef": {"log_uniform": [1e-5, 1e-2]},
    "exploration_eps": {"log_uniform": [0.01, 0.3]},
    "gae_lambda": {"one_minus_log_uniform": [0.8, 0.99]},
    "gamma": {"one_minus_log_uniform": [0.9, 0.999]},
    "learning_rate": {"log_uniform": [1e-5, 1e-2]},
    "target_kl": {"log_uniform": [2e-3, 0.05]},
    "target_policy_noise": {"log_uniform": [0.05, 0.5]},
    "tau": {"log_uniform": [1e-3, 5e-2]},
}
_ON_POLICY = ("learning_rate", "ent_coef", "gae_lambda", "gamma")
_ENTROPY = ("learning_rate", "gamma", "target_entropy")  # of the algorithms that learn the entropy's weight


@dataclass(frozen=True)
class Algorithm:
    """What firerl knows of one beforehand."""

    actions: str  # that it takes: any, continuous, discrete
    tuned: tuple[str, ...]  # by default
    contrib: bool = False  # sb3-contrib's


ALGORITHMS = {
    "A2C": Algorithm("any", _ON_POLICY),
    "ARS": Algorithm("any", ("learning_rate", "delta_std"), contrib=True),
    "CrossQ": Algorithm("continuous", _ENTROPY, contrib=True),
    "DDPG": Algorithm("continuous", ("learning_rate", "gamma", "tau", "action_noise")),
    "DQN": Algorithm("discrete", ("learning_rate", "gamma", "exploration_eps")),
    "PPO": Algorithm("any", (*_ON_POLICY, "clip_range")),
    "QRDQN": Algorithm("discrete", ("learning_rate", "gamma", "exploration_eps"), contrib=True),
    "SAC": Algorithm("continuous", (*_ENTROPY, "tau")),
    "TD3": Algorithm("continuous", ("learning_rate", "gamma", "tau", "action_noise", "target_policy_noise")),
    "TQC": Algorithm("continuous", (*_ENTROPY, "tau"), contrib=True),
    "TRPO": Algorithm("any", ("learning_rate", "gae_lambda", "gamma", "target_kl"), contrib=True),
}


def range_of(algorithm: str, name: str, action_size: int) -> dict[str, Any]:
    """Where the search looks for a hyperparameter of ``ALGORITHMS[algorithm].tuned``."""
    if name == "target_entropy":
        return {"uniform": [-2.0 * action_size, -action_size / 10]}
    if (algorithm, name) == ("ARS", "learning_rate"):
        return {"log_uniform": [1e-3, 0.1]}
    return _RANGES[name]


@dataclass(frozen=True)
class Settings:
    """Null where a setting is tunable: as the algorithm's own constructor has it."""

    algorithm: str = setting("PPO", "which one", choices=tuple(ALGORITHMS))
    policy: str = setting("MlpPolicy", "its network, by the library's name")
    env: dict[str, Any] = setting(
        {"name": "InvertedPendulum", "kwargs": {}}, "the task, as env= of a run has it: its name and its arguments"
    )
    num_envs: int = setting(
        1, "environments that are stepped together", "environments", minimum=1, maximum=65_536
    )  # fmt: skip
    buffer_size: int | None = setting(
        None, f"size of the replay buffer; null: {BUFFER:,}, where there is one", "transitions", minimum=1
    )
    arguments: dict[str, Any] = setting(
        {}, "any other arguments of the algorithm's constructor, such as n_steps or policy_kwargs"
    )
    objective_episodes: int = setting(
        8, "episodes that an objective averages, at least", "episodes", minimum=1, maximum=1_000_000
    )
    eval_interval: int | None = setting(
        None, f"steps between two evaluations; null: some {EVALUATION:,}", "steps", minimum=1
    )

    # what may change between two calls of train
    learning_rate: float | None = setting(None, "of all optimisers", minimum=0, maximum=1, tunable=True)
    gamma: float | None = setting(None, "discount factor of one step", minimum=0, maximum=1, tunable=True)
    batch_size: int | None = setting(
        None, "samples of a gradient step", "samples", minimum=1, maximum=1_000_000, tunable=True
    )
    gae_lambda: float | None = setting(None, "lambda of the advantages", minimum=0, maximum=1, tunable=True)
    ent_coef: float | None = setting(
        None, "weight of the entropy; null for SAC, TQC, CrossQ: learned towards target_entropy",
        minimum=0, maximum=100, tunable=True,
    )  # fmt: skip
    vf_coef: float | None = setting(None, "weight of the value's loss", minimum=0, maximum=100, tunable=True)
    max_grad_norm: float | None = setting(None, "largest norm of a gradient", above=0, tunable=True)
    n_epochs: int | None = setting(None, "passes over a rollout", "passes", minimum=1, maximum=10_000, tunable=True)
    clip_range: float | None = setting(
        None, "PPO: largest change of an action's probability that is rewarded", "share",
        above=0, maximum=10, tunable=True,
    )  # fmt: skip
    target_kl: float | None = setting(
        None, "TRPO: size of an update; PPO: where it stops; null: never", "nats", above=0, maximum=100, tunable=True
    )
    tau: float | None = setting(
        None, "share of the network in its target network at an update", "share", above=0, maximum=1, tunable=True
    )
    target_entropy: float | None = setting(
        None, "entropy that the policy is held at; null: minus the number of actions", "nats", tunable=True
    )
    action_noise: float | None = setting(
        None, "standard deviation of normal noise on actions of -1 to 1; null for TD3 and DDPG: 0.1", minimum=0,
        maximum=10, tunable=True,
    )  # fmt: skip
    target_policy_noise: float | None = setting(
        None, "TD3: the same on the actions of its targets", minimum=0, maximum=10, tunable=True
    )
    exploration_eps: float | None = setting(
        None, "DQN, QRDQN: share of random actions, without a schedule; null: where the library's schedule ends",
        "share", minimum=0, maximum=1, tunable=True,
    )  # fmt: skip
    delta_std: float | None = setting(None, "ARS: size of its trial steps", above=0, maximum=100, tunable=True)


TUNABLE = tuple(f.name for f in fields(Settings) if f.metadata.get("tunable"))

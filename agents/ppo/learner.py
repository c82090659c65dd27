"""PPO as a learner of firerl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.ppo.settings import TABLE
from firerl.agents.ppo.update import Update


class PPO(ActorCritic):
    """Proximal policy optimisation with a clipped objective on any Gymnasium task with vector observations.

    weights: policy, value, the optimiser, statistics of observations and values.
    """

    space: ClassVar[Mapping[str, Any]] = {
        "learning_rate": {"log_uniform": [5e-5, 3e-3]},
        "clip_range": {"log_uniform": [0.05, 0.5]},
        "entropy_cost": {"log_uniform": [1e-5, 1e-2]},
        "gae_lambda": {"one_minus_log_uniform": [0.8, 0.99]},
        "discount": {"one_minus_log_uniform": [0.95, 0.999]},
    }
    table = TABLE
    settings = TABLE.defaults
    update_class = Update

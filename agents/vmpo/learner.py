"""V-MPO as a learner of firerl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from firerl import envs
from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.vmpo.settings import TABLE
from firerl.agents.vmpo.update import Update


class VMPO(ActorCritic):
    """On-policy maximum a posteriori policy optimisation on any Gymnasium task with vector observations.

    weights: policy, target policy, value, eta and alphas, both optimisers, statistics of observations and values.
    """

    space: ClassVar[Mapping[str, Any]] = {
        "learning_rate": {"log_uniform": [5e-5, 3e-3]},
        "eps_eta": {"log_uniform": [1e-3, 0.5]},
        "eps_alpha_mu": {"log_uniform": [1e-3, 0.1]},
        "eps_alpha_sigma": {"log_uniform": [1e-6, 1e-2]},
    }
    table = TABLE
    settings = TABLE.defaults
    update_class = Update

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Discrete actions have one KL, which ``eps_alpha_mu`` bounds."""
        space = super().space_of(settings)
        if envs.check(settings["env"]["name"], settings["env"]["kwargs"]).discrete:
            del space["eps_alpha_sigma"]
        return space

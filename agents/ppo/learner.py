"""PPO: proximal policy optimisation with a clipped objective (Schulman et al. 2017, arXiv 1707.06347).

From top to bottom: settings, the losses, the update, the learner. B samples of a minibatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from firerl.agents.actor_critic import learner, settings
from firerl.agents.actor_critic.rollout import Unroll
from firerl.base.settings import setting, with_default


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Defaults for a small task; ``TASKS`` changes them by task."""

    clip_range: float = setting(
        0.2, "largest change of an action's probability that is rewarded", "share", above=0, maximum=10, tunable=True
    )
    unroll: int = with_default(settings.Settings, "unroll", 50)
    epochs: int = with_default(settings.Settings, "epochs", 10)
    minibatches: int = with_default(settings.Settings, "minibatches", 8)
    max_grad_norm: float = with_default(settings.Settings, "max_grad_norm", 0.5)


# All but Swimmer and HumanoidStandup are what a study over millions of steps found (docs/explanation/ppo.md says how).
# Those two are as people run PPO, in round numbers: 8 x 256 steps and minibatches of 64 there. Where episodes last
# 1,000 steps whatever happens, evaluations are so far apart that one ends in each environment.
_LONG: dict[str, Any] = {
    "num_envs": 8, "unroll": 250, "minibatches": 25, "learning_rate": 3e-4, "eval_interval": 8000,
}  # fmt: skip
_MANY: dict[str, Any] = {  # many small gradient steps, at a rate that falls
    "num_envs": 16, "unroll": 128, "minibatches": 32, "learning_rate": 3e-4, "schedule": "linear",
    "schedule_steps": 3_000_000, "init_scale": 0.6, "one_scale": True,
}  # fmt: skip
_CALM: dict[str, Any] = {  # a quarter as many
    **_MANY, "unroll": 256, "hidden": (256, 128), "epochs": 5, "minibatches": 16, "schedule_steps": 4_000_000,
    "init_scale": 0.4,
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {  # by base name, any version
    "Humanoid": {
        "num_envs": 64, "unroll": 64, "hidden": (256, 128), "epochs": 5, "minibatches": 4, "learning_rate": 3e-4,
        "schedule": "kl", "target_kl": 0.01, "init_scale": 1.0, "max_grad_norm": 1.0,
    },
    "Ant": _CALM,
    "HalfCheetah": {**_CALM, "eval_interval": 16_384},
    "Hopper": _MANY,
    "Walker2d": _MANY,
    "Swimmer": _LONG,
    "HumanoidStandup": {**_LONG, "init_scale": 0.5},
}  # fmt: skip


def standardise(advantages: Tensor) -> Tensor:
    """To mean 0 and standard deviation 1. [B] -> [B]."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def clipped_loss(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """- min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A), ratio = pi / pi_old (equation 7). All [B]."""
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages)


def clipped_weights(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """Minus the derivative of the mean of ``clipped_loss`` for log pi(a|s). All [B].

    A ratio beyond its bound, on the side that the advantage points to, pushes no further.
    """
    clipped = torch.where(advantages > 0, ratio > 1 + clip_range, ratio < 1 - clip_range)
    return (ratio * advantages / len(ratio)).masked_fill_(clipped, 0.0)


def value_loss(values: Tensor, targets: Tensor) -> Tensor:
    """1/2 (G - V)^2, both in normalised units, V not clipped (as in Stable-Baselines3). All [B]."""
    return 0.5 * (targets - values).square()


class Update(learner.Update):
    """The networks of one learner and how they learn. Gradients are in closed form; a test compares with autograd."""

    algorithm = "PPO"
    adam_eps = 1e-5
    kls = ("approx_kl",)

    def samples(self, unroll: Unroll) -> list[Tensor]:
        """Observations, actions, their old log-probabilities, advantages, value targets."""
        advantages, targets = self.targets(unroll)
        old_log_prob = self.head.log_prob(unroll.old, unroll.actions)
        acted = [part.flatten(0, 1) for part in (unroll.observations, unroll.actions, old_log_prob)]
        return [*acted, advantages, targets]

    @torch.no_grad()
    def gradients(self, *minibatch: Tensor) -> Tensor:
        """Set all gradients from one minibatch; returns what ``names`` names."""
        observations, actions, old_log_prob, advantages, targets = minibatch
        cost, clip_range = self.settings["entropy_cost"], self.settings["clip_range"]
        outputs, policy_inputs = self.policy.forward(observations)
        (values,), value_inputs = self.value.forward(observations)

        new = self.head.parameters_of(outputs)
        advantages = standardise(advantages)
        log_ratio = self.head.log_prob(new, actions) - old_log_prob
        ratio = log_ratio.exp()
        weights = clipped_weights(ratio, advantages, clip_range)
        errors = (values.squeeze(-1) - targets) / len(targets)

        self.policy.backward(self.head.backward(outputs, new, actions, weights, cost), policy_inputs)
        self.value.backward([errors.unsqueeze(-1)], value_inputs)

        loss_pi = clipped_loss(ratio, advantages, clip_range)
        loss_v, entropy = value_loss(values.squeeze(-1), targets), self.head.entropy(new)
        kl = ratio - 1.0 - log_ratio  # whose mean estimates KL(pi_old || pi) and is never negative
        outside = ((ratio - 1.0).abs() > clip_range).float()
        loss = loss_pi + loss_v - cost * entropy
        return torch.stack([loss, loss_v, loss_pi, entropy, self.head.width(new), kl, outside]).mean(-1)

    def names(self) -> list[str]:
        return ["loss", "value_loss", "policy_loss", "entropy", self.head.width_name, "approx_kl", "clip_fraction"]


class PPO(learner.ActorCritic):
    """Proximal policy optimisation with a clipped objective on any Gymnasium task with vector observations.

    weights: policy, value, the optimiser, statistics of observations and values.
    """

    Settings = Settings
    tasks = TASKS
    update_class = Update
    space: ClassVar[Mapping[str, Any]] = {
        "learning_rate": {"log_uniform": [5e-5, 3e-3]},
        "clip_range": {"log_uniform": [0.05, 0.5]},
        "entropy_cost": {"log_uniform": [1e-5, 1e-2]},
        "gae_lambda": {"one_minus_log_uniform": [0.8, 0.99]},
        "discount": {"one_minus_log_uniform": [0.95, 0.999]},
    }

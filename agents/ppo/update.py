"""PPO's learning: its losses' gradients on a minibatch, in closed form; ``losses`` and autograd say the same."""

from __future__ import annotations

import torch
from torch import Tensor

from firerl.agents.actor_critic import update
from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.ppo import losses


class Update(update.Update):
    """The networks of one learner and how they learn."""

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
        advantages = losses.standardise(advantages)
        log_ratio = self.head.log_prob(new, actions) - old_log_prob
        ratio = log_ratio.exp()
        weights = losses.clipped_weights(ratio, advantages, clip_range)
        errors = (values.squeeze(-1) - targets) / len(targets)

        self.policy.backward(self.head.backward(outputs, new, actions, weights, cost), policy_inputs)
        self.value.backward([errors.unsqueeze(-1)], value_inputs)

        loss_pi = losses.clipped_loss(ratio, advantages, clip_range)
        loss_v, entropy = losses.value_loss(values.squeeze(-1), targets), self.head.entropy(new)
        kl = ratio - 1.0 - log_ratio  # whose mean estimates KL(pi_old || pi) and is never negative
        outside = ((ratio - 1.0).abs() > clip_range).float()
        loss = loss_pi + loss_v - cost * entropy
        return torch.stack([loss, loss_v, loss_pi, entropy, self.head.width(new), kl, outside]).mean(-1)

    def names(self) -> list[str]:
        return ["loss", "value_loss", "policy_loss", "entropy", self.head.width_name, "approx_kl", "clip_fraction"]

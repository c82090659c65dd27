"""A third algorithm is one short file: advantage actor-critic (A2C) on what the agents share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from agents_for_tests import bits

from firerl.agents.actor_critic.learner import ActorCritic
from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.actor_critic.settings import Settings
from firerl.agents.actor_critic.update import Update
from firerl.base.settings import with_default


class PolicyGradient(Update):
    """- mean A log pi(a|s) + 1/2 mean (G - V)^2 - entropy_cost x entropy, one pass over an unroll."""

    algorithm = "A2C"

    def samples(self, unroll: Unroll) -> list[torch.Tensor]:
        advantages, targets = self.targets(unroll)
        return [unroll.observations.flatten(0, 1), unroll.actions.flatten(0, 1), advantages / advantages.std(), targets]

    @torch.no_grad()
    def gradients(self, *minibatch: torch.Tensor) -> torch.Tensor:
        observations, actions, advantages, targets = minibatch
        outputs, inputs = self.policy.forward(observations)
        (values,), value_inputs = self.value.forward(observations)
        new, errors, count = self.head.parameters_of(outputs), values - targets.unsqueeze(-1), len(targets)
        cost = self.settings["entropy_cost"]
        self.policy.backward(self.head.backward(outputs, new, actions, advantages / count, cost), inputs)
        self.value.backward([errors / count], value_inputs)
        return torch.stack([errors.square().mean(), self.head.entropy(new).mean()])

    def names(self) -> list[str]:
        return ["value_error", "entropy"]


@dataclass(frozen=True)
class OnePass(Settings):
    """Other defaults."""

    epochs: int = with_default(Settings, "epochs", 1)
    learning_rate: float = with_default(Settings, "learning_rate", 3e-3)


class A2C(ActorCritic):
    """Advantage actor-critic."""

    Settings = OnePass
    update_class = PolicyGradient


def test_a_third_algorithm_learns_and_keeps_the_promises():
    complete = A2C.resolve({"env": "CartPole-v1"})
    one, other = (A2C(complete, {"entropy_cost": 1e-3}, seed, "cpu") for seed in (0, 1))
    one.train(8000)
    assert np.mean([value for value, _ in one.episodes(5, 1)]) > 100
    other.load(**one.state())
    assert one.train(400) == other.train(400)
    assert bits(one.state()) == bits(other.state())

"""Learning: one unroll becomes gradient steps. All that it holds is the weights half of the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from firerl.agents.actor_critic.distributions import Array
from firerl.agents.actor_critic.networks import Actor, Layers, Networks
from firerl.agents.actor_critic.rate import Schedule
from firerl.agents.actor_critic.returns import lambda_returns
from firerl.agents.actor_critic.rollout import Act, Unroll
from firerl.envs import EnvSpec


class Update:
    """The networks of one learner and how they learn: passes over an unroll, in minibatches.

    An algorithm brings ``samples``, ``gradients`` and ``names``; where it holds more than a policy and a value, it
    extends ``networks``, ``parameter_groups``, ``take_hyperparameters``, ``end``, ``state`` and ``load`` too.
    """

    algorithm = ""  # its name, for errors
    adam_eps = 1e-8
    kls: tuple[str, ...] = ()  # which of ``names`` make up KL(pi_old || pi), for ``schedule`` "kl"

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int, device: torch.device):
        self.settings = dict(settings)  # hyperparameters are written over it
        self.device = device
        self.nets = self.networks(spec, seed).to(device)
        self.head = self.nets.policy.head
        self.policy = Layers(self.nets.policy.trunk, self.head.layers(), self.head.bias_alone)
        self.value = Layers(self.nets.value.trunk, [self.nets.value.last], [False])
        self.optimiser = torch.optim.Adam(self.parameter_groups(), eps=self.adam_eps, fused=True)
        self.schedule = Schedule()
        self.take_hyperparameters()
        self.explained = torch.zeros(())  # share of the variance of the last unroll's returns that the value foresaw
        self._actor: Actor | None = None  # None once its policy or its normaliser has changed

    # ---- what an algorithm brings

    def samples(self, unroll: Unroll) -> list[Tensor]:
        """What ``gradients`` takes, for all samples of an unroll, [B, ...] each."""
        raise NotImplementedError

    def gradients(self, *minibatch: Tensor) -> Tensor:
        """Set all gradients from one minibatch of ``samples``; returns the numbers that ``names`` names, [M]."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Names of the numbers that ``gradients`` returns."""
        raise NotImplementedError

    # ---- what it may extend

    def networks(self, spec: EnvSpec, seed: int) -> Networks:
        return Networks(self.settings, spec, seed)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Of the optimiser; the first holds the networks."""
        return [{"params": [self.policy.flat, self.value.flat]}]

    def take_hyperparameters(self) -> None:
        """Hyperparameters may have changed in ``settings`` since the last unroll."""
        self.optimiser.param_groups[0]["lr"] = self.settings["learning_rate"] * self.schedule.factor

    def end(self) -> None:
        """The gradient steps of an unroll are done, and the statistics of observations have taken it in."""

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: tensor.detach().cpu().clone() for name, tensor in self.nets.state_dict().items()},
            "optimiser": optimiser_state(self.optimiser, 0),
            "schedule": self.schedule.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.nets.load_state_dict(state["networks"])  # copies into the tensors that are there
        load_optimiser(self.optimiser, 0, state["optimiser"])
        self.schedule.load(state["schedule"])
        self._actor = None

    # ---- what all share

    def act(self, raw: Array, generator: torch.Generator | None) -> tuple[Array, Array, tuple[Array, ...]]:
        """Raw observations [N, O] -> normalised ones, actions, their distribution. No generator: the mean action."""
        return self.actor(raw, None if generator is None else self.head.noise((len(raw),), generator))

    def sampler(self, steps: int, num_envs: int, generator: torch.Generator) -> Act:
        """``act`` for so many steps, the same to the bit, with all noise drawn ahead: between steps it costs more."""
        actor, noise = self.actor, iter([self.head.noise((num_envs,), generator) for _ in range(steps)])
        return lambda raw: actor(raw, next(noise))

    @property
    def actor(self) -> Actor:
        if self._actor is None:
            self._actor = Actor(self.nets.acting, self.nets.normaliser)
        return self._actor

    @torch.no_grad()
    def targets(self, unroll: Unroll) -> tuple[Tensor, Tensor]:
        """Advantages and normalised value targets, [B] each; updates the scale of the targets."""
        nets, device = self.nets, self.device
        rewards, terminated, truncated = (
            part.to(device) for part in (unroll.rewards, unroll.terminated, unroll.truncated)
        )
        values = self._values(unroll.observations)
        next_values = torch.cat([values[1:], self._values(nets.normaliser(unroll.last.to(device)))[None]])
        if unroll.ends:  # a truncated episode goes on in thought: from its own last observation, not the next first
            final = torch.stack([torch.from_numpy(observation) for _, _, observation in unroll.ends]).to(device)
            t, i = [t for t, _, _ in unroll.ends], [i for _, i, _ in unroll.ends]
            next_values[t, i] = self._values(nets.normaliser(final))
        returns = lambda_returns(
            rewards, values, next_values, terminated, truncated, self.settings["discount"], self.settings["gae_lambda"]
        )
        self.explained = 1.0 - (returns - values).var() / returns.var().clamp_min(1e-12)
        nets.popart.update(returns, nets.value.last)
        return (returns - values).flatten(), nets.popart.normalise(returns).flatten()

    def _values(self, observations: Tensor) -> Tensor:
        """Normalised observations [..., O] -> values in the units of the rewards [...]."""
        (values,), _ = self.value.forward(observations.flatten(0, -2))
        return self.nets.popart.denormalise(values).view(observations.shape[:-1])

    @torch.no_grad()
    def learn(self, unroll: Unroll, generator: torch.Generator) -> dict[str, float]:
        """All gradient steps of one unroll; returns the means of what they computed."""
        batch = self.samples(unroll)
        self.take_hyperparameters()
        numbers: list[Tensor] = []
        for _ in range(int(self.settings["epochs"])):
            order = torch.randperm(len(batch[0]), generator=generator).to(self.device)
            for chosen in order.chunk(self.settings["minibatches"]):
                numbers.append(self.gradients(*(part.index_select(0, chosen) for part in batch)))
                self._step()
        self.nets.normaliser.update(unroll.raw.flatten(0, 1).to(self.device))
        self.end()
        self._actor = None
        metrics = self._metrics(torch.stack(numbers).mean(0))
        rate = self.settings["learning_rate"] * self.schedule.factor
        self.schedule.move(self.settings, len(batch[0]), self._kl(numbers[-self.settings["minibatches"] :]))
        return {**metrics, "rate": rate}

    def _kl(self, numbers: list[Tensor]) -> float:
        """The mean KL divergence of these gradient steps, ``numbers`` as ``gradients`` returns them."""
        mean = torch.stack(numbers).mean(0).tolist()
        return sum(number for name, number in zip(self.names(), mean, strict=True) if name in self.kls)

    def _step(self) -> None:
        """Clip each network's gradients to their norm, then Adam on all."""
        for flat in (self.policy.flat, self.value.flat):
            assert flat.grad is not None
            norm = torch.linalg.vector_norm(flat.grad)
            flat.grad.mul_((self.settings["max_grad_norm"] / (norm + 1e-6)).clamp_(max=1.0))
        self.optimiser.step()

    def _metrics(self, means: Tensor) -> dict[str, float]:
        metrics = dict(zip(self.names(), means.tolist(), strict=True))
        if not torch.isfinite(means).all():
            bad = ", ".join(f"{name}={value}" for name, value in metrics.items() if value - value != 0.0)
            raise FloatingPointError(f"{self.algorithm} diverged, a loss is not finite: {bad}")
        return {**metrics, "explained_variance": float(self.explained)}


def optimiser_state(optimiser: torch.optim.Optimizer, group: int) -> list[dict[str, Tensor]]:
    """Adam's moments and counts, one entry a parameter; empty before the first step."""
    entries = [optimiser.state.get(parameter, {}) for parameter in optimiser.param_groups[group]["params"]]
    return [{name: tensor.detach().cpu().clone() for name, tensor in entry.items()} for entry in entries]


def load_optimiser(optimiser: torch.optim.Optimizer, group: int, state: list[dict[str, Tensor]]) -> None:
    """Moments only: learning rates are hyperparameters and stay with the worker."""
    for parameter, entry in zip(optimiser.param_groups[group]["params"], state, strict=True):
        optimiser.state[parameter] = {name: tensor.to(parameter.device, copy=True) for name, tensor in entry.items()}

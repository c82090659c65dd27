"""V-MPO's learning: its losses' gradients on a minibatch, its multipliers and its target policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from firerl.agents.actor_critic import networks, update
from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.vmpo import losses
from firerl.agents.vmpo.gradients import Weights, kl_names, losses_and_gradients
from firerl.envs import EnvSpec


class Networks(networks.Networks):
    """Everything that is copied with the weights, but for the optimisers. ``target`` is pi_old."""

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int):
        super().__init__(settings, spec, seed, target=True)
        names = kl_names(self.policy.head)
        first = torch.tensor([settings["init_eta"], *(settings[f"init_alpha_{name}"] for name in names)])
        self.raw_multipliers = nn.Parameter(first + torch.log(-torch.expm1(-first)))  # the inverse of softplus

    def multipliers(self) -> Tensor:
        """(eta, alpha, ...), positive through softplus and a floor."""
        return nn.functional.softplus(self.raw_multipliers) + 1e-8


class Update(update.Update):
    """The networks of one learner and how they learn."""

    algorithm = "V-MPO"
    nets: Networks

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int, device: torch.device):
        super().__init__(settings, spec, seed, device)
        self.kls = tuple(f"kl_{kind}" for kind in kl_names(self.head))
        self.unrolls = 0  # since the target policy was last replaced

    def networks(self, spec: EnvSpec, seed: int) -> Networks:
        return Networks(self.settings, spec, seed)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [*super().parameter_groups(), {"params": [self.nets.raw_multipliers]}]

    def take_hyperparameters(self) -> None:
        super().take_hyperparameters()
        self.optimiser.param_groups[1]["lr"] = self.settings["multiplier_learning_rate"]
        bounds = [self.settings[f"eps_alpha_{kind}"] for kind in kl_names(self.head)]
        self.bounds = torch.tensor(bounds).to(self.device)

    def targets(self, unroll: Unroll) -> tuple[Tensor, Tensor]:
        """As all agents', the advantages standardised over the unroll."""
        advantages, targets = super().targets(unroll)
        return (advantages - advantages.mean()) / (advantages.std() + 1e-8), targets

    def samples(self, unroll: Unroll) -> list[Tensor]:
        """Observations, actions, pi_old's output, advantages, value targets."""
        advantages, targets = self.targets(unroll)
        acted = [part.flatten(0, 1) for part in (unroll.observations, unroll.actions, *unroll.old)]
        return [*acted, advantages, targets]

    @torch.no_grad()
    def gradients(self, *minibatch: Tensor) -> Tensor:
        """Set all gradients from one minibatch; returns what ``names`` names."""
        observations, actions, *old, advantages, targets = minibatch
        settings, raw = self.settings, self.nets.raw_multipliers
        multipliers = self.nets.multipliers()
        eta, alphas = multipliers[0], multipliers[1:]
        outputs, policy_inputs = self.policy.forward(observations)
        (values,), value_inputs = self.value.forward(observations)

        best = losses.top_half(advantages)  # D~
        scaled = advantages.index_select(0, best) / eta
        log_psi = torch.log_softmax(scaled, 0)
        top_psi = log_psi.exp()
        psi = torch.zeros_like(advantages).index_copy_(0, best, top_psi)
        log_mean_exp = scaled[0] - log_psi[0] - math.log(len(best))
        cost = settings["entropy_cost"]
        weights = Weights(psi, alphas, cost, float(settings["control_variate"]))
        numbers, gradients = losses_and_gradients(self.head, outputs, tuple(old), actions, weights)
        errors = values - targets.unsqueeze(-1)

        self.policy.backward(gradients, policy_inputs)
        self.value.backward([errors / len(errors)], value_inputs)
        slack = settings["eps_eta"] + log_mean_exp
        d_multipliers = torch.cat([(slack - torch.dot(top_psi, scaled)).view(1), self.bounds - numbers[3:]])
        raw.grad = d_multipliers.mul_(torch.sigmoid(raw))  # through their softplus

        loss_v = 0.5 * errors.square().mean()
        loss = numbers[0] + eta * slack + torch.dot(alphas, self.bounds) + loss_v - cost * numbers[1]
        return torch.cat([torch.stack([loss, loss_v]), numbers, multipliers])

    def names(self) -> list[str]:
        alphas = [f"alpha_{kind}" for kind in kl_names(self.head)]
        return ["loss", "value_loss", "policy_loss", "entropy", self.head.width_name, *self.kls, "eta", *alphas]

    def end(self) -> None:
        """Replace the target policy after its period."""
        self.unrolls += 1
        if self.unrolls >= self.settings["target_period"]:
            self.nets.target.load_state_dict(self.nets.policy.state_dict())
            self.unrolls = 0

    def state(self) -> dict[str, Any]:
        own = {"multiplier_optimiser": update.optimiser_state(self.optimiser, 1), "unrolls": self.unrolls}
        return {**super().state(), **own}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        update.load_optimiser(self.optimiser, 1, state["multiplier_optimiser"])
        self.unrolls = int(state["unrolls"])

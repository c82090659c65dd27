"""Learning: one unroll becomes gradient steps. All that it holds is the weights half of the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from firerl.agents.vmpo import losses
from firerl.agents.vmpo.networks import (
    Categorical,
    Gaussian,
    ObservationNormaliser,
    Parameters,
    Policy,
    PopArt,
    Value,
)
from firerl.agents.vmpo.rollout import Unroll
from firerl.envs import EnvSpec


class Networks(nn.Module):
    """Everything that is copied with the weights, but for the optimisers."""

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.policy = self._policy(settings, spec, generator)
        self.target = self._policy(settings, spec, generator)  # pi_old
        self.target.load_state_dict(self.policy.state_dict())
        self.target.requires_grad_(False)
        self.value = Value(spec.observation_size, settings["hidden"], generator)
        self.normaliser = ObservationNormaliser(spec.observation_size, settings["observation_clip"])
        self.popart = PopArt(settings["value_rate"])
        names = self.policy.head.kl_names
        first = torch.tensor([settings["init_eta"], *(settings[f"init_alpha_{name}"] for name in names)])
        self.raw_multipliers = nn.Parameter(first + torch.log(-torch.expm1(-first)))  # the inverse of softplus

    @staticmethod
    def _policy(settings: Mapping[str, Any], spec: EnvSpec, generator: torch.Generator) -> Policy:
        width = settings["hidden"][-1]
        head: Gaussian | Categorical
        if spec.discrete:
            head = Categorical(width, spec.action_size, generator)
        else:
            scales = settings["init_scale"], settings["min_scale"]
            head = Gaussian(width, spec.action_size, *scales, generator)
        return Policy(spec.observation_size, settings["hidden"], head, generator)

    def multipliers(self) -> Tensor:
        """(eta, alpha, ...), positive through softplus and a floor."""
        return nn.functional.softplus(self.raw_multipliers) + 1e-8


class Update:
    """The networks of one learner and how they learn."""

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int, device: torch.device):
        self.settings = dict(settings)  # hyperparameters are written over it
        self.device = device
        self.nets = Networks(settings, spec, seed).to(device)
        nets = self.nets
        self.head = nets.policy.head
        self.policy_parameters = list(nets.policy.parameters())
        self.value_parameters = list(nets.value.parameters())
        self.optimiser = torch.optim.Adam(self.policy_parameters + self.value_parameters, fused=True)
        self.multiplier_optimiser = torch.optim.Adam([nets.raw_multipliers], fused=True)
        self.unrolls = 0  # since the target policy was last replaced

    def act(self, raw: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Parameters]:
        """Raw observations [N, O] -> normalised ones, actions of pi_old, its output. No generator: the mean action."""
        with torch.inference_mode():
            observations = self.nets.normaliser(raw.to(self.device))
            output = self.nets.target(observations)
            action = self.head.mode(output) if generator is None else self.head.sample(output, generator)
        return observations, action, output

    @torch.no_grad()
    def targets(self, unroll: Unroll) -> tuple[Tensor, Tensor]:
        """Standardised advantages and normalised value targets, [B] each; updates the scale of the targets."""
        nets, device = self.nets, self.device
        rewards, terminated, truncated = (
            part.to(device) for part in (unroll.rewards, unroll.terminated, unroll.truncated)
        )
        values = nets.popart.denormalise(nets.value(unroll.observations))
        last = nets.popart.denormalise(nets.value(nets.normaliser(unroll.last.to(device))))
        next_values = torch.cat([values[1:], last[None]])
        if unroll.ends:  # a truncated episode goes on in thought: from its own last observation, not the next first
            final = torch.stack([torch.from_numpy(observation) for _, _, observation in unroll.ends]).to(device)
            t, i = [t for t, _, _ in unroll.ends], [i for _, i, _ in unroll.ends]
            next_values[t, i] = nets.popart.denormalise(nets.value(nets.normaliser(final)))
        returns = losses.lambda_returns(
            rewards, values, next_values, terminated, truncated, self.settings["discount"], self.settings["gae_lambda"]
        )
        advantages = (returns - values).flatten()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        nets.popart.update(returns, nets.value.last)
        return advantages, nets.popart.normalise(returns).flatten()

    def learn(self, unroll: Unroll, generator: torch.Generator) -> dict[str, float]:
        """All gradient steps of one unroll; returns the means of what they computed."""
        advantages, targets = self.targets(unroll)
        batch = [part.flatten(0, 1) for part in (unroll.observations, unroll.actions, *unroll.old)]
        batch += [advantages, targets]
        self._set_learning_rates()
        count, parts = len(targets), self.settings["minibatches"]
        sums: Tensor | None = None
        for _ in range(int(self.settings["epochs"])):
            order = torch.randperm(count, generator=generator, device=self.device)
            shuffled = [part[order] for part in batch]
            for minibatch in zip(*(part.chunk(parts) for part in shuffled), strict=True):
                numbers = self._step(*minibatch)
                sums = numbers if sums is None else sums + numbers
        assert sums is not None
        self.nets.normaliser.update(unroll.raw.flatten(0, 1).to(self.device))
        self._replace_target()
        return self._metrics(sums / (int(self.settings["epochs"]) * parts))

    def _step(self, observations: Tensor, actions: Tensor, *rest: Tensor) -> Tensor:
        """One gradient step on a minibatch; returns what ``_metrics`` names."""
        *old, advantages, targets = rest
        nets, settings = self.nets, self.settings
        eta, *alphas = nets.multipliers().unbind()
        output = nets.policy(observations)
        values = nets.value(observations)

        best = losses.top_half(advantages)  # D~
        psi = losses.policy_weights(advantages[best], eta)
        loss_pi = losses.policy_loss(self.head.log_prob(tuple(part[best] for part in output), actions[best]), psi)
        loss_eta = losses.temperature_loss(eta, settings["eps_eta"], advantages[best])
        kls = self.head.kl(tuple(old), output)
        bounds = [settings[f"eps_alpha_{name}"] for name in self.head.kl_names]
        loss_alpha = sum(losses.alpha_loss(a, e, kl) for a, e, kl in zip(alphas, bounds, kls, strict=True))
        loss_v = losses.value_loss(values, targets)
        entropy = self.head.entropy(output)
        loss = loss_pi + loss_eta + loss_alpha + loss_v - settings["entropy_cost"] * entropy

        self.optimiser.zero_grad()
        self.multiplier_optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy_parameters, settings["max_grad_norm"])
        nn.utils.clip_grad_norm_(self.value_parameters, settings["max_grad_norm"])
        self.optimiser.step()
        self.multiplier_optimiser.step()
        scale = output[-1].mean() if len(output) == 2 else output[0].exp().amax(-1).mean()
        return torch.stack([loss, loss_pi, loss_v, entropy, scale, eta, *alphas, *(kl.mean() for kl in kls)]).detach()

    def _metrics(self, means: Tensor) -> dict[str, float]:
        kinds = self.head.kl_names
        scale = "scale" if len(kinds) == 2 else "top_probability"
        names = ["loss", "policy_loss", "value_loss", "entropy", scale, "eta"]
        names += [f"alpha_{kind}" for kind in kinds] + [f"kl_{kind}" for kind in kinds]
        metrics = dict(zip(names, means.tolist(), strict=True))
        if not torch.isfinite(means).all():
            bad = ", ".join(f"{name}={value}" for name, value in metrics.items() if value - value != 0.0)
            raise FloatingPointError(f"V-MPO diverged, a loss is not finite: {bad}")
        return metrics

    def _set_learning_rates(self) -> None:
        self.optimiser.param_groups[0]["lr"] = self.settings["learning_rate"]
        self.multiplier_optimiser.param_groups[0]["lr"] = self.settings["multiplier_learning_rate"]

    def _replace_target(self) -> None:
        self.unrolls += 1
        if self.unrolls >= self.settings["target_period"]:
            self.nets.target.load_state_dict(self.nets.policy.state_dict())
            self.unrolls = 0

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: tensor.detach().cpu().clone() for name, tensor in self.nets.state_dict().items()},
            "optimiser": _optimiser_state(self.optimiser),
            "multiplier_optimiser": _optimiser_state(self.multiplier_optimiser),
            "unrolls": self.unrolls,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.nets.load_state_dict(state["networks"])  # copies into the tensors that are there
        _load_optimiser(self.optimiser, state["optimiser"])
        _load_optimiser(self.multiplier_optimiser, state["multiplier_optimiser"])
        self.unrolls = int(state["unrolls"])


def _optimiser_state(optimiser: torch.optim.Optimizer) -> list[dict[str, Tensor]]:
    """Adam's moments and counts, one entry a parameter; empty before the first step."""
    entries = [optimiser.state.get(parameter, {}) for parameter in optimiser.param_groups[0]["params"]]
    return [{name: tensor.detach().cpu().clone() for name, tensor in entry.items()} for entry in entries]


def _load_optimiser(optimiser: torch.optim.Optimizer, state: list[dict[str, Tensor]]) -> None:
    """Moments only: learning rates are hyperparameters and stay with the worker."""
    for parameter, entry in zip(optimiser.param_groups[0]["params"], state, strict=True):
        optimiser.state[parameter] = {name: tensor.to(parameter.device, copy=True) for name, tensor in entry.items()}

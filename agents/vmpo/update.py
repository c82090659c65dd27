"""Learning: one unroll becomes gradient steps. All that it holds is the weights half of the state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from firerl.agents.vmpo import losses
from firerl.agents.vmpo.distributions import Array, Categorical, Gaussian, Weights
from firerl.agents.vmpo.networks import Actor, Layers, Policy, Value
from firerl.agents.vmpo.normalisers import ObservationNormaliser, PopArt
from firerl.agents.vmpo.rollout import Act, Unroll
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
        self.policy = Layers(nets.policy.trunk, self.head.layers())
        self.value = Layers(nets.value.trunk, [nets.value.last])
        groups = [{"params": [self.policy.flat, self.value.flat]}, {"params": [nets.raw_multipliers]}]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.unrolls = 0  # since the target policy was last replaced
        self._take_hyperparameters()
        self._actor: Actor | None = None  # of pi_old; None once its normaliser has changed

    def act(self, raw: Array, generator: torch.Generator | None) -> tuple[Array, Array, tuple[Array, ...]]:
        """Raw observations [N, O] -> normalised ones, actions of pi_old, its output. No generator: the mean action."""
        return self.actor(raw, None if generator is None else self.head.noise((len(raw),), generator))

    def sampler(self, steps: int, num_envs: int, generator: torch.Generator) -> Act:
        """``act`` for so many steps, the same to the bit, with all noise drawn ahead: between steps it costs more."""
        actor, noise = self.actor, iter([self.head.noise((num_envs,), generator) for _ in range(steps)])
        return lambda raw: actor(raw, next(noise))

    @property
    def actor(self) -> Actor:
        if self._actor is None:
            self._actor = Actor(self.nets.target, self.nets.normaliser)
        return self._actor

    @torch.no_grad()
    def targets(self, unroll: Unroll) -> tuple[Tensor, Tensor]:
        """Standardised advantages and normalised value targets, [B] each; updates the scale of the targets."""
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
        returns = losses.lambda_returns(
            rewards, values, next_values, terminated, truncated, self.settings["discount"], self.settings["gae_lambda"]
        )
        advantages = (returns - values).flatten()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        nets.popart.update(returns, nets.value.last)
        return advantages, nets.popart.normalise(returns).flatten()

    def _values(self, observations: Tensor) -> Tensor:
        """Normalised observations [..., O] -> values in the units of the rewards [...]."""
        (values,), _ = self.value.forward(observations.flatten(0, -2))
        return self.nets.popart.denormalise(values).view(observations.shape[:-1])

    @torch.no_grad()
    def learn(self, unroll: Unroll, generator: torch.Generator) -> dict[str, float]:
        """All gradient steps of one unroll; returns the means of what they computed."""
        advantages, targets = self.targets(unroll)
        batch = [part.flatten(0, 1) for part in (unroll.observations, unroll.actions, *unroll.old)]
        batch += [advantages, targets]
        self._take_hyperparameters()
        numbers: list[Tensor] = []
        for _ in range(int(self.settings["epochs"])):
            order = torch.randperm(len(targets), generator=generator, device=self.device)
            for chosen in order.chunk(self.settings["minibatches"]):
                numbers.append(self.gradients(*(part.index_select(0, chosen) for part in batch)))
                self._step()
        self.nets.normaliser.update(unroll.raw.flatten(0, 1).to(self.device))
        self._replace_target()
        return self._metrics(torch.stack(numbers).mean(0))

    @torch.no_grad()
    def gradients(self, observations: Tensor, actions: Tensor, *rest: Tensor) -> Tensor:
        """Set all gradients from one minibatch; returns what ``_metrics`` names."""
        *old, advantages, targets = rest
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
        numbers, gradients = self.head.losses_and_gradients(outputs, tuple(old), actions, weights)
        errors = values - targets.unsqueeze(-1)

        self.policy.backward(gradients, policy_inputs)
        self.value.backward([errors / len(errors)], value_inputs)
        slack = settings["eps_eta"] + log_mean_exp
        d_multipliers = torch.cat([(slack - torch.dot(top_psi, scaled)).view(1), self.bounds - numbers[3:]])
        raw.grad = d_multipliers.mul_(torch.sigmoid(raw))  # through their softplus

        loss_v = 0.5 * errors.square().mean()
        loss = numbers[0] + eta * slack + torch.dot(alphas, self.bounds) + loss_v - cost * numbers[1]
        return torch.cat([torch.stack([loss, loss_v]), numbers, multipliers])

    def _step(self) -> None:
        """Clip each network's gradients to their norm, then Adam on all."""
        for flat in (self.policy.flat, self.value.flat):
            assert flat.grad is not None
            norm = torch.linalg.vector_norm(flat.grad)
            flat.grad.mul_((self.settings["max_grad_norm"] / (norm + 1e-6)).clamp_(max=1.0))
        self.optimiser.step()

    def _metrics(self, means: Tensor) -> dict[str, float]:
        kinds = self.head.kl_names
        scale = "scale" if len(kinds) == 2 else "top_probability"
        names = ["loss", "value_loss", "policy_loss", "entropy", scale, *(f"kl_{kind}" for kind in kinds), "eta"]
        names += [f"alpha_{kind}" for kind in kinds]
        metrics = dict(zip(names, means.tolist(), strict=True))
        if not torch.isfinite(means).all():
            bad = ", ".join(f"{name}={value}" for name, value in metrics.items() if value - value != 0.0)
            raise FloatingPointError(f"V-MPO diverged, a loss is not finite: {bad}")
        return metrics

    def _take_hyperparameters(self) -> None:
        networks, multipliers = self.optimiser.param_groups
        networks["lr"], multipliers["lr"] = self.settings["learning_rate"], self.settings["multiplier_learning_rate"]
        bounds = [self.settings[f"eps_alpha_{kind}"] for kind in self.head.kl_names]
        self.bounds = torch.tensor(bounds, device=self.device)

    def _replace_target(self) -> None:
        self.unrolls += 1
        if self.unrolls >= self.settings["target_period"]:
            self.nets.target.load_state_dict(self.nets.policy.state_dict())
            self.unrolls = 0
        self._actor = None

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: tensor.detach().cpu().clone() for name, tensor in self.nets.state_dict().items()},
            "optimiser": _optimiser_state(self.optimiser, 0),
            "multiplier_optimiser": _optimiser_state(self.optimiser, 1),
            "unrolls": self.unrolls,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.nets.load_state_dict(state["networks"])  # copies into the tensors that are there
        _load_optimiser(self.optimiser, 0, state["optimiser"])
        _load_optimiser(self.optimiser, 1, state["multiplier_optimiser"])
        self.unrolls = int(state["unrolls"])
        self._actor = None


def _optimiser_state(optimiser: torch.optim.Optimizer, group: int) -> list[dict[str, Tensor]]:
    """Adam's moments and counts, one entry a parameter; empty before the first step."""
    entries = [optimiser.state.get(parameter, {}) for parameter in optimiser.param_groups[group]["params"]]
    return [{name: tensor.detach().cpu().clone() for name, tensor in entry.items()} for entry in entries]


def _load_optimiser(optimiser: torch.optim.Optimizer, group: int, state: list[dict[str, Tensor]]) -> None:
    """Moments only: learning rates are hyperparameters and stay with the worker."""
    for parameter, entry in zip(optimiser.param_groups[group]["params"], state, strict=True):
        optimiser.state[parameter] = {name: tensor.to(parameter.device, copy=True) for name, tensor in entry.items()}

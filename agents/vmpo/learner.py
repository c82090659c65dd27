"""V-MPO: on-policy maximum a posteriori policy optimisation (Song et al. 2019, arXiv 1909.12238).

From top to bottom: settings, the temperature's loss, the networks, the update, the learner. The policy's loss is beside
it in ``gradients.py``, with its derivative in closed form. B samples of a minibatch, A numbers in an action.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from firerl import envs
from firerl.agents.actor_critic import learner, settings
from firerl.agents.actor_critic.rollout import Unroll
from firerl.agents.vmpo.gradients import Weights, kl_names, losses_and_gradients
from firerl.base.settings import setting
from firerl.envs import EnvSpec


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Defaults for a small task; ``TASKS`` changes them by task."""

    target_period: int = setting(
        1, "unrolls after which the acting policy pi_old becomes pi", "unrolls", minimum=1, maximum=settings.MOST
    )
    multiplier_learning_rate: float = setting(
        1e-2, "Adam's rate for eta and the alphas, before their softplus", minimum=0, maximum=1, tunable=True
    )
    eps_eta: float = setting(
        0.1,
        "bound of the temperature: how far the weights of samples go from equal",
        "nats",
        above=0,
        maximum=100,
        tunable=True,
    )
    eps_alpha_mu: float = setting(
        0.01, "bound of the KL's mean part per update; of the whole KL for discrete actions", "nats",
        above=0, maximum=100, tunable=True,
    )  # fmt: skip
    eps_alpha_sigma: float = setting(
        5e-4, "bound of the KL's covariance part per update", "nats", above=0, maximum=100, tunable=True
    )
    init_eta: float = setting(1.0, "first temperature", above=0, maximum=1e6)
    init_alpha_mu: float = setting(1.0, "first multiplier of the KL's mean part", above=0, maximum=1e6)
    init_alpha_sigma: float = setting(10.0, "first multiplier of the KL's covariance part", above=0, maximum=1e6)
    control_variate: bool = setting(True, "takes noise out of the policy's gradient, see docs/explanation/vmpo.md")


# All but HumanoidStandup are what a study over millions of steps found (docs/explanation/vmpo.md says how). Where
# episodes last 1,000 steps whatever happens, few environments and an evaluation every 8,000 steps see to it that
# episodes end in every interval.
_FALLING: dict[str, Any] = {"schedule": "linear", "schedule_steps": 4_000_000}  # the rate
_LONG: dict[str, Any] = {
    "num_envs": 8, "unroll": 250, "hidden": (256, 128), "epochs": 8, "minibatches": 8, "learning_rate": 1e-3,
    **_FALLING, "init_scale": 0.6, "one_scale": True, "gae_lambda": 0.9, "eps_eta": 0.01, "eps_alpha_mu": 0.02,
    "eps_alpha_sigma": 1e-5, "eval_interval": 8000,
}  # fmt: skip
_LARGE: dict[str, Any] = {
    "num_envs": 16, "unroll": 256, "hidden": (256, 128), "epochs": 5, "minibatches": 4, "learning_rate": 3e-4,
    "eps_eta": 0.01, "eps_alpha_mu": 0.02,
}  # fmt: skip
_MANY: dict[str, Any] = {  # many small gradient steps
    "num_envs": 16, "unroll": 128, "hidden": (128, 128), "epochs": 8, "minibatches": 16, "learning_rate": 3e-4,
    **_FALLING, "init_scale": 0.6, "one_scale": True, "eps_eta": 0.01, "eps_alpha_mu": 0.02, "eps_alpha_sigma": 1e-5,
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {  # by base name, any version
    "Humanoid": {**_LARGE, "init_scale": 1.0, "gae_lambda": 0.8, "eps_alpha_sigma": 1e-4},
    "Ant": {**_LARGE, **_FALLING, "gae_lambda": 0.9, "eps_alpha_sigma": 3e-4},
    "Hopper": {**_MANY, "discount": 0.995},
    "Walker2d": _MANY,
    "HalfCheetah": _LONG,
    "Swimmer": {**_LONG, "discount": 0.999},
    "HumanoidStandup": {
        "num_envs": 8, "unroll": 125, "hidden": (128, 128), "learning_rate": 3e-4, "init_scale": 0.5,
        "eps_alpha_mu": 0.02, "eps_alpha_sigma": 2e-3, "eval_interval": 8000,
    },
}  # fmt: skip


def temperature(advantages: Tensor, eta: Tensor, eps_eta: float) -> tuple[Tensor, Tensor, Tensor]:
    """The samples' weights psi [B], the temperature's loss L_eta and its derivative for eta (equation 4).

    psi = exp(A / eta) / sum over D~ of exp(A / eta) on the half D~ with the largest advantages (section 4.1), zero
    elsewhere; L_eta = eta (eps_eta + log mean over D~ of exp(A / eta)), smallest where KL(psi || uniform) = eps_eta.
    """
    best = torch.topk(advantages, max(1, len(advantages) // 2), sorted=False).indices  # D~
    scaled = advantages.index_select(0, best) / eta
    log_psi = torch.log_softmax(scaled, 0)
    top_psi = log_psi.exp()
    psi = torch.zeros_like(advantages).index_copy_(0, best, top_psi)
    slack = eps_eta + (scaled[0] - log_psi[0] - math.log(len(best)))
    return psi, eta * slack, slack - torch.dot(top_psi, scaled)


class Networks(learner.Networks):
    """Everything that is copied with the weights, but for the optimisers. ``target`` is pi_old."""

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int):
        super().__init__(settings, spec, seed, target=True)
        names = kl_names(self.policy.head)
        first = torch.tensor([settings["init_eta"], *(settings[f"init_alpha_{name}"] for name in names)])
        self.raw_multipliers = nn.Parameter(first + torch.log(-torch.expm1(-first)))  # the inverse of softplus

    def multipliers(self) -> Tensor:
        """(eta, alpha, ...), positive through softplus and a floor."""
        return nn.functional.softplus(self.raw_multipliers) + 1e-8


class Update(learner.Update):
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

        cost = settings["entropy_cost"]
        psi, loss_eta, d_eta = temperature(advantages, eta, settings["eps_eta"])
        weights = Weights(psi, alphas, cost, float(settings["control_variate"]))
        numbers, gradients = losses_and_gradients(self.head, outputs, tuple(old), actions, weights)
        errors = values - targets.unsqueeze(-1)

        self.policy.backward(gradients, policy_inputs)
        self.value.backward([errors / len(errors)], value_inputs)
        # L_alpha = alpha (eps_alpha - KL), the KL without gradient (equation 5).
        d_multipliers = torch.cat([d_eta.view(1), self.bounds - numbers[3:]])
        raw.grad = d_multipliers.mul_(torch.sigmoid(raw))  # through their softplus

        loss_v = 0.5 * errors.square().mean()
        loss = numbers[0] + loss_eta + torch.dot(alphas, self.bounds) + loss_v - cost * numbers[1]
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
        own = {"multiplier_optimiser": learner.optimiser_state(self.optimiser, 1), "unrolls": self.unrolls}
        return {**super().state(), **own}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        learner.load_optimiser(self.optimiser, 1, state["multiplier_optimiser"])
        self.unrolls = int(state["unrolls"])


class VMPO(learner.ActorCritic):
    """On-policy maximum a posteriori policy optimisation on any Gymnasium task with vector observations.

    weights: policy, target policy, value, eta and alphas, both optimisers, statistics of observations and values.
    """

    Settings = Settings
    tasks = TASKS
    update_class = Update
    space: ClassVar[Mapping[str, Any]] = {
        "learning_rate": {"log_uniform": [5e-5, 3e-3]},
        "eps_eta": {"log_uniform": [1e-3, 0.5]},
        "eps_alpha_mu": {"log_uniform": [1e-3, 0.1]},
        "eps_alpha_sigma": {"log_uniform": [1e-6, 1e-2]},
    }

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Discrete actions have one KL, which ``eps_alpha_mu`` bounds."""
        space = super().space_of(settings)
        if envs.check(settings["env"]["name"], settings["env"]["kwargs"]).discrete:
            del space["eps_alpha_sigma"]
        return space

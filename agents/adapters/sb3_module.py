"""The policy alone: from raw observations to actions in the environment's units, without environments."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from torch import Tensor, nn

from firerl.envs import EnvSpec


class ActingPolicy(nn.Module):
    """Observations [B, O] in the environment's dtype -> actions without noise, [B, A] of its float type or [B] int64.

    ``forward`` is torch alone, for export. ``act`` is what the learner does when it plays, to the bit.
    """

    names: ClassVar[tuple[str, str]] = ("observations", "actions")
    low: Tensor
    high: Tensor

    def __init__(self, policy: Any, spec: EnvSpec):
        super().__init__()
        self.policy, self.discrete, self.action_start = policy, spec.discrete, spec.action_start
        self.input_shape = (spec.observation_size,)
        self.input_dtype = getattr(torch, spec.observation_dtype)
        self.action_dtype = getattr(torch, spec.action_dtype)
        for name in ("low", "high"):
            bounds = torch.tensor(getattr(spec, name), dtype=self.action_dtype)
            self.register_buffer(name, bounds.to(policy.device))

    def forward(self, observations: Tensor) -> Tensor:
        """Without noise."""
        return self._in_units(self._mean(observations))

    def _mean(self, observations: Tensor) -> Tensor:
        """The policy's own action, around the library's distributions, which look at their numbers and so cannot be
        exported."""
        policy = self.policy
        if isinstance(policy, ActorCriticPolicy):
            features = BaseModel.extract_features(policy, observations, policy.pi_features_extractor)
            actions = policy.action_net(policy.mlp_extractor.forward_actor(features))
            return actions.argmax(-1) if self.discrete else actions.tanh() if policy.squash_output else actions
        if hasattr(getattr(policy, "actor", None), "get_action_dist_params"):  # SAC and its kin
            return policy.actor.get_action_dist_params(observations)[0].tanh()
        return policy._predict(observations, deterministic=True)

    def _in_units(self, actions: Tensor) -> Tensor:
        if self.discrete:
            return actions.reshape(-1) + self.action_start
        if self.policy.squash_output:
            return self.low + 0.5 * (actions.to(self.action_dtype) + 1.0) * (self.high - self.low)
        return torch.maximum(torch.minimum(actions.to(self.action_dtype), self.high), self.low)

    @torch.no_grad()
    def act(self, observations: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        """The same for arrays; with ``generator`` as the policy samples in training, where it samples at all."""
        self.policy.set_training_mode(False)
        given = torch.as_tensor(np.asarray(observations), dtype=self.input_dtype, device=self.policy.device)
        if generator is None:
            return self.forward(given).cpu().numpy()
        with torch.random.fork_rng(devices=[]):  # the library samples from torch's global generator
            torch.manual_seed(int(torch.randint(0, 2**62, (), generator=generator)))
            return self._in_units(self.policy._predict(given, deterministic=False)).cpu().numpy()

"""The policy alone: from raw observations to actions in the environment's units, without environments."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from firerl.agents.actor_critic.networks import Actor, Policy
from firerl.agents.actor_critic.normalisers import ObservationNormaliser
from firerl.agents.actor_critic.rollout import ActionMap
from firerl.envs import EnvSpec

_BOUNDS = ("centre", "half_width", "low", "high")


class ActingModule(nn.Module):
    """Observations [B, O] in the environment's dtype -> mean actions, [B, A] of its own float type or [B] int64.

    ``forward`` is torch alone, for export. ``act`` is what the learner does when it plays, to the bit.
    """

    names: ClassVar[tuple[str, str]] = ("observations", "actions")
    centre: Tensor
    half_width: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, policy: Policy, normaliser: ObservationNormaliser, spec: EnvSpec):
        super().__init__()
        self.input_shape = (spec.observation_size,)
        self.input_dtype = getattr(torch, spec.observation_dtype)
        self.policy, self.normaliser = policy, normaliser
        self.discrete, self.action_start = spec.discrete, spec.action_start
        self.actor, self.action_map = Actor(policy, normaliser), ActionMap(spec)
        self.action_dtype = getattr(torch, spec.action_dtype)
        if not spec.discrete:
            bounds = self.action_map  # [A] each, float64 as there
            for name, values in zip(_BOUNDS, (bounds.centre, bounds.half, bounds.low, bounds.high), strict=True):
                self.register_buffer(name, torch.from_numpy(values))

    def forward(self, observations: Tensor) -> Tensor:
        """The mean action, or the most probable one."""
        outputs = self.policy(self.normaliser(observations.double()))
        if self.discrete:
            return outputs[0].argmax(-1) + self.action_start
        mapped = self.centre + self.half_width * outputs[0]
        return torch.maximum(torch.minimum(mapped, self.high), self.low).to(self.action_dtype)

    def act(self, observations: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        """The same for arrays; sampled from ``generator`` if there is one."""
        noise = None if generator is None else self.policy.head.noise((len(observations),), generator)
        return self.action_map(self.actor(np.asarray(observations, dtype=np.float64), noise)[1])

"""Acting: from observations to actions, and environments stepped in parallel with the bookkeeping of their episodes.

What a ``Rollout`` holds is the stream half of the state: it stays with the worker when weights are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from firerl import envs
from firerl.agents.actor_critic.networks import Array, ObservationNormaliser, Policy
from firerl.agents.actor_critic.settings import info_key
from firerl.agents.episodes import Ended, finite
from firerl.envs import EnvSpec
from firerl.envs.door import number
from firerl.errors import SettingError

Act = Callable[[Array], tuple[Array, Array, tuple[Array, ...]]]  # raw obs -> normalised obs, action, distribution


class Actor:
    """A policy behind its normaliser, for few observations at a time: there a call of torch costs twice one of numpy.

    Build a new one after the normaliser has changed; the policy's weights are followed.
    """

    def __init__(self, policy: Policy, normaliser: ObservationNormaliser):
        self.head, self.clip = policy.head, normaliser.clip
        self.activation_ = policy.trunk.activation.array_
        self.mean, self.factor = normaliser.mean.cpu().numpy().copy(), normaliser.factor().cpu().numpy()
        self.hidden, self.outputs = (
            [(layer.weight.detach().t(), layer.bias.detach().cpu().numpy()) for layer in layers]
            for layers in (policy.trunk.linears, policy.head.layers())
        )

    def __call__(self, raw: Array, noise: Array | None) -> tuple[Array, Array, tuple[Array, ...]]:
        """Raw observations [N, O] -> normalised ones, actions, the distribution's parameters; see ``head.act``."""
        normal = raw - self.mean
        normal *= self.factor
        np.minimum(normal, self.clip, out=normal)
        np.maximum(normal, -self.clip, out=normal)
        observations = features = normal.astype(np.float32)
        for weight, bias in self.hidden:
            features = _product(features, weight)
            features += bias
            self.activation_(features)
        outputs = [_product(features, weight) + bias for weight, bias in self.outputs]
        return observations, *self.head.act(outputs, noise)


def _product(left: Array, right: Tensor) -> Array:
    """[N, I] x [I, O]. By numpy where it is small: from 2**18 on numpy takes as many threads as there are cores."""
    if right.is_cpu and left.size * right.shape[1] < 2**17:
        return left @ right.numpy()
    return torch.mm(torch.from_numpy(left).to(right.device), right).cpu().numpy()


class ActionMap:
    """From the policy's actions to the environment's: [-1, 1] to the bounds, clipped only here."""

    def __init__(self, spec: EnvSpec):
        self.spec = spec
        if not spec.discrete:
            self.centre, self.half = envs.action_map(spec)
            self.low, self.high = np.array(spec.low), np.array(spec.high)

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        if self.spec.discrete:
            return actions + self.spec.action_start
        mapped = self.centre + self.half * actions
        np.minimum(mapped, self.high, out=mapped)
        return np.maximum(mapped, self.low, out=mapped).astype(self.spec.action_dtype)


class ActingModule(nn.Module):
    """The policy alone, from raw observations to actions in the environment's units, without environments.

    Observations [B, O] in the environment's dtype -> mean actions, [B, A] of its own float type or [B] int64.
    ``forward`` is torch alone, for export. ``act`` is what the learner does when it plays, to the bit.
    """

    names: ClassVar[tuple[str, str]] = ("observations", "actions")

    def __init__(self, policy: Policy, normaliser: ObservationNormaliser, spec: EnvSpec):
        super().__init__()
        self.input_shape = (spec.observation_size,)
        self.input_dtype = getattr(torch, spec.observation_dtype)
        self.policy, self.normaliser = policy, normaliser
        self.discrete, self.action_start = spec.discrete, spec.action_start
        self.actor, self.action_map = Actor(policy, normaliser), ActionMap(spec)
        self.action_dtype = getattr(torch, spec.action_dtype)
        if not spec.discrete:  # [A] each, float64 as there
            self.centre, self.half_width, self.low, self.high = (
                nn.Buffer(torch.from_numpy(values))
                for values in (self.action_map.centre, self.action_map.half, self.action_map.low, self.action_map.high)
            )

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


class Unroll:
    """One unroll of T steps of N environments, in tensors that every unroll fills anew."""

    def __init__(self, steps: int, num_envs: int, spec: EnvSpec, device: torch.device):
        shape = (steps, num_envs)
        action = torch.int64 if spec.discrete else torch.float32
        action_shape = shape if spec.discrete else (*shape, spec.action_size)
        widths = [spec.action_size] if spec.discrete else [spec.action_size] * 2
        self.raw = torch.zeros(*shape, spec.observation_size, dtype=torch.float64)  # [T, N, O] as the task gives them
        self.observations = torch.zeros(*shape, spec.observation_size, device=device)  # [T, N, O] normalised
        self.actions = torch.zeros(action_shape, dtype=action, device=device)  # [T, N] or [T, N, A], not clipped
        self.old = tuple(torch.zeros(*shape, width, device=device) for width in widths)  # the acting policy's output
        self.rewards = torch.zeros(shape)  # [T, N]
        self.terminated = torch.zeros(shape, dtype=torch.bool)
        self.truncated = torch.zeros(shape, dtype=torch.bool)
        self.last = torch.zeros(num_envs, spec.observation_size, dtype=torch.float64)  # [N, O] raw, after the unroll
        self.ends: list[tuple[int, int, np.ndarray]] = []  # (t, environment, last observation) of truncated episodes

    def acted(self) -> tuple[Tensor, ...]:
        """What acting fills: normalised observations, actions, the acting policy's output."""
        return self.observations, self.actions, *self.old


def lambda_returns(
    rewards: Tensor,  # [T, N]
    values: Tensor,  # [T, N]: V(s_t)
    next_values: Tensor,  # [T, N]: V of the state that step t led to; at the end of an episode, of its last state
    terminated: Tensor,  # [T, N], bool: the task ended, nothing follows
    truncated: Tensor,  # [T, N], bool: the episode was cut, the value of its last state stands for the rest
    discount: float,
    lambda_: float,
) -> Tensor:
    """G = r + discount ((1 - lambda) V(s') + lambda G'), cut at termination, bootstrapped through truncation. [T, N].

    G - V is the generalised advantage estimate (GAE). With lambda = 1 G is the n-step return, n reaching to the end of
    the unroll.
    """
    alive = (~terminated).to(rewards.dtype)
    deltas = rewards + discount * next_values * alive - values
    carry = discount * lambda_ * (~(terminated | truncated)).to(rewards.dtype)
    returns = torch.empty_like(values)
    advantage = torch.zeros_like(values[0])
    for t in range(len(rewards) - 1, -1, -1):
        advantage = deltas[t] + carry[t] * advantage
        returns[t] = advantage + values[t]
    return returns


class Rollout:
    """Environments of one learner, and their episodes.

    Episodes belong to the weights that the worker has: when these are replaced, all environments begin new ones.
    """

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int, device: torch.device):
        self.spec = spec
        self.num_envs = settings["num_envs"]
        self.info_key = info_key(settings["objective"])
        self.action_map = ActionMap(spec)
        self.env = envs.make(settings["env"]["name"], self.num_envs, seed, **settings["env"]["kwargs"])
        self.observation: np.ndarray = self.env.reset()[0]
        self.unroll = Unroll(settings["unroll"], self.num_envs, spec, device)
        self.episodes = Ended(self.num_envs, settings["objective_episodes"])

    @property
    def physics_warnings(self) -> int:
        """MuJoCo's so far, such as unstable physics; 0 where the environments do not count them."""
        return int(getattr(self.env, "warnings", 0))

    def collect(self, act: Act) -> Unroll:
        """Fill the unroll, acting with ``act``."""
        unroll = self.unroll
        unroll.ends = []
        raw, rewards = unroll.raw.numpy(), unroll.rewards.numpy()
        terminated, truncated = unroll.terminated.numpy(), unroll.truncated.numpy()
        acted = []
        for t in range(len(rewards)):
            raw[t] = finite(self.observation, self.spec.name)
            acted.append(act(raw[t]))
            step = self.env.step(self.action_map(acted[t][1]))
            self.observation, rewards[t], terminated[t], truncated[t], infos = step
            if not np.isfinite(rewards[t]).all():
                raise FloatingPointError(f"{self.spec.name}: a reward is {step[1][~np.isfinite(rewards[t])][0]}")
            ended = terminated[t] | truncated[t]
            truncated[t] &= ~terminated[t]
            for i in np.flatnonzero(truncated[t]):
                unroll.ends.append((t, int(i), np.array(infos["final_obs"][i], dtype=np.float64)))
            objective = None if self.info_key is None else partial(self._told, infos)
            self.episodes.step(step[1], ended, objective)
        unroll.last.numpy()[:] = finite(self.observation, self.spec.name)
        observations, actions, old = zip(*acted, strict=True)
        for store, parts in zip(unroll.acted(), (observations, actions, *zip(*old, strict=True)), strict=True):
            store[: len(parts)] = torch.from_numpy(np.stack(parts))
        return unroll

    def _told(self, infos: dict[str, Any], i: int) -> float:
        """What the final info of an environment's episode says under ``info_key``."""
        final = infos.get("final_info", {})
        if not final.get(f"_{self.info_key}", np.zeros(self.num_envs, dtype=bool))[i]:
            keys = sorted(key for key in final if not key.startswith("_"))
            raise SettingError(
                f"learner.objective='info:{self.info_key}': the final info of {self.spec.name} has no such key, "
                f"it has: {', '.join(keys) or 'none'}"
            )
        try:
            return number(final[self.info_key][i])
        except (TypeError, ValueError, OverflowError):
            raise SettingError(
                f"learner.objective='info:{self.info_key}': in the final info of {self.spec.name} it is no number"
            ) from None

    def weights_replaced(self) -> None:
        """Running episodes began under other weights, and so did those in the window."""
        if self.episodes.lengths.any():
            self.observation = self.env.reset()[0]
        self.episodes.forget()

    def state(self) -> dict[str, Any]:
        own = {"envs": envs.get_state(self.env), "observation": np.array(self.observation)}
        return {**own, **self.episodes.state()}

    def load(self, state: Mapping[str, Any]) -> str:
        """Go on from a state; which episodes cannot, in words, "" for none: new ones have begun in their place."""
        begun = envs.set_state(self.env, state["envs"])
        self.observation = np.array(state["observation"])
        self.episodes.load(state)
        for i, first in begun.items():
            self.observation[i], self.episodes.returns[i], self.episodes.lengths[i] = first, 0.0, 0
        if not begun:
            return ""
        return (
            f"{len(begun)} of {self.num_envs} episodes of {self.spec.name} could not be repeated as they were: new "
            "ones have begun in their place"
        )

    def close(self) -> None:
        self.env.close()

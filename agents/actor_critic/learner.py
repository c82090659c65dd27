"""What an algorithm extends: the networks that are copied, the update of them, the learner.

V-MPO and PPO do in one file each; ``tests/agents/test_actor_critic_learner.py`` has a third algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from firerl import envs
from firerl.agents import episodes
from firerl.agents.actor_critic.networks import Array, Layers, ObservationNormaliser, Policy, PopArt, Value
from firerl.agents.actor_critic.rollout import Act, ActingModule, Actor, Rollout, Unroll, lambda_returns
from firerl.agents.actor_critic.settings import Settings, around, complete, environment, info_key, next_factor
from firerl.base.settings import build
from firerl.envs import EnvSpec
from firerl.learner import Continuation, Hyperparameters, Learner, check_multiple

TARGET_KL = {"log_uniform": [1e-3, 0.1]}  # of the search, where ``schedule`` is "kl"


class Networks(nn.Module):
    """Policy, value and the statistics of observations and value targets: what is copied, but for the optimiser.

    With ``target``, a second policy acts, and is copied too.
    """

    def __init__(self, settings: Mapping[str, Any], spec: EnvSpec, seed: int, target: bool = False):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.policy = Policy(settings, spec, generator)
        if target:
            self.target = Policy(settings, spec, generator)
            self.target.load_state_dict(self.policy.state_dict())
            self.target.requires_grad_(False)
        self.value = Value(spec.observation_size, settings["hidden"], settings["activation"], generator)
        self.normaliser = ObservationNormaliser(spec.observation_size, settings["observation_clip"])
        self.popart = PopArt(settings["value_rate"])

    @property
    def acting(self) -> Policy:
        """The policy that acts."""
        return getattr(self, "target", self.policy)


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
        self.factor = 1.0  # on the learning rate
        self.steps = 0  # environment steps that the weights have learned from
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
        self.optimiser.param_groups[0]["lr"] = self.settings["learning_rate"] * self.factor

    def end(self) -> None:
        """The gradient steps of an unroll are done, and the statistics of observations have taken it in."""

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: tensor.detach().cpu().clone() for name, tensor in self.nets.state_dict().items()},
            "optimiser": optimiser_state(self.optimiser, 0),
            "schedule": {"factor": self.factor, "steps": self.steps},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.nets.load_state_dict(state["networks"])  # copies into the tensors that are there
        load_optimiser(self.optimiser, 0, state["optimiser"])
        self.factor, self.steps = float(state["schedule"]["factor"]), int(state["schedule"]["steps"])
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
        rate = self.settings["learning_rate"] * self.factor
        self.steps += len(batch[0])
        kl = self._kl(numbers[-self.settings["minibatches"] :])
        self.factor = next_factor(self.settings, self.factor, self.steps, kl)
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


class ActorCritic(Learner):
    """What the on-policy agents have in common, on any Gymnasium task with vector observations.

    weights: networks, optimisers, statistics of observations and values (``update``).
    stream: environment states, random generators, running episodes, window of the objective.
    """

    Settings: ClassVar[type[Settings]] = Settings
    tasks: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # other defaults, by the task's base name, any version
    update_class: ClassVar[type[Update]]  # its losses

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str = "cpu"):
        self.config = dict(settings)
        self.device = torch.device(device)
        self.spec = envs.check(settings["env"]["name"], settings["env"]["kwargs"])
        init, act, environments = (int(s) for s in np.random.SeedSequence(seed).generate_state(3, np.uint32))
        self.rollout = Rollout(settings, self.spec, environments, self.device)
        self.update = self.update_class(settings, self.spec, init, self.device)
        self.generator = torch.Generator().manual_seed(act)  # the CPU's: the same draws and states on every device
        self.evaluation_steps = 0  # environment steps spent on objective=fresh
        self.set_hyperparameters(hyperparameters)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What a person gave over the task's over the defaults."""
        usual = cls.settings["env"]
        env = environment(settings.get("env", usual), usual["name"])
        task = cls.tasks.get(envs.base_name(env["name"]), {})
        kind = f"setting of learner {cls.__name__}"
        return complete(build(cls.Settings, {**task, **settings, "env": env}, "learner.", kind), settings)

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """``space`` holds the bounds; first values are drawn around the settings of the task.

        A rate that follows the KL is tuned by the KL that it follows.
        """
        space = dict(cls.space)
        if settings["schedule"] == "kl" and space.pop("learning_rate", None):
            space["target_kl"] = TARGET_KL
        return {name: around(spec, settings[name]) for name, spec in space.items()}

    @classmethod
    def granularity_of(cls, settings: Mapping[str, Any]) -> int:
        return settings["num_envs"] * settings["unroll"]

    @classmethod
    def eval_interval_of(cls, settings: Mapping[str, Any]) -> int:
        return settings["eval_interval"] or 2 * cls.granularity_of(settings)

    @classmethod
    def continuation_of(cls, settings: Mapping[str, Any]) -> Continuation:
        """Its environments' episodes are all that a state may fail to hold."""
        return episodes.continuation(settings["env"], info_key(settings["objective"]))

    @classmethod
    def cost_of(cls, settings: Mapping[str, Any], steps: int) -> float:
        """That of the physics, which grows as the agent learns to stand."""
        return envs.cost_of(settings["env"]["name"], steps)

    @classmethod
    def task_of(cls, settings: Mapping[str, Any]) -> str:
        return settings["env"]["name"]

    @classmethod
    def facts_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The environment's EnvSpec."""
        return asdict(envs.check(settings["env"]["name"], settings["env"]["kwargs"]))

    @classmethod
    def module_of(cls, settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any]) -> ActingModule:
        """The acting policy from raw observations to actions in the environment's units."""
        spec = envs.EnvSpec(**facts)
        update = cls.update_class(settings, spec, 0, torch.device("cpu"))
        update.load(weights)
        return ActingModule(update.nets.acting, update.nets.normaliser, spec)

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        """Any of ``tunable``; those not given take the value of the settings."""
        self.update.settings.update({name: self.config[name] for name in self.tunable}, **self.checked(values))

    def train(self, steps: int) -> dict[str, float]:
        """Whole unrolls; metrics are means over this call's gradient steps and episodes."""
        unit = self.granularity_of(self.config)
        check_multiple("steps", steps, unit, "num_envs x unroll")
        self.rollout.episodes.since = []
        warnings = self.rollout.physics_warnings
        sums: dict[str, float] = {}
        for _ in range(steps // unit):
            act = self.update.sampler(self.config["unroll"], self.config["num_envs"], self.generator)
            unroll = self.rollout.collect(act)
            for name, value in self.update.learn(unroll, self.generator).items():
                sums[name] = sums.get(name, 0.0) + value
        metrics = {name: value / (steps // unit) for name, value in sums.items()}
        metrics |= self.rollout.episodes.metrics()
        metrics["physics_warnings"] = float(self.rollout.physics_warnings - warnings)
        if self.config["objective"] == "fresh":
            metrics["evaluation_steps"] = float(self.evaluation_steps)
        return metrics

    def evaluate(self, seed: int) -> float | None:
        """See ``settings.objective``. Moves the mark "since the last evaluation", which training never reads."""
        if self.config["objective"] != "fresh":
            return self.rollout.episodes.objective()
        mean = self.config["objective_policy"] == "mean"
        played = self.episodes(self.config["objective_episodes"], seed, mean)
        self.evaluation_steps += sum(length for _, length in played)
        return float(np.mean([value for value, _ in played]))

    def act(self, observations: np.ndarray, mean: bool = True, generator: torch.Generator | None = None) -> np.ndarray:
        """Raw observations [B, O] -> actions in the environment's units, [B, A] or [B]. Weights stay as they are.

        Sampled actions (``mean=False``) come from ``generator``, never from the one that training uses.
        """
        if not mean and generator is None:
            raise ValueError("act(mean=False) needs a torch.Generator to sample from")
        _, actions, _ = self.update.act(np.asarray(observations, dtype=np.float64), None if mean else generator)
        return self.rollout.action_map(actions)

    def episodes(self, count: int, seed: int, mean: bool = True) -> list[tuple[float, int]]:
        """(return, length) of ``count`` whole fresh episodes with frozen weights, a function of weights and seed."""
        env_seed, act_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2, np.uint32))
        generator = torch.Generator().manual_seed(act_seed)
        return episodes.play(self.config["env"], count, env_seed, lambda raw: self.act(raw, mean, generator))

    def report(self, seed: int) -> dict[str, float]:
        """Return over 20 whole fresh episodes, with the mean action and with sampled ones."""
        return episodes.winner_report(lambda mean: self.episodes(episodes.REPORTED, seed, mean))

    def state(self) -> dict[str, Any]:
        stream = {
            "rollout": self.rollout.state(),
            "generator": self.generator.get_state().clone(),
            "evaluation_steps": self.evaluation_steps,
        }
        return {"weights": self.update.state(), "stream": stream}

    def load(self, weights: Any = None, stream: Any = None) -> str | None:
        """Weights alone come from another worker: the objective's window starts anew."""
        if weights is not None:
            self.update.load(weights)
            if stream is None:
                self.rollout.weights_replaced()
        if stream is None:
            return None
        self.generator.set_state(torch.as_tensor(stream["generator"]).cpu())
        self.evaluation_steps = int(stream["evaluation_steps"])
        return self.rollout.load(stream["rollout"])

    def close(self) -> None:
        """Release the environments."""
        self.rollout.close()

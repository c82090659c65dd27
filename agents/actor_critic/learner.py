"""An on-policy agent as a learner of firerl: acts (``rollout``), learns (``update``), reports an objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch

from firerl import envs
from firerl.agents.actor_critic.module import ActingModule
from firerl.agents.actor_critic.rollout import Rollout
from firerl.agents.actor_critic.search import around
from firerl.agents.actor_critic.settings import Settings, complete, environment
from firerl.agents.actor_critic.update import Update
from firerl.base.settings import build
from firerl.errors import SettingError
from firerl.learner import Continuation, Hyperparameters, Learner, check_multiple

TARGET_KL = {"log_uniform": [1e-3, 0.1]}  # of the search, where ``schedule`` is "kl"
REPORT_EPISODES = 20  # of each kind, for the winner


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
        name, objective = settings["env"]["name"], settings["objective"]
        key = objective.removeprefix("info:") if objective.startswith("info:") else None
        verdict = envs.tried(name, settings["env"]["kwargs"], key)
        lost = stays = ""
        if verdict.why:
            lost = f"the state of {name} cannot be saved ({verdict.why}): new episodes begin after a resume"
        if not verdict.whole:
            most = f"{envs.LONGEST_EPISODE:,}"
            stays = f"an episode of {name} may be too long to be repeated: give it max_episode_steps up to {most}"
        how = "saves itself" if verdict.own else "goes on to the bit where it is saved in the middle of an episode"
        return Continuation(lost, stays, f"{name} {how}")

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
        self.rollout.ended = []
        warnings = self.rollout.physics_warnings
        sums: dict[str, float] = {}
        for _ in range(steps // unit):
            act = self.update.sampler(self.config["unroll"], self.config["num_envs"], self.generator)
            unroll = self.rollout.collect(act)
            for name, value in self.update.learn(unroll, self.generator).items():
                sums[name] = sums.get(name, 0.0) + value
        metrics = {name: value / (steps // unit) for name, value in sums.items()}
        ended = self.rollout.ended
        metrics["episodes"] = float(len(ended))
        if ended:
            metrics["episode_return"] = float(np.mean([value for value, _ in ended]))
            metrics["episode_length"] = float(np.mean([length for _, length in ended]))
        metrics["physics_warnings"] = float(self.rollout.physics_warnings - warnings)
        if self.config["objective"] == "fresh":
            metrics["evaluation_steps"] = float(self.evaluation_steps)
        return metrics

    def evaluate(self, seed: int) -> float | None:
        """See ``settings.objective``. Moves the mark "since the last evaluation", which training never reads."""
        if self.config["objective"] != "fresh":
            return self.rollout.objective()
        mean = self.config["objective_policy"] == "mean"
        episodes = self.episodes(self.config["objective_episodes"], seed, mean)
        self.evaluation_steps += sum(length for _, length in episodes)
        return float(np.mean([value for value, _ in episodes]))

    def act(self, observations: np.ndarray, mean: bool = True, generator: torch.Generator | None = None) -> np.ndarray:
        """Raw observations [B, O] -> actions in the environment's units, [B, A] or [B]. Weights stay as they are.

        Sampled actions (``mean=False``) come from ``generator``, never from the one that training uses.
        """
        if not mean and generator is None:
            raise ValueError("act(mean=False) needs a torch.Generator to sample from")
        _, actions, _ = self.update.act(np.asarray(observations, dtype=np.float64), None if mean else generator)
        return self.rollout.action_map(actions)

    def episodes(self, count: int, seed: int, mean: bool = True) -> list[tuple[float, int]]:
        """(return, length) of ``count`` whole fresh episodes with frozen weights, a function of weights and seed.

        Every one of up to 20 environments plays a fixed share of the episodes, so short ones are not favoured.
        """
        if count < 1:
            raise SettingError(f"episodes={count}: the smallest allowed is 1")
        width = min(count, 20)
        env_seed, act_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2, np.uint32))
        generator = torch.Generator().manual_seed(act_seed)
        vector = envs.make(self.config["env"]["name"], width, env_seed, **self.config["env"]["kwargs"])
        quota = [count // width + (i < count % width) for i in range(width)]
        try:
            return self._play(vector, quota, mean, generator)
        finally:
            vector.close()

    def _play(self, vector: Any, quota: list[int], mean: bool, generator: torch.Generator) -> list[tuple[float, int]]:
        """Episodes acted for in one batch; an environment that played its quota is left out."""
        results: list[list[tuple[float, int]]] = [[] for _ in quota]
        observations = vector.reset()[0]
        totals, lengths = np.zeros(len(quota)), np.zeros(len(quota), dtype=np.int64)
        active = np.arange(len(quota))
        while len(active):
            actions = self.act(self.rollout.checked(observations[active]), mean, generator)
            observations[active], rewards, terminated, truncated = vector.step_some(active, actions)
            totals[active] += rewards
            lengths[active] += 1
            for i in active[terminated | truncated]:
                results[i].append((float(totals[i]), int(lengths[i])))
                totals[i], lengths[i] = 0.0, 0
                if len(results[i]) == quota[i]:
                    active = active[active != i]
                else:
                    observations[[i]] = vector.reset_some(np.array([i]))
        return [episode for own in results for episode in own]

    def report(self, seed: int) -> dict[str, float]:
        """Return over 20 whole fresh episodes, with the mean action and with sampled ones."""
        figures: dict[str, float] = {}
        for policy in ("mean", "sample"):
            episodes = np.array(self.episodes(REPORT_EPISODES, seed, mean=policy == "mean"), dtype=float)
            figures[f"{policy}_action_return"] = float(episodes[:, 0].mean())
            figures[f"{policy}_action_return_std"] = float(episodes[:, 0].std(ddof=1))
            figures[f"{policy}_action_length"] = float(episodes[:, 1].mean())
        return {**figures, "episodes": float(REPORT_EPISODES)}

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

"""Stable-Baselines3's algorithms, and sb3-contrib's, as learners of firerl. Importing it imports neither."""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar

import numpy as np
import torch

from firerl import envs
from firerl.agents import episodes
from firerl.agents.actor_critic.settings import around, environment
from firerl.agents.adapters import sb3_algorithm
from firerl.agents.adapters.sb3_settings import (
    ALGORITHMS,
    BUFFER,
    EVALUATION,
    TUNABLE,
    Settings,
    range_of,
)
from firerl.base.settings import build, plain, show
from firerl.errors import SettingError, unknown
from firerl.learner import Continuation, Growth, Hyperparameters, Learner, check_multiple


class SB3(Learner):
    """One algorithm on any Gymnasium task with vector observations.

    weights: networks, target networks, optimisers, the entropy's weight.
    stream: environments, replay buffer, the generator of random actions, counts of steps.
    """

    Settings: ClassVar[type[Settings]] = Settings
    given: ClassVar[Mapping[str, Any]] = {}  # settings that somebody gave in Python

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str = "cpu"):
        from firerl.agents.adapters.sb3_vector import Doors

        self.config = dict(settings)
        self.spec = _spec(settings)
        environments, own = (int(s) for s in np.random.SeedSequence(seed).generate_state(2, np.uint32))
        self.env = Doors(settings, self.spec, environments)
        self.model = sb3_algorithm.build({**settings, **self.checked(hyperparameters)}, self.env, own, device)
        self.model._setup_learn(0, reset_num_timesteps=False)  # the first observations
        self.set_hyperparameters(hyperparameters)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What a person gave over the algorithm's own, which it is then built of once."""
        both = {**cls.given, **settings}
        both["env"] = environment(both.get("env", cls.settings["env"]), cls.settings["env"]["name"])
        both["arguments"] = {**cls.given.get("arguments", {}), **_mapping(settings.get("arguments", {}))}
        found = dict(plain(build(Settings, both, "learner.", f"setting of learner {cls.__name__}")))
        name, spec = found["algorithm"], _spec(found)
        _check_task(name, spec)
        _check_arguments(name, found["arguments"])
        own = sb3_algorithm.tunable(name)
        for key in TUNABLE:
            if found[key] is not None and key not in own:
                raise unknown(f"setting of {name}", f"learner.{key}", [f"learner.{one}" for one in own])
            if found[key] is None and key in own:
                found[key] = sb3_algorithm.usual(name, key, spec.action_size)
        if sb3_algorithm.replays(name):
            found["buffer_size"] = found["buffer_size"] or BUFFER
        elif found["buffer_size"] is not None:
            raise SettingError(f"learner.buffer_size={found['buffer_size']}: must be null, {name} has no replay buffer")
        _try(json.dumps(found, sort_keys=True))
        return found

    @classmethod
    def tunable_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(sb3_algorithm.tunable(settings["algorithm"]))

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Around the values that the settings have. An entropy's weight that is fixed has no target."""
        name, size = settings["algorithm"], _spec(settings).action_size
        tuned = [key for key in ALGORITHMS[name].tuned if key != "target_entropy" or settings["ent_coef"] is None]
        return {key: around(range_of(name, key, size), settings[key]) for key in tuned}

    @classmethod
    def granularity_of(cls, settings: Mapping[str, Any]) -> int:
        return sb3_algorithm.unit_of(settings)

    @classmethod
    def eval_interval_of(cls, settings: Mapping[str, Any]) -> int:
        if sb3_algorithm.counts_updates(settings["algorithm"]):
            return settings["eval_interval"] or 1
        unit = cls.granularity_of(settings)
        return settings["eval_interval"] or max(round(EVALUATION / unit), 1) * unit

    @classmethod
    def continuation_of(cls, settings: Mapping[str, Any]) -> Continuation:
        """Its environments' episodes are all that a state may fail to hold."""
        return episodes.continuation(settings["env"])

    @classmethod
    def growth_of(cls, settings: Mapping[str, Any], steps: int) -> Growth:
        """The replay buffer's: a state holds each observation once."""
        spec, rows = _spec(settings), min(settings["buffer_size"] or 0, steps)
        observation = spec.observation_size * np.dtype(spec.observation_dtype).itemsize
        rest = (8 if spec.discrete else 4 * spec.action_size) + 12  # the action; reward, end, limit
        return Growth(rows * (2 * observation + rest), rows * (observation + rest))

    @classmethod
    def task_of(cls, settings: Mapping[str, Any]) -> str:
        return settings["env"]["name"]

    @classmethod
    def facts_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The environment's EnvSpec."""
        return asdict(_spec(settings))

    @classmethod
    def module_of(cls, settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any]) -> torch.nn.Module:
        """The acting policy from raw observations to actions in the environment's units."""
        from firerl.agents.adapters.sb3_module import ActingPolicy

        spec = envs.EnvSpec(**facts)
        model = _without_environments(settings, spec)
        model.policy.load_state_dict(weights["parameters"]["policy"])
        return ActingPolicy(model.policy, spec)

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        """Any that the algorithm has; those not given take the value of the settings."""
        values, own = self.checked(values), self.tunable_of(self.config)
        for name in values:
            if name not in own:
                raise unknown(f"hyperparameter of {self.config['algorithm']}", name, own)
        for name in own:
            value = values.get(name, self.config[name])
            if value is not None:
                sb3_algorithm.change(self.model, name, value)

    def train(self, steps: int) -> dict[str, float]:
        """Whole rollouts. Metrics are the library's own, of the last update, and means over this call's episodes."""
        check_multiple("steps", steps, self.granularity_of(self.config), "steps between two updates")
        logged, warned = self.model.logger.name_to_value, self.env.physics_warnings
        logged.clear()
        self.env.ended.since = []
        updates = sb3_algorithm.counts_updates(self.config["algorithm"])
        for size in [1] * steps if updates else [steps]:
            self.model.learn(size, log_interval=None, reset_num_timesteps=False)
        own = {name.rpartition("/")[2]: float(value) for name, value in logged.items() if _is_number(value)}
        metrics = {name: value for name, value in own.items() if self.config.get(name) is None}
        return {**metrics, **self.env.ended.metrics(), "physics_warnings": float(self.env.physics_warnings - warned)}

    def evaluate(self, seed: int) -> float | None:
        """Mean return of the episodes that ended since the last evaluation, or of the newest ``objective_episodes``."""
        objective = self.env.ended.objective()
        return objective if sb3_algorithm.finite(self.model) else float("nan")

    def act(self, observations: np.ndarray, mean: bool = True, generator: torch.Generator | None = None) -> np.ndarray:
        """Raw observations [B, O] -> actions in the environment's units, [B, A] or [B]. Weights stay as they are."""
        from firerl.agents.adapters.sb3_module import ActingPolicy

        if not mean and generator is None:
            raise ValueError("act(mean=False) needs a torch.Generator to sample from")
        return ActingPolicy(self.model.policy, self.spec).act(observations, None if mean else generator)

    def episodes(self, count: int, seed: int, mean: bool = True) -> list[tuple[float, int]]:
        """(return, length) of ``count`` whole fresh episodes with frozen weights, a function of weights and seed."""
        env_seed, act_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2, np.uint32))
        generator = torch.Generator().manual_seed(act_seed)
        return episodes.play(self.config["env"], count, env_seed, lambda o: self.act(o, mean, generator))

    def report(self, seed: int) -> dict[str, float]:
        """Return over 20 whole fresh episodes, without noise of actions and with the policy's own."""
        return episodes.winner_report(lambda mean: self.episodes(episodes.REPORTED, seed, mean))

    def state(self) -> dict[str, Any]:
        from firerl.agents.adapters import sb3_buffer

        model = self.model
        stream = {
            "env": self.env.state(),
            "observation": np.array(model._last_obs),
            "starts": np.array(model._last_episode_starts),
            "steps": int(model.num_timesteps),
            "random_actions": model.action_space.np_random.bit_generator.state,
        }
        if sb3_algorithm.replays(self.config["algorithm"]):
            stream["replay"] = sb3_buffer.state(model.replay_buffer)
        return {"weights": sb3_algorithm.weights(model), "stream": stream}

    def load(self, weights: Any = None, stream: Any = None) -> str | None:
        """Weights alone come from another worker: new episodes begin, and the objective's window starts anew."""
        model = self.model
        if weights is not None:
            sb3_algorithm.load_weights(model, weights)
            if stream is None:
                self.env.ended.forget()
                self._begin(dict(enumerate(self.env.reset())))
        if stream is None:
            return None
        from firerl.agents.adapters import sb3_buffer

        begun = self.env.load(stream["env"])
        model._last_obs, model._last_episode_starts = np.array(stream["observation"]), np.array(stream["starts"])
        model.num_timesteps = int(stream["steps"])
        model.action_space.np_random.bit_generator.state = stream["random_actions"]
        if "replay" in stream:
            sb3_buffer.load(model.replay_buffer, stream["replay"])
        self._begin(begun)
        if not begun:
            return None
        count = f"{len(begun)} of {self.env.num_envs} episodes of {self.spec.name}"
        return f"{count} could not be repeated as they were: new ones have begun in their place"

    def _begin(self, begun: Mapping[int, np.ndarray]) -> None:
        """New episodes in the middle of others, by environment with their first observations."""
        from firerl.agents.adapters import sb3_buffer

        model = self.model
        if begun and sb3_algorithm.replays(self.config["algorithm"]):
            sb3_buffer.cut(model.replay_buffer, begun)
        for i, first in begun.items():
            model._last_obs[i], model._last_episode_starts[i] = first, True

    def close(self) -> None:
        """Release the environments."""
        self.env.close()


def bound(algorithm: Any, policy: str, env: str | None, arguments: Mapping[str, Any]) -> type[SB3]:
    """SB3 with settings that somebody gave in Python; see ``firerl.adapters.sb3``."""
    name = algorithm if isinstance(algorithm, str) else getattr(algorithm, "__name__", show(algorithm))
    if name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS)
    if not isinstance(algorithm, str) and algorithm is not sb3_algorithm.find(name):
        raise SettingError(f"{name} of {algorithm.__module__} is none of the libraries' own: wrap it as a Learner")
    if not isinstance(policy, str):
        raise SettingError(f"policy={show(policy)}: must be the library's name of one, such as 'MlpPolicy'")
    if env is not None and not isinstance(env, str):
        raise SettingError(f"env={show(env)}: must be the name of a registered environment, such as 'Hopper-v5'")
    known, parameters = {f.name for f in fields(Settings)}, sb3_algorithm.parameters(name)
    usual = {key: value.default for key, value in parameters.items() if value.default is not inspect.Parameter.empty}
    changed = {key: value for key, value in arguments.items() if key not in usual or value != usual[key]}
    rest = {key: sb3_algorithm.as_plain(value) for key, value in changed.items() if key not in known}
    own = {key: value for key, value in changed.items() if key in known}
    given = {"algorithm": name, "policy": policy, **own, "arguments": rest}
    if env is not None:
        given["env"] = environment(env, env)
    found: Any = type(SB3.__name__, (SB3,), {"__module__": SB3.__module__, "__doc__": SB3.__doc__})
    found.given = given
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(f"learner.arguments={show(value)}: must be a group, as in learner.arguments.n_steps=256")
    return value


def _spec(settings: Mapping[str, Any]) -> envs.EnvSpec:
    return envs.check(settings["env"]["name"], settings["env"]["kwargs"])


def _check_task(name: str, spec: envs.EnvSpec) -> None:
    wanted, got = ALGORITHMS[name].actions, "discrete" if spec.discrete else "continuous"
    if wanted not in ("any", got):
        fitting = ", ".join(one for one, known in ALGORITHMS.items() if known.actions in ("any", got))
        raise SettingError(
            f"learner.algorithm={name} takes {wanted} actions, {spec.name} has {got} ones: allowed are {fitting}"
        )
    if not np.isfinite([*spec.low, *spec.high]).all():
        raise SettingError(f"learner.algorithm={name} needs bounded actions: those of {spec.name} must be")


def _check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    own, known = sb3_algorithm.tunable(name), sb3_algorithm.allowed(name)
    for key, value in arguments.items():
        if key in own or key == "buffer_size":
            raise SettingError(f"learner.arguments.{key}: it is a setting of its own: learner.{key}={show(value)}")
        if key.startswith("exploration_") and "exploration_eps" in own:
            raise SettingError(
                f"learner.arguments.{key}: a schedule over a whole run does not fit one whose values evolve: "
                "learner.exploration_eps=<share> fixes the share of random actions, else the search tunes it"
            )
        if key not in known:
            raise unknown(f"argument of {name}", f"learner.arguments.{key}", [f"learner.arguments.{k}" for k in known])


@functools.lru_cache(maxsize=64)
def _try(settings_json: str) -> None:
    """Build the algorithm once. Raises SettingError where the settings do not let it."""
    settings = json.loads(settings_json)
    name = settings["algorithm"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _without_environments(settings, _spec(settings))
    except SettingError:
        raise
    except Exception as error:  # the library's, about anything that a person gave
        why = " ".join(str(error).split())[:200] or "an assertion failed"
        raise SettingError(f"learner.algorithm={name} cannot be made of these settings: {why}") from error
    frequency = getattr(model, "train_freq", None)
    if frequency is not None and frequency.unit.value != "step":
        raise SettingError("learner.arguments.train_freq: must be a number of steps, not of episodes")


def _without_environments(settings: Mapping[str, Any], spec: envs.EnvSpec) -> Any:
    """The algorithm with nothing to learn from. No global generator moves."""
    from firerl.agents.adapters.sb3_vector import Spaces

    smallest = {"buffer_size": settings["num_envs"]} if sb3_algorithm.replays(settings["algorithm"]) else {}
    with torch.random.fork_rng(devices=[]):
        return sb3_algorithm.build(settings, Spaces(spec, settings["num_envs"]), None, **smallest)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)

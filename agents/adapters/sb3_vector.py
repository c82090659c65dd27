"""firerl's environments as Stable-Baselines3's VecEnv: our speed on MuJoCo, and states that are saved to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from firerl import envs
from firerl.agents.episodes import Ended, finite


def observation_space(spec: envs.EnvSpec) -> spaces.Box:
    dtype = np.dtype(spec.observation_dtype)
    low, high = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return spaces.Box(low, high, (spec.observation_size,), dtype=dtype.type)


def action_space(spec: envs.EnvSpec) -> spaces.Space:
    """Discrete actions begin at 0, as the library has them."""
    if spec.discrete:
        return spaces.Discrete(spec.action_size)
    low, high = (np.array(bound, dtype=spec.action_dtype) for bound in (spec.low, spec.high))
    return spaces.Box(low, high, dtype=np.dtype(spec.action_dtype).type)


class Spaces(VecEnv):
    """Environments of which there is nothing but their spaces: enough to build an algorithm's networks."""

    def __init__(self, spec: envs.EnvSpec, num_envs: int):
        super().__init__(num_envs, observation_space(spec), action_space(spec))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "render_mode":
            return [None] * self.num_envs
        raise AttributeError(f"firerl's environments show no attribute {attr_name!r}")

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(f"firerl's environments take no attribute {attr_name!r}")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(f"firerl's environments show no method {method_name!r}")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """They have seeds of their own."""
        return [None] * self.num_envs

    def reset(self) -> Any:
        raise NotImplementedError

    def step_async(self, actions: np.ndarray) -> None:
        raise NotImplementedError

    def step_wait(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to close."""


class Doors(Spaces):
    """The environments of one learner, and their episodes."""

    def __init__(self, settings: Mapping[str, Any], spec: envs.EnvSpec, seed: int):
        super().__init__(spec, settings["num_envs"])
        self.spec, env = spec, settings["env"]
        self.vector: Any = envs.make(env["name"], self.num_envs, seed, **env["kwargs"])
        self.ended = Ended(self.num_envs, settings["objective_episodes"])
        self._nothing: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]

    @property
    def physics_warnings(self) -> int:
        """MuJoCo's so far; 0 where the environments do not count them."""
        return int(getattr(self.vector, "warnings", 0))

    def reset(self) -> np.ndarray:
        self.ended.begin()
        return finite(self.vector.reset()[0], self.spec.name)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions + self.spec.action_start if self.spec.discrete else actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations [N, O], of an episode that ended the next one's first; rewards [N] float32; ends [N]; infos."""
        observations, rewards, terminated, truncated, infos = self.vector.step(self._actions)
        if not np.isfinite(rewards).all():
            raise FloatingPointError(f"{self.spec.name}: a reward is {rewards[~np.isfinite(rewards)][0]}")
        ended = terminated | truncated
        self.ended.step(rewards, ended)
        told = self._nothing
        if ended.any():
            told = [{} for _ in told]
            for i in np.flatnonzero(ended):
                cut = bool(truncated[i] and not terminated[i])
                told[i] = {"terminal_observation": infos["final_obs"][i], "TimeLimit.truncated": cut}
        return finite(observations, self.spec.name), rewards.astype(np.float32), ended, told

    def state(self) -> dict[str, Any]:
        return {"envs": envs.get_state(self.vector), "episodes": self.ended.state()}

    def load(self, state: Mapping[str, Any]) -> dict[int, np.ndarray]:
        """First observations of those, by number, that cannot go on with their episodes and have begun new ones."""
        begun = envs.set_state(self.vector, state["envs"])
        self.ended.load(state["episodes"])
        for i in begun:
            self.ended.returns[i], self.ended.lengths[i] = 0.0, 0
        return begun

    def close(self) -> None:
        self.vector.close()

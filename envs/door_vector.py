"""Any environments of Gymnasium's as one vector, each behind the door, stepped one after the other.

Gymnasium's SyncVectorEnv in SAME_STEP mode with two differences. Infos of steps that end no episode are left out; those
of its end are kept as they are, key by key, where Gymnasium squeezes all into the type and the shape of the first. And
some environments can be stepped or reset alone, as those of ``mujoco_vector``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class DoorVectorEnv(SyncVectorEnv):
    """See the module. ``makers`` build one environment each, behind the door."""

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]]):
        super().__init__(makers, autoreset_mode=AutoresetMode.SAME_STEP)

    def step_some(self, ids: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Step the environments ``ids`` [B] alone and reset none: observations, rewards, terminated, truncated."""
        steps = [self.envs[i].step(action)[:4] for i, action in zip(ids, actions, strict=True)]
        observations, rewards, terminated, truncated = zip(*steps, strict=True)
        return np.stack(observations), np.array(rewards), np.array(terminated), np.array(truncated)

    def reset_some(self, ids: np.ndarray) -> np.ndarray:
        """New episodes in the environments ``ids`` [B] alone; their first observations."""
        return np.stack([self.envs[i].reset()[0] for i in ids])

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        """Of the end of an episode alone: ``final_obs`` and every key of ``final_info`` as arrays [N] of objects."""
        if set(env_info) != {"final_obs", "final_info"}:
            return vector_infos
        self._put(vector_infos, "final_obs", env_info["final_obs"], env_num)
        final = vector_infos.setdefault("final_info", {})
        vector_infos.setdefault("_final_info", np.zeros(self.num_envs, dtype=bool))[env_num] = True
        for key, value in env_info["final_info"].items():
            self._put(final, str(key), value, env_num)
        return vector_infos

    def _put(self, infos: dict[str, Any], key: str, value: Any, env_num: int) -> None:
        if key not in infos:
            infos[key], infos[f"_{key}"] = np.full(self.num_envs, None, object), np.zeros(self.num_envs, dtype=bool)
        infos[key][env_num], infos[f"_{key}"][env_num] = value, True

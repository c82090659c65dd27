"""Episodes of a learner's environments: the returns of those that ended while it trained, and fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from firerl import envs
from firerl.errors import SettingError

Act = Callable[[np.ndarray], np.ndarray]  # observations [B, O] -> actions of the environment
MOST = 20  # environments at once


class Ended:
    """Returns of N environments, the newest of each in a window. It belongs to the weights that acted."""

    def __init__(self, num_envs: int, episodes: int):
        self.reach = -(-episodes // num_envs)  # episodes of each environment
        self.since: list[tuple[float, int]] = []  # (return, length) of those that ended since ``metrics``
        self.returns, self.lengths = np.zeros(num_envs), np.zeros(num_envs, dtype=np.int64)
        self.windows: list[list[float]] = [[] for _ in range(num_envs)]
        self.new = np.zeros(num_envs, dtype=np.int64)  # how many of them ended since the last objective

    def begin(self) -> None:
        """All environments begin new episodes."""
        self.returns[:], self.lengths[:] = 0.0, 0

    def forget(self) -> None:
        """Other weights act from now on."""
        self.begin()
        self.windows, self.new[:] = [[] for _ in self.windows], 0

    def step(self, rewards: np.ndarray, ended: np.ndarray) -> None:
        """Of all environments, both [N]."""
        self.returns += rewards
        self.lengths += 1
        for i in np.flatnonzero(ended):
            self.since.append((float(self.returns[i]), int(self.lengths[i])))
            self.windows[i].append(float(self.returns[i]))
            self.new[i] += 1
            self.returns[i], self.lengths[i] = 0.0, 0

    def metrics(self) -> dict[str, float]:
        """Of the episodes that ended since the last call."""
        found = {"episodes": float(len(self.since))}
        if self.since:
            returns, lengths = zip(*self.since, strict=True)
            found |= {"episode_return": float(np.mean(returns)), "episode_length": float(np.mean(lengths))}
        self.since = []
        return found

    def objective(self) -> float | None:
        """Mean over the episodes that ended since the last call, or an environment's newest ``reach`` where these are
        more. None until one has ended in every environment: short ones end first, and would speak for all."""
        counts = np.maximum(self.new, self.reach).tolist()
        values = [value for window, count in zip(self.windows, counts, strict=True) for value in window[-count:]]
        everywhere = all(self.windows)
        self.windows = [window[-self.reach :] for window in self.windows]
        self.new[:] = 0
        return float(np.mean(values)) if everywhere else None

    def state(self) -> dict[str, Any]:
        windows = [np.array(window, dtype=np.float64) for window in self.windows]
        return {"returns": self.returns.copy(), "lengths": self.lengths.copy(), "windows": windows,
                "new": self.new.copy()}  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        self.returns, self.lengths = np.array(state["returns"]), np.array(state["lengths"])
        self.windows, self.new = [window.tolist() for window in state["windows"]], np.array(state["new"])


def play(env: Mapping[str, Any], count: int, seed: int, act: Act) -> list[tuple[float, int]]:
    """(return, length) of ``count`` whole fresh episodes of ``{"name": ..., "kwargs": {...}}``.

    Every one of up to MOST environments plays a fixed share of the episodes, so short ones are not favoured.
    """
    if count < 1:
        raise SettingError(f"episodes={count}: the smallest allowed is 1")
    width = min(count, MOST)
    quota = [count // width + (i < count % width) for i in range(width)]
    vector: Any = envs.make(env["name"], width, seed, **env["kwargs"])
    try:
        return _play(vector, quota, act)
    finally:
        vector.close()


def _play(vector: Any, quota: list[int], act: Act) -> list[tuple[float, int]]:
    """An environment that has played its quota is left out."""
    results: list[list[tuple[float, int]]] = [[] for _ in quota]
    observations = vector.reset()[0]
    totals, lengths, active = np.zeros(len(quota)), np.zeros(len(quota), dtype=np.int64), np.arange(len(quota))
    while len(active):
        observations[active], rewards, terminated, truncated = vector.step_some(active, act(observations[active]))
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

"""What every learner of a task tells of episodes: of those that ended while it trained, of fresh ones, of a resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from firerl import envs
from firerl.errors import SettingError
from firerl.learner import Continuation

Act = Callable[[np.ndarray], np.ndarray]  # observations [B, O] -> actions of the environment
MOST = 20  # environments at once
REPORTED = 20  # episodes of each kind, for the winner


def finite(observations: np.ndarray, env: str) -> np.ndarray:
    """Observations [B, O] of ``env`` as they are. Raises FloatingPointError where one is not finite."""
    if not np.isfinite(observations).all():
        i, k = np.argwhere(~np.isfinite(observations))[0]
        raise FloatingPointError(f"{env}: observation {k} of environment {i} is {observations[i, k]}")
    return observations


class Ended:
    """Running episodes of N environments, and objectives of ended ones, the newest of each environment in a window.

    The window belongs to the weights that acted.
    """

    def __init__(self, num_envs: int, episodes: int):
        self.reach = -(-episodes // num_envs)  # episodes of each environment
        self.since: list[tuple[float, int]] = []  # (return, length) of those that ended in this train()
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

    def step(self, rewards: np.ndarray, ended: np.ndarray, objective: Callable[[int], float] | None = None) -> None:
        """Of all environments, both [N]. ``objective`` is that of an environment's ended episode, else its return."""
        self.returns += rewards
        self.lengths += 1
        for i in np.flatnonzero(ended):
            self.since.append((float(self.returns[i]), int(self.lengths[i])))
            self.windows[i].append(objective(int(i)) if objective else float(self.returns[i]))
            self.new[i] += 1
            self.returns[i], self.lengths[i] = 0.0, 0

    def metrics(self) -> dict[str, float]:
        """Of the episodes that ended in this train()."""
        found = {"episodes": float(len(self.since))}
        if self.since:
            returns, lengths = zip(*self.since, strict=True)
            found |= {"episode_return": float(np.mean(returns)), "episode_length": float(np.mean(lengths))}
        return found

    def objective(self) -> float | None:
        """Mean over the episodes that ended since the last call, or an environment's newest ``reach`` where these are
        more. None until one has ended in every environment.

        Short episodes end first: a mean over the first few to end would say that new weights fail where all that they
        did is fail early, and a network would be judged by that for as long as a long episode takes.
        """
        counts = np.maximum(self.new, self.reach).tolist()
        values = [value for window, count in zip(self.windows, counts, strict=True) for value in window[-count:]]
        everywhere = all(self.windows)
        self.windows = [window[-self.reach :] for window in self.windows]  # only these can be asked for again
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
        return _play(vector, quota, lambda observations: act(finite(observations, env["name"])))
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


def winner_report(episodes: Callable[[bool], list[tuple[float, int]]]) -> dict[str, float]:
    """Figures of REPORTED ``episodes`` with the mean action, or the most probable one, and with sampled ones."""
    figures: dict[str, float] = {}
    for policy in ("mean", "sample"):
        played = np.array(episodes(policy == "mean"), dtype=float)
        figures[f"{policy}_action_return"] = float(played[:, 0].mean())
        figures[f"{policy}_action_return_std"] = float(played[:, 0].std(ddof=1))
        figures[f"{policy}_action_length"] = float(played[:, 1].mean())
    return {**figures, "episodes": float(REPORTED)}


def continuation(env: Mapping[str, Any], info_key: str | None = None) -> Continuation:
    """Of a learner whose state holds all but what the episodes of ``env`` keep for themselves."""
    name = env["name"]
    verdict = envs.tried(name, env["kwargs"], info_key)
    lost = stays = ""
    if verdict.why:
        lost = f"the state of {name} cannot be saved ({verdict.why}): new episodes begin after a resume"
    if not verdict.whole:
        most = f"{envs.LONGEST_EPISODE:,}"
        stays = f"an episode of {name} may be too long to be repeated: give it max_episode_steps up to {most}"
    how = "saves itself" if verdict.own else "goes on to the bit where it is saved in the middle of an episode"
    return Continuation(lost, stays, f"{name} {how}")

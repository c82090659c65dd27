"""An environment that remembers what determines its running episode: the seed of its reset and the actions since.

``save`` gives both away, with a digest of all that was seen. ``load`` resets an environment of the same kind with that
seed, repeats the actions, and compares what it sees to the bit. Which attributes an environment has, and of which
types, does not matter: whatever is a function of its seed and its actions comes back.

What an environment or a wrapper offers as its own state (``own_state``) is saved besides: it can bring back what
neither seed nor actions determine, such as what lasts from one episode to the next.
"""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Any

import gymnasium
import numpy as np

from firerl.envs.state import own_state
from firerl.envs.state.global_draws import untouched
from firerl.envs.vector import LONGEST_EPISODE


class Kept(gymnasium.Wrapper):
    """Every reset without a seed gets one that follows from the last one that was given: each episode has its own."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._seed: int | None = None  # the last that was given
        self._resets = 0  # since then
        self._steps = 0  # of the running episode
        self._actions = bytearray()  # of the first LONGEST_EPISODE of these
        self._kind: tuple[np.dtype[Any], tuple[int, ...]] = (np.dtype(np.int64), ())  # dtype and shape of an action
        self._seen = b""  # digest of all observations, rewards and ends of the running episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._seed, self._resets = int(seed), 0
        elif self._seed is None:
            raise ValueError("the first reset needs a seed")
        else:
            self._resets += 1
        return self._begin(options)

    def _begin(self, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The episode of ``_seed`` and ``_resets``, from its start."""
        self._steps, self._actions = 0, bytearray()
        result = self.env.reset(seed=episode_seed(self._seed, self._resets), options=options)
        self._seen = hashlib.blake2b(np.asarray(result[0]).tobytes(), digest_size=16).digest()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        if self._steps <= LONGEST_EPISODE:
            given = np.asarray(action)
            self._kind = given.dtype, given.shape
            self._actions += given.tobytes()  # before the environment may change it in place
        result = self.env.step(action)
        observation, reward, terminated, truncated, _ = result
        seen = self._seen + np.asarray(observation).tobytes() + pack("<d??", reward, terminated, truncated)
        self._seen = hashlib.blake2b(seen, digest_size=16).digest()
        return result

    def save(self) -> dict[str, Any]:
        """Plain data, a copy. ``actions`` [T, ...] is None where the episode is too long to be repeated."""
        dtype, shape = self._kind
        actions = np.frombuffer(bytes(self._actions), dtype) if self._actions else np.empty(0, dtype)
        return {
            "seed": self._seed,
            "resets": self._resets,
            "steps": self._steps,
            "actions": actions.reshape(-1, *shape) if self._steps <= LONGEST_EPISODE else None,
            "seen": self._seen,
            "own": own_state.get(self.env),
        }

    def load(self, saved: dict[str, Any]) -> Any:
        """Go on with an episode of ``save``: None. Where that does not work, begin the one that would have come next,
        and return its first observation."""
        with untouched():
            try:
                goes_on = self._goes_on(saved)
            except Exception:  # anybody's code
                goes_on = False
        if goes_on:
            return None
        self._seed, self._resets = int(saved["seed"]), int(saved["resets"])
        return self.reset()[0]

    def _goes_on(self, saved: dict[str, Any]) -> bool:
        self._seed, self._resets = int(saved["seed"]), int(saved["resets"])
        self._begin()
        ended = False
        for action in () if saved["actions"] is None else saved["actions"].copy():
            if not ended:  # a running episode has had no end
                ended = any(self.step(action)[2:4])
        repeated = (self._steps, self._seen) == (saved["steps"], saved["seen"])
        own = saved["own"]
        if not own or (repeated and own_state.same(own_state.get(self.env), own)):
            return repeated
        own_state.give(self.env, own)
        self._set_clock(saved)
        return own_state.same(own_state.get(self.env), own)

    def _set_clock(self, saved: dict[str, Any]) -> None:
        """What belongs to the running episode, where it has not been repeated."""
        for layer in own_state.layers(self.env):
            if isinstance(layer, gymnasium.wrappers.TimeLimit):
                layer._elapsed_steps = int(saved["steps"])  # type: ignore[assignment]
        self._steps, self._seen, actions = int(saved["steps"]), saved["seen"], saved["actions"]
        if actions is not None:
            self._actions, self._kind = bytearray(actions.tobytes()), (actions.dtype, actions.shape[1:])


def episode_seed(seed: int | None, resets: int) -> int | None:
    """The seed itself, then others below 2^31, which every library takes."""
    if not resets:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(resets,)).generate_state(1, np.uint32)[0] >> np.uint32(1))

"""Environments as people write them, each with one habit that a save must bear or a trial must find."""

from __future__ import annotations

import enum
import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces, wrappers


class Usual(gymnasium.Env):
    """A walk that draws from its own generator; its episodes have no end of their own."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space: Any = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.normal()), 0
        self.begin(seed)
        return self.see(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.x = 0.9 * self.x + 0.01 * float(self.np_random.normal()) + (0.1 if np.sum(action) > 0 else -0.1)
        self.t += 1
        self.move(action)
        return self.see(), -abs(self.x), False, False, {}

    def see(self) -> Any:
        return np.array([self.x, self.t], np.float32)

    def begin(self, seed: int | None) -> None: ...

    def move(self, action: Any) -> None: ...


# Those that can be saved.


class Tensors(Usual):
    def begin(self, seed: int | None) -> None:
        self.speed = torch.zeros(2)

    def move(self, action: Any) -> None:
        self.speed = self.speed * 0.9 + int(action)
        self.x += 0.01 * float(self.speed.sum())


class Handle(Usual):
    def __init__(self) -> None:
        self.file = Path("/dev/zero").open("rb")  # noqa: SIM115 - open as long as it lives

    def move(self, action: Any) -> None:
        self.x += self.file.read(1)[0]

    def close(self) -> None:
        self.file.close()


class Compiled(Usual):
    """Holds objects without a dict: a C iterator and a compiled generator."""

    def begin(self, seed: int | None) -> None:
        self.clock = itertools.count()
        self.draws = random.Random(seed)

    def move(self, action: Any) -> None:
        self.x += 0.01 * next(self.clock) + self.draws.random()


class Slotted(Usual):
    class Part:
        __slots__ = ("speed",)

    def begin(self, seed: int | None) -> None:
        self.part = self.Part()
        self.part.speed = 1.0

    def move(self, action: Any) -> None:
        self.part.speed *= 1.1
        self.x += 0.01 * self.part.speed


class Odd(Usual):
    """An enum, a set of them, a frozen dataclass, a path, a function, a cycle, an alias, parts that come and go."""

    class Mode(enum.Enum):
        SLOW = 1
        FAST = 2

    @dataclass(frozen=True)
    class Config:
        step: float = 0.1

    def __init__(self) -> None:
        self.path, self.config, self.me, self.say = Path("x"), self.Config(), [self], print

    def begin(self, seed: int | None) -> None:
        self.mode, self.modes, self.parts = self.Mode.SLOW, {self.Mode.SLOW}, [[0.0], [1.0]]
        self.current = self.parts[0]

    def move(self, action: Any) -> None:
        if self.t % 5 == 0:
            self.mode, self.current = self.Mode.FAST, self.parts[self.t % 2]
            self.parts.append([float(self.t)])
        self.current[0] += self.mode.value * self.config.step
        self.x += sum(part[0] for part in self.parts)


class SeededItself(Usual):
    def begin(self, seed: int | None) -> None:
        if seed is not None:
            self.own = np.random.default_rng(seed)

    def move(self, action: Any) -> None:
        self.x += float(self.own.normal())


class ChangesActions(Usual):
    action_space = spaces.Box(-1, 1, (3,), np.float32)

    def move(self, action: Any) -> None:
        action *= 0.5
        self.x += float(action.sum())


class Whole(Usual):
    action_space = spaces.Discrete(3, start=-1)


class Timed(Usual):
    def begin(self, seed: int | None) -> None:
        self.began = time.perf_counter()


class Remembers(Usual):
    """Counts its episodes, and brings the count back itself."""

    count = 0

    def begin(self, seed: int | None) -> None:
        self.count += 1
        self.x += 0.1 * self.count

    def get_state(self) -> dict[str, Any]:
        return {"count": self.count, "x": self.x, "t": self.t, "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.count, self.x, self.t = state["count"], state["x"], state["t"]
        self.np_random.bit_generator.state = state["rng"]


class Physics(Usual):
    """Its get_state and set_state are about something else, as in many a simulator: half of the state."""

    def get_state(self) -> np.ndarray:
        return np.array([self.x])

    def set_state(self, state: np.ndarray) -> None:
        self.x, self.t = float(state[0]), 0


# Those that cannot.


class Curriculum(Usual):
    """Gets harder, but only much later than any trial lasts."""

    episode = 0

    def begin(self, seed: int | None) -> None:
        self.episode += 1
        self.x += 10.0 if self.episode > 10_000 else 0.0


class Hidden(Usual):
    """Counts in a place that nobody looks into."""

    def __init__(self) -> None:
        self.numbers = (n for n in itertools.count())

    def begin(self, seed: int | None) -> None:
        self.x += next(self.numbers)


class Global(Usual):
    def move(self, action: Any) -> None:
        self.x += float(np.random.normal())  # noqa: NPY002 - that is what it is about


class GlobalTorch(Usual):
    def begin(self, seed: int | None) -> None:
        self.x += float(torch.rand(1))


class SeedsGlobal(Usual):
    def begin(self, seed: int | None) -> None:
        random.seed(seed)

    def move(self, action: Any) -> None:
        self.x += random.random()


class IgnoresSeed(Usual):
    def __init__(self) -> None:
        self.own = np.random.default_rng(0)

    def begin(self, seed: int | None) -> None:
        self.x = float(self.own.normal())


class Entropy(Usual):
    def begin(self, seed: int | None) -> None:
        self.x = float(np.random.default_rng().normal())


class Wins(Usual):
    """What lasts shows in its infos alone."""

    wins = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.wins += 1
        return *super().step(action)[:4], {"wins": self.wins}


class NoPlainState(Remembers):
    def get_state(self) -> dict[str, Any]:
        return {"me": self}


class Fails(Usual):
    def move(self, action: Any) -> None:
        raise RuntimeError("not\ntoday")


def _wrapped(*layers: Any) -> Any:
    def make() -> gymnasium.Env:
        env: gymnasium.Env = Usual()
        for layer in layers:
            env = layer(env)
        return env

    return make


def _stacked(env: gymnasium.Env) -> gymnasium.Env:
    return wrappers.FlattenObservation(wrappers.FrameStackObservation(env, 3))


SAVED = [Usual, Tensors, Handle, Compiled, Slotted, Odd, SeededItself, ChangesActions, Whole, Timed, Remembers, Physics]
WRAPPED = {
    "Limit": _wrapped(lambda env: wrappers.TimeLimit(env, 5)),
    "Statistics": _wrapped(wrappers.RecordEpisodeStatistics),
    "Reward": _wrapped(lambda env: wrappers.TransformReward(env, lambda reward: 2 * reward)),
    "Sticky": _wrapped(lambda env: wrappers.StickyAction(env, 0.3)),
    "Stacked": _wrapped(_stacked),
}
LOST = {
    "Curriculum": "it carries episode from one episode into the next",
    "Hidden": "from one episode into the next",
    "Global": "it draws from np.random, which all that is in a process shares",
    "GlobalTorch": "it draws from torch, which all that is in a process shares",
    "SeedsGlobal": "it draws from random, which all that is in a process shares",
    "IgnoresSeed": "it carries own from one episode into the next",
    "Entropy": "the same seed and the same actions give other episodes",
    "Wins": "it carries wins from one episode into the next",
    "NoPlainState": "NoPlainState.get_state() gives no plain data: it holds a NoPlainState",
    "Fails": "its trial raised RuntimeError: not today",
    "Normalised": "it carries obs_rms.count from one episode into the next",
}
for kind in [
    *SAVED,
    Curriculum,
    Hidden,
    Global,
    GlobalTorch,
    SeedsGlobal,
    IgnoresSeed,
    Entropy,
    Wins,
    NoPlainState,
    Fails,
]:
    gymnasium.register(f"FirerlZoo{kind.__name__}-v0", kind, max_episode_steps=40)
for name, entry in {**WRAPPED, "Normalised": _wrapped(wrappers.NormalizeObservation)}.items():
    gymnasium.register(f"FirerlZoo{name}-v0", entry, max_episode_steps=40)

"""Whether environments go on as they would have, once they are saved and loaded: tried on a few episodes.

One environment plays several episodes, with other actions in each. Now and then it is saved in the middle of one,
another environment loads that, and both play on, over new episodes. Nothing that a learner sees may differ, no global
random generator may have moved, and nothing that the two hold may differ: a count of episodes shows in what they hold
long before it acts.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from firerl.envs import vector
from firerl.envs.state import global_draws, own_state
from firerl.envs.state.held import held
from firerl.envs.state.remembering import Kept

SECONDS = 2.0  # after which nothing more is tried, but what must be
SEED = 7


class Round(NamedTuple):
    episodes: int  # that are played before the environment is saved, at least
    steps: int  # then, into the running episode
    longest: int  # steps after which an episode is cut; two or more follow once it has been loaded
    must: bool = False  # be played to its end, however long that takes


ROUNDS = (Round(0, 7, 9, True), Round(1, 8, 11, True), Round(2, 20, 30), Round(6, 40, 60), Round(2, 150, 200))


@dataclass(frozen=True)
class Verdict:
    """What a trial has found."""

    why: str = ""  # the state cannot be saved; "" where it can
    whole: bool = True  # an episode is never too long to be repeated, or need not be repeated
    own: bool = False  # our own form of it saves itself; nothing had to be tried


def tried(name: str, kwargs: Mapping[str, Any], info_key: str | None = None) -> Verdict:
    """The verdict on what ``vector.make`` makes of these; ``info_key`` is that of the infos which the objective is.

    Always the same, but where an environment is so slow that the time ends its trial early.
    """
    trial = _Trial(name, kwargs, info_key)
    with global_draws.untouched(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run itself will show them
        try:
            return trial.verdict()
        except (Exception, SystemExit) as error:  # anybody's code
            return Verdict(f"its trial raised {type(error).__name__}: {' '.join(str(error).split())}")
        finally:
            trial.close()


class _Late(Exception):
    """There is no time left."""


class _Trial:
    def __init__(self, name: str, kwargs: Mapping[str, Any], info_key: str | None):
        self.name, self.kwargs, self.info_key = name, kwargs, info_key
        self.made: list[Any] = []
        self.deadline = inf

    def verdict(self) -> Verdict:
        aged = self._another()
        if aged is None:
            return Verdict(own=True)
        self.space = copy.deepcopy(aged.action_space)  # many a class shares its own among all environments
        self.space.seed(SEED)
        why, ends = "", time.perf_counter() + SECONDS
        for turn in ROUNDS:
            self.deadline = inf if turn.must else ends
            try:
                why = why or self._round(aged, turn)
            except _Late:
                break
            self.close(but=1)
        limit = aged.spec.max_episode_steps if aged.spec else None
        return Verdict(why, bool(own_state.get(aged.env)) or (limit or inf) <= vector.LONGEST_EPISODE)

    def close(self, but: int = 0) -> None:
        """Close all environments, or all but the first few."""
        for made in self.made[but:]:
            made.close()
        del self.made[but:]

    def _another(self) -> Kept | None:
        """A new environment; None where it is of a kind that saves itself."""
        self.made.append(vector.make(self.name, 1, SEED, **self.kwargs))
        return None if hasattr(self.made[-1], "save") else self.made[-1].envs[0]

    def _loaded(self, saved: dict[str, Any]) -> Kept | None:
        """A new environment that goes on as that which was saved; None where it does not."""
        other = self._another()
        return other if other is not None and other.load(saved) is None else None

    def _round(self, aged: Kept, turn: Round) -> str:
        """Why the state cannot be saved; "" where nothing says so."""
        before = global_draws.states()
        self._play(aged, self._actions(turn.episodes * turn.longest), turn.longest)
        self._play(aged, self._actions(turn.steps), inf)
        if used := _moved(before):
            return used
        saved, actions = aged.save(), self._actions(2 * turn.longest)
        loaded = self._loaded(saved)
        if loaded is None or self._play(aged, actions, turn.longest) != self._play(loaded, actions, turn.longest):
            return self._cause(aged)
        if differing := _differing(aged, loaded):
            again = self._loaded(saved)
            if again is None:
                return self._cause(aged)
            self._play(again, actions, turn.longest)
            differing = [name for name in differing if name not in _differing(loaded, again)]  # not times and the like
        return f"it carries {differing[0]} from one episode into the next" if differing else ""

    def _actions(self, count: int) -> list[Any]:
        return [self.space.sample() for _ in range(count)]

    def _play(self, env: Kept, actions: Sequence[Any], longest: float) -> list[Any]:
        """All that a learner sees of these steps. An episode that ends, or is ``longest`` steps long, is followed by
        another. Raises _Late."""
        seen: list[Any] = []
        age = 0
        for action in actions:
            if time.perf_counter() > self.deadline:
                raise _Late
            observation, reward, terminated, truncated, info = env.step(copy.copy(action))
            key = repr(info[self.info_key]) if self.info_key in info else ""
            seen.append((np.asarray(observation).tobytes(), repr(reward), bool(terminated), bool(truncated), key))
            age += 1
            if terminated or truncated or age >= longest:
                seen.append(np.asarray(env.reset()[0]).tobytes())
                age = 0
        return seen

    def _cause(self, aged: Kept) -> str:
        """Why an environment that has been loaded goes on differently, as far as that can be found out."""
        if found := own_state.trouble(aged):
            return found
        used, one, two = (self._another() for _ in range(3))
        assert used is not None
        assert one is not None
        assert two is not None
        before = global_draws.states()
        self._play(used, self._actions(60), 20)
        if found := _moved(before):
            return found
        for env in (used, one, two):
            env.reset(seed=SEED + 1)
        differing = [name for name in _differing(used, one) if name not in _differing(one, two)]
        actions = self._actions(40)
        if self._play(one, actions, inf) != self._play(two, actions, inf):
            return "the same seed and the same actions give other episodes"
        return f"it carries {differing[0] if differing else 'something'} from one episode into the next"


def _moved(before: Mapping[str, Any]) -> str:
    """What to say of global generators that stand elsewhere than before; "" where none does."""
    used = [name for name, state in global_draws.states().items() if state != before[name]]
    return f"it draws from {' and '.join(used)}, which all that is in a process shares" if used else ""


def _differing(one: Kept, other: Kept) -> list[str]:
    """The names of what two environments hold with other values, or only one of them holds."""
    mine, theirs = held(one.env), held(other.env)
    return [key[1] for key in sorted(mine.keys() | theirs.keys()) if mine.get(key) != theirs.get(key)]

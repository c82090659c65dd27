"""The global random generators (``random``, numpy's old ones, torch's), which each learner has to itself.

Many libraries and environments draw from them. In a process that hosts several learners they would mix, and with them
the result would depend on the number of processes, and on what a resume builds again. So each learner is called with
generators of its own in their place: their first state is a function of the learner's seed, and it is saved with the
learner. ``evaluate`` and ``report`` have others, a function of their own seed.

What is not kept: generators of other libraries, draws in threads of the learner's, and modules that draw when they are
imported.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch

from firerl.base.seeding import Purpose, integer_seed
from firerl.errors import SettingError
from firerl.learner import Hyperparameters, Learner

State = dict[str, Any]  # by generator's name, as a checkpoint takes it
_numpy: Any = np.random  # whose types do not tell all that it has
_TWISTER = 4 * 625  # bytes of numpy's Mersenne twister: 624 words and a position


class Generators:
    """One set of global generators, seeded. ``live`` puts it in the place of the process's own."""

    def __init__(self, seed: int, device: str = "cpu"):
        """``device``, torch's name, is where the CUDA generator belongs to."""
        self._gpu = _gpu_of(device)
        # numpy's whole generator is exchanged, which is quicker than its state; what that does not bring along is the
        # second of two normal draws that were made at once.
        self._numpy = np.random.MT19937(0)
        self.seed_anew(seed)

    def seed_anew(self, seed: int) -> None:
        """As new with this seed."""
        self.seed = seed
        drawn = integer_seed(seed, Purpose.GLOBAL)
        self._random = random.Random(drawn).getstate()
        outside = _numpy.get_bit_generator()
        _numpy.set_bit_generator(self._numpy)
        _numpy.seed(drawn)
        _numpy.set_bit_generator(outside)
        self._normal: float | None = None
        self._torch = torch.Generator().manual_seed(drawn).get_state()
        self._cuda: Any = None if self._gpu is None else torch.Generator(self._gpu).manual_seed(drawn).get_state()
        self._first = self.standing()

    @contextmanager
    def live(self, keep: bool = True) -> Iterator[None]:
        """Inside, the process's global generators are these; what is drawn there counts if ``keep``."""
        outside = _Outside(self._gpu)
        before = self._twister()
        self._put()
        try:
            yield
            if keep:
                self._take(before)
        finally:
            if not keep and self._twister() != before:
                self._numpy.state = _state_of(before)
            outside.put_back()

    def state(self) -> State:
        """Plain data; of a generator that nobody has drawn from, nothing but the seed."""
        kept: State = {"seed": self.seed}
        for name in self.moved(self._first):
            if name == "random":
                kept[name] = {"words": np.array(self._random[1], dtype=np.uint32), "gauss": self._random[2]}
            elif name == "numpy.random":
                kept[name] = {"words": np.frombuffer(self._twister(), dtype=np.uint32).copy(), "gauss": self._normal}
            else:
                kept[name] = self.standing()[name].numpy().copy()
        return kept

    def standing(self) -> State:
        """Where each generator stands, for ``moved``."""
        found: State = {
            "random": self._random, "numpy.random": (self._twister(), self._normal), "torch": self._torch
        }  # fmt: skip
        return found if self._cuda is None else {**found, "torch.cuda": self._cuda}

    def moved(self, before: State) -> list[str]:
        """The names of the generators that stand elsewhere than ``before``."""
        return [name for name, now in self.standing().items() if not _same(now, before[name])]

    @classmethod
    def of_state(cls, state: Mapping[str, Any], device: str) -> Generators:
        """From what ``state`` has returned."""
        made = cls(int(state["seed"]), device)
        if kept := state.get("random"):
            made._random = (3, tuple(int(word) for word in kept["words"]), kept["gauss"])
        if kept := state.get("numpy.random"):
            made._numpy.state = _state_of(np.asarray(kept["words"], dtype=np.uint32).tobytes())
            made._normal = kept["gauss"]
        if (kept := state.get("torch")) is not None:
            made._torch = torch.from_numpy(np.array(kept, dtype=np.uint8))
        if made._cuda is not None and (kept := state.get("torch.cuda")) is not None:
            made._cuda = torch.from_numpy(np.array(kept, dtype=np.uint8))
        return made

    def _put(self) -> None:
        random.setstate(self._random)
        _numpy.set_bit_generator(self._numpy)  # forgets a second normal draw
        if self._normal is not None:
            state = _numpy.get_state(legacy=False)
            _numpy.set_state({**state, "has_gauss": 1, "gauss": self._normal})
        torch.set_rng_state(self._torch)
        if self._gpu is not None:
            torch.cuda.set_rng_state(self._cuda, self._gpu)

    def _take(self, before: bytes) -> None:
        self._random = random.getstate()
        if self._normal is not None or self._twister() != before:
            state = _numpy.get_state(legacy=False)
            self._normal = float(state["gauss"]) if state["has_gauss"] else None
        self._torch = torch.get_rng_state()
        if self._gpu is not None:
            self._cuda = torch.cuda.get_rng_state(self._gpu)

    def _twister(self) -> bytes:
        """The words of numpy's generator and its position."""
        return ctypes.string_at(self._numpy.ctypes.state_address, _TWISTER)


class _Outside:
    """The process's own generators, while a learner has its in their place."""

    def __init__(self, gpu: torch.device | None):
        self._gpu = gpu
        self._random = random.getstate()
        self._numpy = _numpy.get_bit_generator()
        self._torch = torch.get_rng_state()
        self._cuda: Any = None if gpu is None else torch.cuda.get_rng_state(gpu)

    def put_back(self) -> None:
        random.setstate(self._random)
        _numpy.set_bit_generator(self._numpy)
        torch.set_rng_state(self._torch)
        if self._gpu is not None:
            torch.cuda.set_rng_state(self._cuda, self._gpu)


@cache
def _gpu_of(device: str) -> torch.device | None:
    """None: it is none, or not here."""
    return torch.device(device) if device.startswith("cuda") and torch.cuda.is_available() else None


def _state_of(twister: bytes) -> Any:
    words = np.frombuffer(twister, dtype=np.uint32)
    return {"bit_generator": "MT19937", "state": {"key": words[:624].copy(), "pos": int(words[624])}}


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


class Isolated:
    """A learner with global generators of its own; its calls are the learner's.

    Its state has a third part beside weights and stream, ``globals``, which stays with the worker as the stream does.
    """

    def __init__(
        self,
        learner: type[Learner],
        settings: Mapping[str, Any],
        hyperparameters: Hyperparameters,
        seed: int,
        device: str = "cpu",
    ):
        self._device = device
        self._generators = Generators(seed, device)
        self._apart = Generators(seed, device)  # for calls that leave no trace
        with self._live("__init__", self._generators):
            self.learner = learner(settings, hyperparameters, seed, device)

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        with self._live("set_hyperparameters", self._generators):
            self.learner.set_hyperparameters(values)

    def train(self, steps: int) -> Any:
        with self._live("train", self._generators):
            return self.learner.train(steps)

    def evaluate(self, seed: int) -> Any:
        """What it draws moves nothing that training sees."""
        self._apart.seed_anew(seed)
        with self._live("evaluate", self._apart):
            return self.learner.evaluate(seed)

    def report(self, seed: int) -> Any:
        self._apart.seed_anew(seed)
        with self._live("report", self._apart):
            return self.learner.report(seed)

    def state(self) -> dict[str, Any]:
        """Raises SettingError where the learner returns something else than its two halves."""
        with self._live("state", self._generators, keep=False):  # how often it is asked depends on the engine
            state = self.learner.state()
        if not isinstance(state, dict) or set(state) != {"weights", "stream"}:
            got = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise SettingError(f"state() must return a dict with just 'weights' and 'stream', it returned {got}")
        return {"weights": state["weights"], "stream": state["stream"], "globals": self._generators.state()}

    def load(self, globals: Mapping[str, Any] | None = None, **halves: Any) -> Any:
        """As the learner's; with ``globals`` what it draws meanwhile does not count."""
        with self._live("load", self._generators):
            told = self.learner.load(**halves)
        if globals is not None:
            self._generators = Generators.of_state(globals, self._device)
        return told

    def together(self) -> AbstractContextManager[None]:
        """Inside, this learner trains as one with others, in its generators."""
        return self._live("train", self._generators)

    def _live(self, call: str, generators: Generators, keep: bool = True) -> AbstractContextManager[None]:
        """Every call goes through here."""
        return generators.live(keep)

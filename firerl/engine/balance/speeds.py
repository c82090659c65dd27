"""What workers, or groups that train as one, have taken since the last ready, and in which processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean, median

from firerl.engine.interface import Outcome
from firerl.engine.local.sharing import Pace, Work
from firerl.engine.placement import Placement

Samples = dict[int, dict[int, list[float]]]  # by unit, by process


@dataclass
class Speeds:
    """Measurements, and what they have taught of the processes."""

    _train: Samples = field(default_factory=dict)  # seconds of a whole interval
    _evaluate: Samples = field(default_factory=dict)
    _times: dict[int, int] = field(default_factory=dict)  # how often each unit was measured
    _before: dict[int, tuple[int, float]] = field(default_factory=dict)  # who moved: from where, seconds there
    _paces: dict[tuple[int, int], float] = field(default_factory=dict)  # shown by units that were in both

    def hear(self, placement: Placement, outcome: Outcome) -> None:
        """A worker has trained and evaluated; ``placement`` is that of the start of its interval."""
        unit = placement.group_of(outcome.worker)
        home, train = placement.home(unit), outcome.train_seconds
        if outcome.failure is not None or outcome.worker in placement.alone:
            return
        share = placement.shared.get(unit)
        if share is None or not outcome.begun_seconds:
            _add(self._train, unit, home, train)
        else:
            count = share.first + share.last
            _add(self._train, unit, home, outcome.begun_seconds * count / share.first)
            home = share.process
            _add(self._train, unit, home, (train - outcome.begun_seconds) * count / share.last)
        _add(self._evaluate, unit, home, outcome.evaluate_seconds)
        self._times[unit] = self._times.get(unit, 0) + 1

    def times(self) -> Mapping[int, int]:
        """How often each unit was measured since the last ready; members of a group count one by one."""
        return self._times

    def work(self, homes: Mapping[int, int], pace: Pace) -> dict[int, Work]:
        """What an interval of each unit takes at its home."""
        most = max(self._times.values(), default=1)
        return {
            unit: Work(
                _at(self._train[unit], home, pace), _at(self._evaluate[unit], home, pace), self._times[unit] / most
            )
            for unit, home in homes.items()
        }

    def learn(self, processes: int) -> Pace:
        """How fast processes are: as units that were in two of them have shown it; else a process counts as fast as the
        units that have trained there did, on average."""
        shown: dict[tuple[int, int], list[float]] = {}
        for unit, found in self._train.items():
            old, before = self._before.get(unit, (-1, 0.0))
            seconds = {process: median(samples) for process, samples in found.items()}
            if len(seconds) == 1 and old >= 0:
                seconds[old] = before
            if len(seconds) == 2 and min(seconds.values()) > 0:
                first, second = sorted(seconds)
                shown.setdefault((first, second), []).append(seconds[second] / seconds[first])
        self._paces |= {pair: median(ratios) for pair, ratios in shown.items()}
        levels = self._levels(processes)

        def pace(old: int, new: int) -> float:
            if old == new:
                return 1.0
            if (old, new) in self._paces:
                return self._paces[old, new]
            if (new, old) in self._paces:
                return 1 / self._paces[new, old]
            return levels[new] / levels[old]

        return pace

    def _levels(self, processes: int) -> list[float]:
        """The usual seconds of training of all that have trained in a process, by process."""
        usual: list[list[float]] = [[] for _ in range(processes)]
        for found in self._train.values():
            for process, samples in found.items():
                usual[process].append(median(samples))
        overall = mean(seconds for found in usual for seconds in found) if any(usual) else 1.0
        return [mean(found) if found and mean(found) > 0 else overall or 1.0 for found in usual]

    def begin(self, moved: Mapping[int, int]) -> None:
        """A new ready; these units have moved, from these processes."""
        self._before = {u: (old, median(self._train[u][old])) for u, old in moved.items() if old in self._train[u]}
        self._train, self._evaluate, self._times = {}, {}, {}


def _add(samples: Samples, unit: int, process: int, seconds: float) -> None:
    samples.setdefault(unit, {}).setdefault(process, []).append(seconds)


def _at(samples: Mapping[int, list[float]], home: int, pace: Pace) -> float:
    """The usual seconds at ``home``, where none were measured there from another process."""
    if home in samples:
        return median(samples[home])
    process = min(samples)
    return median(samples[process]) * pace(process, home)

"""Which workers should live in another process, so that the slowest process is done earlier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import mean

from firerl.engine.base import Outcome
from firerl.engine.placement import Placement

LEAST_GAIN = 0.02  # of what two processes take: less is noise
MOVE_SECONDS = 0.1  # what a move costs at least: a state is packed, sent, and its learner built again

Pace = Callable[[int, int], float]  # how many times as long a unit takes in the second process as in the first


@dataclass
class Balance:
    """What units (workers, or groups that train as one) have taken, and where they should live."""

    move_seconds: float = MOVE_SECONDS  # what one move costs
    _seconds: dict[int, float] = field(default_factory=dict)  # of each unit, since the last ready
    _times: dict[int, int] = field(default_factory=dict)  # how often it was measured since then
    _left: dict[int, tuple[int, float]] = field(default_factory=dict)  # who moved: from where, mean seconds there
    _paces: dict[tuple[int, int], float] = field(default_factory=dict)  # shown by units that moved

    def hear(self, placement: Placement, outcome: Outcome) -> None:
        """A worker has trained and evaluated. Those that are alone stay where they are, so they do not count."""
        if outcome.worker not in placement.alone:
            unit, taken = placement.group_of(outcome.worker), outcome.train_seconds + outcome.evaluate_seconds
            self._seconds[unit] = self._seconds.get(unit, 0.0) + taken
            self._times[unit] = self._times.get(unit, 0) + 1

    def after(self, placement: Placement) -> Placement:
        """Where everybody should live from this ready on; ``placement`` is where they have lived since the last.

        Whoever moves shows afterwards how fast its new process is.
        """
        places = {unit: placement.home(unit) for unit in self._seconds}
        means = {unit: seconds / self._times[unit] for unit, seconds in self._seconds.items() if seconds > 0}
        for unit, (old, before) in self._left.items():
            if unit in means:
                self._paces[old, places[unit]] = means[unit] / before
        pace = self._pace(means, places, placement.processes)
        found = moves(self._seconds, places, placement.processes, pace, self.move_seconds)
        self._left = {unit: (places[unit], means[unit]) for unit in found}
        self._seconds, self._times = {}, {}
        return replace(placement, moved={**placement.moved, **found}) if found else placement

    def took(self, seconds: float, moved: int) -> None:
        """So many moves have taken so long: learners that are built slowly are moved for a larger gain only."""
        if moved:
            self.move_seconds = max(MOVE_SECONDS, seconds / moved)

    def _pace(self, means: Mapping[int, float], places: Mapping[int, int], processes: int) -> Pace:
        """As units that moved have shown it; else a process counts as fast as its units, on average, are."""
        shown: list[list[float]] = [[] for _ in range(processes)]
        for unit, taken in means.items():
            shown[places[unit]].append(taken)
        usual = mean(means.values()) if means else 1.0
        levels = [mean(own) if own else usual for own in shown]

        def pace(old: int, new: int) -> float:
            if (old, new) in self._paces:
                return self._paces[old, new]
            if (new, old) in self._paces:
                return 1 / self._paces[new, old]
            return levels[new] / levels[old]

        return pace


def moves(
    seconds: Mapping[int, float],
    places: Mapping[int, int],
    processes: int,
    pace: Pace,
    move_seconds: float = MOVE_SECONDS,
) -> dict[int, int]:
    """The units that should move, with their new processes, where ``seconds`` is what each takes where it is now.

    Again and again a unit leaves the process that takes longest, as long as that makes the longer of two processes
    shorter; all of it only where the gain is worth the moves.
    """
    where, cost = dict(places), dict(seconds)
    loads = [0.0] * processes
    for unit, taken in cost.items():
        loads[where[unit]] += taken
    before = max(loads)
    for _ in seconds:
        slowest = max(range(processes), key=loads.__getitem__)
        best, found = loads[slowest] * (1 - LEAST_GAIN), None
        for unit in sorted(unit for unit in cost if where[unit] == slowest and cost[unit] > 0):
            for target in (process for process in range(processes) if process != slowest):
                there = cost[unit] * pace(slowest, target)
                after = max(loads[slowest] - cost[unit], loads[target] + there)
                if after < best:
                    best, found = after, (unit, target, there)
        if found is None:
            break
        unit, target, there = found
        loads[slowest] -= cost[unit]
        loads[target] += there
        where[unit], cost[unit] = target, there
    moved = {unit: where[unit] for unit in sorted(where) if where[unit] != places[unit]}
    return moved if before - max(loads) > move_seconds * len(moved) else {}

"""Which workers should live in another process, or in two, so that the slowest process is done earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median

from firerl.engine.base import Advance, Outcome
from firerl.engine.placement import Placement, Share
from firerl.engine.sharing import LEAST_GAIN, Pace, shares

MOVE_SECONDS = 0.1  # what a move costs at least: a state is packed, sent, and its learner built again


@dataclass
class Balance:
    """What units (workers, or groups that train as one) have taken, and where they should live."""

    chunk: int | None = None  # steps of one; between two of them a worker may change its process
    move_seconds: float = MOVE_SECONDS  # what one move costs
    trip_seconds: float = 0.0  # what an interval in two processes costs each of them: tried once, known then
    _chunks: int = 1  # of an interval
    _seconds: dict[int, float] = field(default_factory=dict)  # of each unit, since the last ready
    _times: dict[int, int] = field(default_factory=dict)  # how often it was measured since then
    _trips: list[float] = field(default_factory=list)  # seconds of each since then
    _left: dict[int, tuple[int, float]] = field(default_factory=dict)  # who moved: from where, mean seconds there
    _whole: dict[int, int] = field(default_factory=dict)  # where the shared ones would live otherwise
    _paces: dict[tuple[int, int], float] = field(default_factory=dict)  # shown by units that moved

    def asked(self, orders: Sequence[Advance]) -> None:
        """Workers are about to train."""
        steps = max((order.steps for order in orders), default=0)
        self._chunks = 1 if self.chunk is None else steps // self.chunk

    def hear(self, placement: Placement, outcome: Outcome) -> None:
        """A worker has trained and evaluated. Those that are alone stay where they are, so they do not count."""
        if outcome.worker not in placement.alone:
            unit, taken = placement.group_of(outcome.worker), outcome.train_seconds + outcome.evaluate_seconds
            self._seconds[unit] = self._seconds.get(unit, 0.0) + taken
            self._times[unit] = self._times.get(unit, 0) + 1
        if outcome.trip_seconds:
            self._trips.append(outcome.trip_seconds)

    def after(self, placement: Placement) -> Placement:
        """Where everybody should live from this ready on; ``placement`` is where they have lived since the last.

        Whoever moves shows afterwards how fast its new process is.
        """
        places = {unit: self._whole.get(unit, placement.home(unit)) for unit in self._seconds}
        means = {unit: seconds / self._times[unit] for unit, seconds in self._seconds.items() if seconds > 0}
        alone = {unit: taken for unit, taken in means.items() if unit not in placement.shared}
        for unit, (old, before) in self._left.items():
            if unit in alone:
                self._paces[old, places[unit]] = alone[unit] / before
        pace = self._pace(alone or means, places, placement.processes)
        seconds = {unit: taken * self._unshared(placement, unit, pace) for unit, taken in self._seconds.items()}
        found = moves(seconds, places, placement.processes, pace, self.move_seconds)
        homes = {**places, **found}
        then = {unit: taken * pace(places[unit], homes[unit]) for unit, taken in seconds.items()}
        shared = self._shared(placement, then, homes, pace)
        self._left = {unit: (places[unit], means[unit]) for unit in found if unit in alone}
        self._whole = {unit: homes[unit] for unit in shared}
        self._seconds, self._times, self._trips = {}, {}, []
        return _settled(placement, homes, shared)

    def _unshared(self, placement: Placement, unit: int, pace: Pace) -> float:
        """How many times as long the work of ``unit`` would have taken if it was not shared."""
        if (share := placement.shared.get(unit)) is None:
            return 1.0
        home, other = placement.home(unit), share.process
        if self._whole[unit] == home:
            return (share.first + share.last) / (share.first + share.last * pace(home, other))
        return (share.first + share.last) / (share.last + share.first * pace(other, home))

    def _shared(
        self, placement: Placement, seconds: Mapping[int, float], homes: Mapping[int, int], pace: Pace
    ) -> dict[int, Share]:
        """Whom two processes should share; ``seconds`` since the last ready, of each in its home."""
        if self._chunks < 2 or placement.stacked > 1:  # a group would have to travel as a whole
            return {}
        self.trip_seconds = median(self._trips) if self._trips else self.trip_seconds
        intervals = max(self._times.values(), default=1)
        each = {unit: taken / intervals for unit, taken in seconds.items()}
        return shares(each, homes, placement.processes, pace, self._chunks, self.trip_seconds)

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
            if old == new:
                return 1.0
            if (old, new) in self._paces:
                return self._paces[old, new]
            if (new, old) in self._paces:
                return 1 / self._paces[new, old]
            return levels[new] / levels[old]

        return pace


def _settled(placement: Placement, homes: Mapping[int, int], shared: Mapping[int, Share]) -> Placement:
    """Units live at their ``homes``, but for those that are in the other of their two processes just now."""
    there = {
        unit: Share(homes[unit], share.last, share.first)
        for unit, share in shared.items()
        if placement.home(unit) == share.process
    }
    moved = {u: home for u, home in homes.items() if u not in there and home != placement.home(u)}
    after = replace(placement, moved={**placement.moved, **moved}, shared={**shared, **there})
    return placement if after == placement else after


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

"""Which workers should live in another process, or in two, so that the slowest process is done earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median

from firerl.engine.balance.speeds import Speeds
from firerl.engine.interface import Advance, Outcome
from firerl.engine.local.sharing import LEAST_GAIN, Model, Pace, shares
from firerl.engine.placement import Placement, Share

MOVE_SECONDS = 0.1  # what a move costs at least: a state is packed, sent, and its learner built again
WORTH_A_CHANGE = 0.05  # of an interval: another plan for who is shared must promise as much
FEW_READIES = 2
FORGETS = 0.9  # what a trip between two processes has cost counts less with every ready without one

Shared = Mapping[int, Share]


@dataclass
class Balance:
    """What units (workers, or groups that train as one) have taken, and where they should live.

    First whole units move, as often as that pays. Then, where an interval has chunks, workers are shared, as long as
    intervals take less time than they would if nobody was. Where they did not, all is as before for two readies, the
    next time for four, and so on, until sharing has paid again.
    """

    chunk: int | None = None  # steps of one; between two of them a worker may change its process
    moves: bool = True  # False: all stay where they are
    move_seconds: float = MOVE_SECONDS  # what one move costs
    trip_seconds: float = 0.0  # what a shared interval costs each of its processes; forgotten bit by bit
    _chunks: int = 1  # of an interval
    _speeds: Speeds = field(default_factory=Speeds)
    _rounds: list[float] = field(default_factory=list)  # seconds of each interval since the last ready
    _trips: list[float] = field(default_factory=list)  # seconds of each since then
    _homes: Mapping[int, int] = field(default_factory=dict)  # where shared workers live, who may be away
    _plan: Shared = field(default_factory=dict)  # who is shared, as seen from there
    _slack: float = 1.0  # how many times as long an interval takes as the model says, where nobody is shared
    _pause: int = 1  # readies until the next trial; the first is full of imports
    _patience: int = FEW_READIES  # readies that a failed trial is followed by

    def asked(self, orders: Sequence[Advance]) -> None:
        """Workers are about to train."""
        if orders and self.chunk is not None:
            self._chunks = max(order.steps for order in orders) // self.chunk

    def hear(self, placement: Placement, outcome: Outcome) -> None:
        """A worker has trained and evaluated. Those that are alone stay where they are, so they do not count."""
        self._speeds.hear(placement, outcome)
        if outcome.trip_seconds:
            self._trips.append(outcome.trip_seconds)

    def waited(self, seconds: float) -> None:
        """All have trained and evaluated, so many seconds after they began."""
        self._rounds.append(seconds)

    def after(self, placement: Placement) -> Placement:
        """Where everybody should live from this ready on; ``placement`` is where they have lived since the last.

        Whoever moves shows afterwards how fast its new process is.
        """
        if not self.moves:
            return placement
        times = self._speeds.times()
        homes = {unit: self._homes.get(unit, placement.home(unit)) for unit in times}
        self.trip_seconds = median(self._trips) if self._trips else self.trip_seconds * FORGETS
        pace = self._speeds.learn(placement.processes)
        work = self._speeds.work(homes, pace)
        seconds = {unit: (work[unit].train + work[unit].evaluate) * count for unit, count in times.items()}
        found = moves(seconds, homes, placement.processes, pace, self.move_seconds)
        stay, plan = False, dict[int, Share]()
        if self._chunks > 1 and placement.stacked == 1:  # a group would have to travel as a whole
            intervals = max(1, len(self._rounds))
            model = Model(work, homes, placement.processes, pace, self._chunks, self.trip_seconds, intervals)
            there = {**homes, **found}
            stay, plan = self._choose(model, replace(model, homes=there, work=self._speeds.work(there, pace)))
        moved = {} if stay else found
        before, self._homes = self._homes, {unit: homes[unit] for unit in plan}
        self._plan = plan
        after = _settled(placement, {**before, **homes, **moved}, plan)
        self._speeds.begin({u: placement.home(u) for u in times if placement.home(u) != after.home(u)})
        self._rounds, self._trips = [], []
        return after

    def _choose(self, stay: Model, move: Model) -> tuple[bool, dict[int, Share]]:
        """Whether all stay at home, rather than move as they should if nobody is shared; who is shared from now on."""
        plan = {unit: share for unit, share in self._plan.items() if unit in stay.homes}
        took = mean(self._rounds) if self._rounds else 0.0
        if not plan:
            self._slack = max(1.0, took / (stay.seconds({}) or 1.0))
            paused, self._pause = self._pause > 0, max(0, self._pause - 1)
            if move.homes != stay.homes or paused:
                return False, {}
            return True, shares(stay)
        if took > self._slack * stay.seconds({}) * (1 - LEAST_GAIN):
            self._pause, self._patience = self._patience, 2 * self._patience
            return True, {}
        self._patience = FEW_READIES
        enough = stay.seconds(plan) * (1 - WORTH_A_CHANGE)
        if move.seconds({}) < enough:
            return False, {}
        other = shares(stay)
        return True, other if other and stay.seconds(other) < enough else plan

    def took(self, seconds: float, moved: int) -> None:
        """So many moves have taken so long: learners that are built slowly are moved for a larger gain only."""
        if moved:
            self.move_seconds = max(MOVE_SECONDS, seconds / moved)


def _settled(placement: Placement, homes: Mapping[int, int], shared: Shared) -> Placement:
    """All units live at their ``homes``; who is shared begins the next interval there, all in step."""
    moved = {unit: home for unit, home in homes.items() if home != placement.home(unit)}
    after = replace(placement, moved={**placement.moved, **moved}, shared=shared)
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

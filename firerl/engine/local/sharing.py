"""Which workers two processes should share, each some chunks of an interval, where one of them would wait else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple

from firerl.engine.placement import Share

LEAST_GAIN = 0.02  # of what two processes take: less is noise
FEW = 4  # targets, and workers of one process, that are looked at closely

Pace = Callable[[int, int], float]  # how many times as long a unit takes in the second process as in the first


@dataclass(frozen=True)
class Work:
    """Seconds that an interval of a worker takes in the process that it lives in."""

    train: float
    evaluate: float
    often: float = 1.0  # in this share of the intervals


class Trip(NamedTuple):
    """An interval that one process begins and another finishes, seconds of each."""

    begins: int
    ends: int
    first: float
    last: float


def ends(own: Sequence[float], trips: Sequence[Trip]) -> list[float]:
    """When each process is done: it begins what it shares, does its ``own``, finishes what comes as it comes."""
    free = [0.0] * len(own)
    arrivals = []
    for trip in trips:
        free[trip.begins] += trip.first
        arrivals.append((free[trip.begins], trip))
    free = [begun + seconds for begun, seconds in zip(free, own, strict=True)]
    for arrival, trip in sorted(arrivals):
        free[trip.ends] = max(free[trip.ends], arrival) + trip.last
    return free


@dataclass(frozen=True)
class Model:
    """What intervals take, and what they would take elsewhere; ``homes`` are where workers live if nobody is shared."""

    work: Mapping[int, Work]
    homes: Mapping[int, int]
    processes: int
    pace: Pace
    chunks: int = 1  # of an interval
    trip: float = 0.0  # seconds that a shared interval costs each of its two processes besides
    intervals: int = 2  # between two readies; at a ready all are at home

    def ends(self, shared: Mapping[int, Share]) -> tuple[list[float], list[float]]:
        """When each process is done in an interval in which shared workers go there, and in the next one: back."""
        own = [0.0] * self.processes
        for worker, work in self.work.items():
            if worker not in shared:
                own[self.homes[worker]] += (work.train + work.evaluate) * work.often
        there = [self._trip(worker, share) for worker, share in sorted(shared.items())]  # as engines send them
        back = [self._trip(worker, share, back=True) for worker, share in sorted(shared.items())]
        return ends(own, there), ends(own, back)

    def _trip(self, worker: int, share: Share, back: bool = False) -> Trip:
        work, home = self.work[worker], self.homes[worker]
        pace = self.pace(home, share.process)
        here = work.train * share.first / self.chunks + self.trip
        there = work.train * share.last / self.chunks * pace + self.trip
        if back:
            return Trip(share.process, home, there, here + work.evaluate)
        return Trip(home, share.process, here, there + work.evaluate * pace)

    def seconds(self, shared: Mapping[int, Share]) -> float:
        """Seconds of an interval of all, on average."""
        return self.average(*map(max, self.ends(shared)))

    def average(self, there: float, back: float) -> float:
        """Of the intervals between two readies, which begin at home."""
        return (there * ceil(self.intervals / 2) + back * floor(self.intervals / 2)) / self.intervals


def shares(model: Model) -> dict[int, Share]:
    """The workers to share; {} where it does not make an interval of all shorter.

    Again and again the process that is done last leaves some of the chunks of one of its workers to another, as long as
    that makes both of them done earlier than it was, and nobody else later than that.
    """
    found: dict[int, Share] = {}
    now = model.ends({})
    for _ in range(2 * model.processes):
        done = [model.average(*ways) for ways in zip(*now, strict=True)]
        slowest = max(range(model.processes), key=done.__getitem__)
        all_done, best, chosen = model.average(*map(max, now)), done[slowest] * (1 - LEAST_GAIN), None
        for worker, share in _candidates(model, found, done, slowest):
            after = model.ends({**found, worker: share})
            both_done = model.average(*(max(way[slowest], way[share.process]) for way in after))
            if both_done < best and model.average(*map(max, after)) <= all_done:
                best, chosen = both_done, (worker, share, after)
        if chosen is None:
            break
        worker, share, now = chosen
        found[worker] = share
    gain = 1 - model.seconds(found) / (model.seconds({}) or 1.0)
    return found if gain >= LEAST_GAIN else {}


def _candidates(
    model: Model, found: Mapping[int, Share], now: Sequence[float], slowest: int
) -> list[tuple[int, Share]]:
    """A few of the workers of the slowest process, with a few of the others, and about as many chunks as would even
    them out."""
    always = {w for w, work in model.work.items() if work.often == 1.0 and model.homes[w] == slowest}
    by_cost = sorted(always - found.keys(), key=lambda w: (model.work[w].train, w))
    few = by_cost if len(by_cost) <= FEW else [by_cost[round(i * (len(by_cost) - 1) / (FEW - 1))] for i in range(FEW)]
    others = sorted((p for p in range(model.processes) if p != slowest), key=lambda p: (now[p], p))[:FEW]
    result = []
    for worker in few:
        for target in others:
            each = model.work[worker].train * (1 + model.pace(slowest, target))
            exact = min((now[slowest] - now[target]) / each, 1.0) * model.chunks if each > 0 else 0.0
            for last in sorted({min(max(n, 1), model.chunks - 1) for n in (floor(exact), ceil(exact))}):
                result.append((worker, Share(target, model.chunks - last, last)))
    return result

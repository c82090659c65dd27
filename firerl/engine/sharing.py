"""Which workers two processes should share, each some chunks of an interval, where one of them would wait else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, floor

from firerl.engine.placement import Share

LEAST_GAIN = 0.02  # of what two processes take: less is noise

Pace = Callable[[int, int], float]  # how many times as long a unit takes in the second process as in the first


def shares(
    seconds: Mapping[int, float], places: Mapping[int, int], processes: int, pace: Pace, chunks: int, trip: float
) -> dict[int, Share]:
    """The workers to share, where ``seconds`` is what an interval of each takes in the process that it is in now.

    Again and again the process that takes longest leaves some of the ``chunks`` of one of its workers to another, as
    long as that makes the longer of the two shorter. ``trip``: what it costs each of them, in seconds.
    """
    loads = [0.0] * processes
    for unit, taken in seconds.items():
        loads[places[unit]] += taken
    found: dict[int, Share] = {}
    for _ in seconds:
        slowest = max(range(processes), key=loads.__getitem__)
        best, chosen = loads[slowest] * (1 - LEAST_GAIN), None
        for unit in sorted(unit for unit in seconds if places[unit] == slowest and unit not in found):
            for target in (process for process in range(processes) if process != slowest):
                there = seconds[unit] * pace(slowest, target)
                for last in _near(loads[slowest] - loads[target], seconds[unit], there, chunks):
                    first_part = seconds[unit] * (chunks - last) / chunks + trip
                    last_part = there * last / chunks + trip
                    after = _longer(loads[slowest] - seconds[unit], loads[target], first_part, last_part)
                    if after < best:
                        best, chosen = after, (unit, target, last, first_part, last_part)
        if chosen is None:
            break
        unit, target, last, first_part, last_part = chosen
        loads[slowest] += first_part - seconds[unit]
        loads[target] += last_part
        found[unit] = Share(target, chunks - last, last)
    return found


def _near(gap: float, here: float, there: float, chunks: int) -> set[int]:
    """How many chunks could go from a process that takes ``gap`` seconds longer: the two numbers about the best."""
    exact = min(gap / (here + there), 1.0) * chunks if here + there > 0 else 0.0
    return {min(max(last, 1), chunks - 1) for last in (floor(exact), ceil(exact))}


def _longer(own: float, others: float, first_part: float, last_part: float) -> float:
    """Seconds of the longer process. A share goes to and fro: one interval begins here and ends there, the next begins
    there. It begins before its process's own workers and ends after those of the other."""
    there = max(own + first_part, max(others, first_part) + last_part)
    back = max(others + last_part, max(own, last_part) + first_part)
    return max(there, back)

"""All pairs of many learning curves at once: what ``pair.best_score_diff`` says of each, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firerl.evolution.curves.pair import records, rounded
from firerl.evolution.curves.smoothing import MIN_POINTS, Curve


def best_score_diffs(smooth_curves: Sequence[Curve], min_points: int = MIN_POINTS) -> NDArray[np.float64]:
    """best_score_diff of all pairs of smooth curves, to the last bit: [N, N], f in rows, g in columns, 0 with itself.

    No curve may be empty. Costs O(N) vector operations.
    """
    if not smooth_curves:
        return np.zeros((0, 0))
    curves = _Curves(smooth_curves)
    diffs = np.zeros((len(smooth_curves), len(smooth_curves)))
    for i, lower in enumerate(smooth_curves):
        best = curves.best[i, : len(lower)]
        others = np.flatnonzero(curves.starts >= curves.starts[i])
        reached = np.searchsorted(best, curves.starts[others])  # where the lower curve first gets there: a record
        overlaps = reached < len(lower)
        j, first = others[overlaps], reached[overlaps]
        shared = np.minimum(len(lower) - first, curves.lengths[j])
        gain = best[first + shared - 1] - curves.best[j, shared - 1]
        diffs[i, j], diffs[j, i] = gain, 0.0 - gain
        apart = others[~overlaps]
        above = apart[curves.lowest[apart] > best[-1]]
        if len(above):
            diffs[above, i] = np.maximum(0.0, curves.largest_shifted_diffs(above, i, min_points))
    ranges = np.array([np.ptp(y) for y in smooth_curves])
    return rounded(diffs, np.maximum(ranges[:, None], ranges))


class _Curves:
    """N curves, in arrays that are as long as the longest."""

    def __init__(self, curves: Sequence[Curve]):
        self.each = curves
        self.lengths = np.array([len(y) for y in curves], dtype=np.intp)
        self.starts = np.array([y[0] for y in curves])
        self.lowest = np.array([y.min() for y in curves])
        self.best = np.full((len(curves), self.lengths.max()), np.inf)  # [N, longest] up to each index
        for row, y in zip(self.best, curves, strict=True):
            np.maximum.accumulate(y, out=row[: len(y)])

    @cached_property
    def _records(self) -> list[NDArray[np.intp]]:
        return [records(y) for y in self.each]

    @cached_property
    def _steps(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Curve]:
        """The records of all curves but the first of each: whose, its index, the value of the record before it."""
        whose = np.repeat(np.arange(len(self.each)), [len(own) - 1 for own in self._records])
        index = np.concatenate([own[1:] for own in self._records])
        before = np.concatenate([y[own[:-1]] for y, own in zip(self.each, self._records, strict=True)])
        return whose, index, before

    def largest_shifted_diffs(self, above: NDArray[np.intp], lower: int, min_points: int) -> Curve:
        """``pair._largest_shifted_diff`` of each of the curves ``above`` [k], which lie wholly above that of ``lower``,
        and this one."""
        g, best_g, j = self.each[lower], self.best[lower], self._records[lower]
        n = np.minimum(self.lengths[above][:, None], len(g) - j)  # [k, records of g]
        starts_in_g = (self.best[above[:, None], n - 1] - self.starts[above][:, None]) - (best_g[j + n - 1] - g[j])
        largest = np.full(len(self.each), -np.inf)
        largest[above] = starts_in_g.max(axis=1, initial=-np.inf, where=n >= min_points)

        is_above = np.zeros(len(self.each), dtype=bool)
        is_above[above] = True
        whose, i, before = self._steps
        n = np.minimum(self.lengths[whose] - i, len(g))
        these = is_above[whose] & (n >= min_points)
        whose, i, before, n = whose[these], i[these], before[these], n[these]
        np.maximum.at(largest, whose, (self.best[whose, i + n - 1] - before) - (best_g[n - 1] - g[0]))
        return largest[above]

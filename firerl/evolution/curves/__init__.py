"""Learning curves (Dalibard & Jaderberg 2021, arXiv 2109.13800).

A curve is a 1-D array [n] of objective values at consecutive evaluations, higher is better. ``pair`` compares two of
them as the algorithm says, ``pairwise`` all pairs of many in fewer steps, ``smoothing`` smooths one. Every function is
deterministic and draws nothing at random.
"""

from firerl.evolution.curves.pair import Overlap, best_score_diff, binom_test, overlap
from firerl.evolution.curves.pairwise import best_score_diffs
from firerl.evolution.curves.smoothing import MIN_POINTS, Curve, prepare, running_mean, smooth

__all__ = [
    "MIN_POINTS",
    "Curve",
    "Overlap",
    "best_score_diff",
    "best_score_diffs",
    "binom_test",
    "overlap",
    "prepare",
    "running_mean",
    "smooth",
]

"""Where every random number of a run comes from.

A draw is a function of (run seed, purpose, worker, the worker's own step), never of a shared stream, so a run
gives the same result with any number of processes and after any crash.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a random draw is for. Numbers are part of the promise: add new ones at the end, never renumber."""

    SAMPLE = 0  # a member's first hyperparameters
    LEARNER = 1  # a new learner: its first weights and its data stream
    EVALUATE = 2  # one evaluation of one worker
    TIES = 3  # the order of members with equal fitness
    EXPLOIT = 4  # from whom a loser copies
    EXPLORE = 5  # how copied hyperparameters change
    CHILD = 6  # whose hyperparameters an evaluator takes before anything is known
    PARENT = 7  # whom an evaluator measures among equally old parents
    RETRACE = 8  # a fresh network trained with a found schedule
    REPORT = 9  # figures about the winner on data that the search did not see
    SPEED = 10  # how fast a worker is on simulated hardware; no part of a result
    GLOBAL = 11  # the global generators of a learner's process, while it computes


def _sequence(seed: int, purpose: Purpose, worker: int, step: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), worker, step))


def generator(seed: int, purpose: Purpose, worker: int = 0, step: int = 0) -> np.random.Generator:
    """A generator for one purpose of one worker at one of its own steps."""
    return np.random.default_rng(_sequence(seed, purpose, worker, step))


def integer_seed(seed: int, purpose: Purpose, worker: int = 0, step: int = 0) -> int:
    """A seed below 2^32 for a library that wants an integer: numpy's legacy seeding and many others take no more."""
    return int(_sequence(seed, purpose, worker, step).generate_state(1, np.uint32)[0])

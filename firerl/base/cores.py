"""How many cores a process may use, and its share of them beside the other processes of its engine."""

from __future__ import annotations

import os

SHARERS = "FIRERL_ENGINE_PROCESSES"  # how many processes the engine has: it tells its children in the environment


def usable_cores() -> int:
    """How many cores this process may run on, which on a shared machine is fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cores() -> int:
    """How many cores each process of this engine may keep busy; at least 1."""
    told = os.environ.get(SHARERS, "")
    return max(1, usable_cores() // int(told)) if told.isdigit() and int(told) else usable_cores()

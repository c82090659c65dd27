"""What a step of an environment costs later in training: one that stands has more contacts than one that falls."""

from __future__ import annotations

from firerl.envs.vector import base_name

# From so many steps of a worker on, in the time of a fresh network's step: the timings of the README's first command.
LATER = {"Humanoid": (40_000, 1.25)}


def cost_of(name: str, steps: int) -> float:
    """Mean cost of a step of environment ``name`` in the first ``steps`` of training, in that of a fresh network's."""
    since, later = LATER.get(base_name(name), (0, 1.0))
    return (min(steps, since) + later * max(steps - since, 0)) / steps if steps > 0 else 1.0

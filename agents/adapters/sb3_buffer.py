"""A replay buffer of Stable-Baselines3 as plain data, to the bit.

Where a transition's next observation is the observation of the transition after it, as it is but at the end of an
episode, it is kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

_ROWS = ("observations", "actions", "rewards", "dones", "timeouts")  # [buffer_size, N, ...]
_CHUNK = 4_096  # rows that are compared at once


def state(buffer: Any) -> dict[str, Any]:
    """The rows are the buffer's own memory: write them before it learns on."""
    size = buffer.size()
    kept = {name: getattr(buffer, name)[:size] for name in _ROWS}
    row, env = _breaks(kept["observations"], buffer.next_observations[:size])
    ends = {"row": row, "env": env, "observations": buffer.next_observations[row, env]}
    return {"rows": kept, "ends": ends, "position": buffer.pos, "full": bool(buffer.full)}


def _breaks(observations: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and environments where the next observation is not that of the next row."""
    found = [np.zeros((0, observations.shape[1]), dtype=bool)]
    size = len(observations)
    for start in range(0, size, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, size))
        mine, next_rows = following[rows].view(np.uint8), observations[(rows + 1) % size].view(np.uint8)
        found.append((mine != next_rows).any(axis=-1))
    row, env = np.nonzero(np.concatenate(found))
    return row, env


def load(buffer: Any, state: Mapping[str, Any]) -> None:
    """What lies beyond the rows becomes zeros, as in a new buffer. Raises ValueError where they do not fit."""
    rows, ends, before = state["rows"], state["ends"], buffer.size()
    size = len(rows["rewards"])
    if size > buffer.buffer_size:
        raise ValueError(f"a replay buffer of {size:,} rows for one of {buffer.buffer_size:,}")
    for name in _ROWS:
        getattr(buffer, name)[:size], getattr(buffer, name)[size:before] = rows[name], 0
    following = buffer.next_observations
    if size:
        following[: size - 1], following[size - 1] = rows["observations"][1:], rows["observations"][0]
        following[ends["row"], ends["env"]] = ends["observations"]
    following[size:before] = 0
    buffer.pos, buffer.full = int(state["position"]), bool(state["full"])


def cut(buffer: Any, numbers: Iterable[int]) -> None:
    """The running episodes of these environments end here, by no fault of theirs: as a limit of steps would have it."""
    if buffer.size():
        for i in numbers:
            if not buffer.dones[buffer.pos - 1, i]:
                buffer.dones[buffer.pos - 1, i] = buffer.timeouts[buffer.pos - 1, i] = 1

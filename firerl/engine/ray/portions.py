"""States on their way to actors: how many are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from firerl.engine.interface import Load


def portions(orders: Sequence[Load], most: int) -> Iterator[list[Load]]:
    """Cut ``orders`` into runs whose files are in memory together: one at least, no more than ``most`` bytes."""
    portion: list[Load] = []
    held = 0
    for order in orders:
        size = order.path.stat().st_size if order.path.exists() else 0  # a missing one is told when it is read
        if portion and held + size > most:
            yield portion
            portion, held = [], 0
        portion.append(order)
        held += size
    if portion:
        yield portion

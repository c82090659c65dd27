"""The order in which weights may be copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from firerl.engine.interface import Transfer


def independent(orders: Sequence[Transfer]) -> Iterator[list[Transfer]]:
    """Cut ``orders`` into runs in which all sources may be read before any target is written."""
    batch: list[Transfer] = []
    written: set[int] = set()
    for order in orders:
        if order.source in written or order.target in written:
            yield batch
            batch, written = [], set()
        batch.append(order)
        written.add(order.target)
    if batch:
        yield batch

from __future__ import annotations

from firerl.engine.base import Advance
from firerl.engine.placement import by_process, process_of


def test_every_item_goes_to_its_workers_process_in_order() -> None:
    orders = [Advance(worker, 1, 0) for worker in (5, 0, 3, 1, 2)]
    split = by_process(orders, 3)
    assert {process: [order.worker for order in mine] for process, mine in split.items()} == {
        0: [0, 3],
        1: [1],
        2: [5, 2],
    }
    assert all(process_of(order.worker, 3) == process for process, mine in split.items() for order in mine)
    assert by_process([4, 7, 6], 2, lambda worker: worker) == {0: [4, 6], 1: [7]}

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firerl.engine.interface import Advance
from firerl.engine.placement import Placement, device_of, group_count, poor_fit, usual_processes


def test_every_item_goes_to_its_workers_process_in_order() -> None:
    orders = [Advance(worker, 1, 0) for worker in (5, 0, 3, 1, 2)]
    placement = Placement(3)
    split = placement.split(orders)
    assert {process: [order.worker for order in mine] for process, mine in split.items()} == {
        0: [0, 3],
        1: [1],
        2: [5, 2],
    }
    assert all(placement.process_of(order.worker) == process for process, mine in split.items() for order in mine)
    assert Placement(2).split([4, 7, 6], lambda worker: worker) == {0: [4, 6], 1: [7]}


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_a_group_is_never_cut(processes: int) -> None:
    placement = Placement(processes, stacked=4)
    by_group: dict[int, set[int]] = {}
    for worker in range(22):
        by_group.setdefault(placement.group_of(worker), set()).add(placement.process_of(worker))
    assert len(by_group) == group_count(22, 4) == 6
    assert all(len(found) == 1 for found in by_group.values())
    assert len(set.union(*by_group.values())) == min(processes, 6)


def test_processes_without_work_are_told_in_one_line() -> None:
    assert poor_fit(64, 22, 1) == ""
    assert poor_fit(3, 22, 8) == ""
    for processes in (1, 2, 3, 4, 8, 11, 22):
        assert poor_fit(processes, 22, 1) == ""  # at most 8 % idle
    assert poor_fit(16, 22, 1) == (
        "22 workers in 16 processes leave 31% of their time idle; with chunk= (a part of eval_interval) processes "
        "share workers; with engine.processes=22 the operating system shares the cores evenly, where memory suffices "
        "for 22 processes"
    )
    assert poor_fit(16, 22, 1, chunked=True) == ""
    assert poor_fit(5, 22, 2).startswith(
        "11 groups of workers in 5 processes leave 27% of their time idle; with engine.processes=11 "
    )
    assert poor_fit(4, 22, 8) == (
        "learner.stacked=8: 22 workers are 3 groups, each in one process: 3 of 4 processes are used"
    )
    assert poor_fit(2, 8, 8).startswith("learner.stacked=8: 8 workers are 1 group, ")


@given(processes=st.integers(1, 40), names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True))
def test_processes_are_spread_evenly_over_the_devices(processes: int, names: list[str]) -> None:
    taken = Counter(device_of(process, names) for process in range(processes))
    assert set(taken) == set(names[:processes])  # the first ones, where there are fewer processes
    assert max(taken.values()) - min(taken[name] for name in names) <= 1


@given(workers=st.integers(1, 60), processes=st.integers(1, 8), count=st.integers(1, 8))
def test_workers_are_spread_evenly_over_devices_that_all_have_as_many_processes(
    workers: int, processes: int, count: int
) -> None:
    names = [f"cuda:{number}" for number in range(count)]
    hosts = processes * count
    taken = Counter(device_of(Placement(hosts).process_of(worker), names) for worker in range(workers))
    assert max(taken.values()) - min(taken[name] for name in names) <= processes


def test_a_gpu_gets_one_process_and_a_core_gets_one() -> None:
    assert usual_processes(["cuda:0", "cuda:1", "cuda:2"], cores=64) == 3
    assert usual_processes(["cpu"], cores=64) == 64
    assert usual_processes(["mps"], cores=8) == 1

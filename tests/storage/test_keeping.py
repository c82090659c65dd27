"""Which generations of an asynchronous run are kept, and which files."""

from __future__ import annotations

from firerl.storage.keeping import Keeping


def taken(numbers: range, keeping: Keeping) -> Keeping:
    for number in numbers:
        keeping.take(number, frozenset({f"g{number}"}))
        if keeping.due():
            keeping.copy_made()
    return keeping


def test_the_last_one_a_round_and_what_the_copy_knows_are_kept() -> None:
    keeping = taken(range(1, 58), Keeping(10, 2, 25, {0: frozenset()}, (0,)))
    assert sorted(keeping.needed) == [30, 40, 50, 57]  # copied at 25 and at 50
    assert {*keeping.copied} == {30, 40, 50}
    keeping = taken(range(58, 74), keeping)
    assert sorted(keeping.needed) == [30, 40, 50, 60, 70, 73]
    assert keeping.names == {f"g{n}" for n in keeping.needed}
    assert keeping.dropped == [72]


def test_without_history_the_last_one_and_the_copys_last_are_kept() -> None:
    keeping = taken(range(1, 58), Keeping(10, 0, 25, {0: frozenset()}, (0,)))
    assert sorted(keeping.needed) == [50, 57]


def test_a_file_that_a_running_interval_may_read_stays() -> None:
    keeping = Keeping(10, 1, 25, {}, held={3: {"a", "b"}, 4: {"b"}})
    assert keeping.free(["a", "c"]) == ["c"]
    del keeping.held[3]
    assert keeping.free(["d", "b"]) == ["a", "d"]
    keeping.held.clear()
    assert keeping.free([]) == ["b"]

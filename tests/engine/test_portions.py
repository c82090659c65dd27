"""States in portions that are in memory together."""

from __future__ import annotations

from pathlib import Path

from firerl.engine.interface import Load
from firerl.engine.ray.portions import portions


def orders(folder: Path, sizes: list[int]) -> list[Load]:
    for number, size in enumerate(sizes):
        (folder / str(number)).write_bytes(bytes(size))
    return [Load(number, {}, 0, folder / str(number)) for number in range(len(sizes))]


def test_portions_hold_as_much_as_may_be_in_memory(tmp_path: Path) -> None:
    given = orders(tmp_path, [40, 60, 1, 250, 30, 30])
    found = [[order.worker for order in portion] for portion in portions(given, 100)]
    assert found == [[0, 1], [2], [3], [4, 5]]
    assert list(portions([], 100)) == []


def test_a_missing_file_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    given = [*orders(tmp_path, [5]), Load(1, {}, 0, tmp_path / "none")]
    assert list(portions(given, 100)) == [given]

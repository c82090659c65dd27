"""States on their way between the actors of engine=ray and the disk: in portions, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import firerl
from firerl.engine.interface import Load
from firerl.engine.ray import ray as engine


def orders(folder: Path, sizes: list[int]) -> list[Load]:
    for number, size in enumerate(sizes):
        (folder / str(number)).write_bytes(bytes(size))
    return [Load(number, {}, 0, folder / str(number)) for number in range(len(sizes))]


def test_portions_hold_as_much_as_may_fly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_FLIGHT", 100)
    given = orders(tmp_path, [40, 60, 1, 250, 30, 30])
    portions = [[order.worker for order in portion] for portion in engine._portions(given)]
    assert portions == [[0, 1], [2], [3], [4, 5]]
    assert list(engine._portions([])) == []


def test_a_missing_file_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    given = [*orders(tmp_path, [5]), Load(1, {}, 0, tmp_path / "none")]
    assert list(engine._portions(given)) == [given]


@pytest.fixture
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    ray.shutdown()  # what tests before may have left
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.timeout(200)
def test_one_state_at_a_time_gives_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: None) -> None:
    """Saved, loaded again at a resume, saved again, each state in a portion of its own."""
    monkeypatch.setattr(engine, "_FLIGHT", 1)
    given = {"population": [4, 4], "evaluators": 2, "ready_interval": 60, "seed": 3, "progress": False}
    whole = firerl.run("quadratic", steps=240, engine="inline", run_dir=tmp_path / "whole", **given)
    firerl.run("quadratic", steps=120, engine="ray", processes=2, run_dir=tmp_path / "parts", **given)
    parts = firerl.resume(tmp_path / "parts", steps=240)
    assert parts.figures["hash"] == whole.figures["hash"]
    assert (tmp_path / "parts" / "best.pt").read_bytes() == (tmp_path / "whole" / "best.pt").read_bytes()

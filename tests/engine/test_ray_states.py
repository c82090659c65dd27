"""States on their way between the actors of engine=ray and the disk: in portions, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import firerl
from firerl.engine.ray import ray as engine


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

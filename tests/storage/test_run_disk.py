"""A short form of benchmarks/speed/run_disk.py: checkpoints at their fullest, the journal's growth."""

from __future__ import annotations

import importlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from firerl.base.disk import durable
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.insight.plan.forecast import most_states
from firerl.session import start as starting
from firerl.storage import store
from firerl.storage.journal.journal_db import Journal

MB = 10**6


@pytest.fixture(scope="module")
def measure() -> Any:
    return importlib.import_module("run_disk")


@pytest.mark.parametrize(("room", "keep"), [(store.ROOM, 1), (0, 1), (0, 0), (0, 2)])
def test_checkpoints_stay_within_the_promise_at_every_moment(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, keep: int
) -> None:
    monkeypatch.setattr(store, "ROOM", room)
    monkeypatch.setattr("firerl.insight.plan.forecast.ROOM", room)
    scale = measure.Scale(tmp_path / "r" / "checkpoints")
    monkeypatch.setattr(durable, "watcher", scale)
    wanted = {
        "learner": {"name": measure.Heavy, "ballast": 20_000}, "population": {"sizes": [8, 4], "evaluators": 4},
        "steps": 160, "ready_interval": 20, "engine": "inline", "logger": [], "run_dir": str(tmp_path / "r"),
        "checkpoints": {"keep_history": keep},
    }  # fmt: skip
    config = resolve(compose(settings=wanted), measure.Heavy)
    starting.start(config, measure.Heavy)
    monkeypatch.setattr(durable, "watcher", None)
    with closing(Journal.open(tmp_path / "r")) as journal:
        files = journal.last().files
        assert journal.config()["checkpoints"] == {"keep_history": keep}
    one = sum(file.size for file in files.values())
    peaks = [scale.most[name] for name in sorted(scale.most)]
    if keep == 1:
        assert max(peaks) <= (2.2 * one if room == 0 else 2.2 * one + 20 * MB)
    assert max(peaks) <= most_states(config, one // 16) * max(file.size for file in files.values())
    steady = peaks[keep + 2 :]
    assert max(steady) - min(steady) <= 3 * one / 16  # flat, but for the best ever's two files


def test_the_journal_of_many_rounds_is_small_and_soon_open(measure: Any, tmp_path: Path) -> None:
    """1,000 rounds of 50 workers in full; here 40 rounds, at the rate of which 1,000 must fit."""
    found = measure.journal(tmp_path / "r", 40)
    assert found["journal_mb"] * 25 < 50
    assert found["read_seconds"] < 1
    assert found["resume_seconds"] < 1

"""The disk of a run: checkpoints at their fullest, the journal's growth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.base.disk import durable
from firerl.config.compose import compose
from firerl.config.request import resolve
from firerl.insight.plan.forecast import most_states
from firerl.session import start as starting
from firerl.storage import store
from firerl.storage.journal.journal_db import Journal
from firerl.storage.store import Store

MB = 10**6


class Talkative(Quadratic):
    """A quadratic with 12 metrics, as many as V-MPO's."""

    def train(self, steps: int) -> dict[str, float]:
        super().train(steps)
        return {f"metric_{index}": float(self.theta[index]) for index in range(12)}


class Heavy(Quadratic):
    """A quadratic whose weights weigh something."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "ballast": 250_000}

    def __init__(self, settings: Mapping[str, Any], *more: Any):
        super().__init__(settings, *more)
        self.ballast = np.zeros(int(settings["ballast"]))

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {**state, "weights": {**state["weights"], "ballast": self.ballast}}


class Scale:
    """Weighs a folder after every durable action, so that no moment is missed: bytes at most, by generation."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.most: dict[str, int] = {}

    def __call__(self, moment: str, action: str, path: Path) -> None:
        if moment == "before" or not self.folder.exists():
            return
        found = list(self.folder.iterdir())
        key = max((p.name.removeprefix("best-")[:7] for p in found), default="g000000")
        self.most[key] = max(self.most.get(key, 0), sum(p.stat().st_size for p in found))


@pytest.mark.parametrize(("room", "keep"), [(store.ROOM, 1), (0, 1), (0, 0), (0, 2)])
def test_checkpoints_stay_within_the_promise_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, keep: int
) -> None:
    monkeypatch.setattr(store, "ROOM", room)
    monkeypatch.setattr("firerl.insight.plan.forecast.ROOM", room)
    scale = Scale(tmp_path / "r" / "checkpoints")
    monkeypatch.setattr(durable, "watcher", scale)
    wanted = {
        "learner": {"name": Heavy, "ballast": 20_000}, "population": {"sizes": [8, 4], "evaluators": 4},
        "steps": 160, "ready_interval": 20, "engine": "inline", "logger": [], "run_dir": str(tmp_path / "r"),
        "checkpoints": {"keep_history": keep},
    }  # fmt: skip
    config = resolve(compose(settings=wanted), Heavy)
    starting.start(config, Heavy)
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


def test_the_journal_of_many_rounds_is_small_and_soon_open(tmp_path: Path) -> None:
    """1,000 rounds of 50 workers in full; here 40 rounds, at the rate of which 1,000 must fit."""
    run_dir = tmp_path / "r"
    firerl.run(
        Talkative, population=[8, 8, 8, 8], evaluators=18, steps=400,
        ready_interval=50, engine="inline", progress=False, run_dir=run_dir,
    )  # fmt: skip
    assert (run_dir / "journal.sqlite").stat().st_size / MB * 25 < 50
    began = time.perf_counter()
    with closing(Journal.open(run_dir)) as read:
        read.last()
    opened = time.perf_counter()
    assert opened - began < 1
    with Store.open(run_dir):
        assert time.perf_counter() - opened < 1

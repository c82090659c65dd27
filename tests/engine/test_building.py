"""Data that is out of reach while learners are built is the machine's trouble: nothing of it is journalled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.engine.host.host import Host
from firerl.engine.interface import Advance, Create, LearnerSpec, MachineFailure
from firerl.errors import FirerlError, PopulationDied, SettingError
from firerl.session.watching.progress import Round, Silent
from firerl.storage.journal.journal_db import Journal


class Reads(Quadratic):
    """Reads its data when it is built, and fails now and then, so that one is built in the middle of a run."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "data": ".", "raises": "OSError"}

    def __init__(self, settings: Mapping[str, Any], *rest: Any):
        super().__init__({**settings, "dimensions": 3}, *rest)
        if not Path(settings["data"]).exists():
            if settings["raises"] == "OSError":
                Path(settings["data"]).read_bytes()
            raise {"SettingError": SettingError, "RuntimeError": RuntimeError}[settings["raises"]]("no data there")

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**cls.settings, **settings}

    def evaluate(self, seed: int) -> float:
        return math.nan if seed % 12 == 0 else super().evaluate(seed)


class TakesAway(Silent):
    """The data, after the first round."""

    def __init__(self, data: Path):
        self.data = data

    def round_done(self, round: Round) -> None:
        self.data.unlink(missing_ok=True)


SMALL: dict[str, Any] = {
    "population": [4, 3], "evaluators": 2, "steps": 80, "ready_interval": 20, "seed": 1, "logger": "none",
    "algo_settings": {"max_eval_steps": 60, "significance": 0.3}, "engine": "inline", "progress": False,
}  # fmt: skip


@pytest.mark.parametrize("raises", ["OSError", "SettingError", "RuntimeError"])
def test_a_run_goes_on_when_the_data_is_back(tmp_path: Path, raises: str) -> None:
    data = tmp_path / "data"
    data.touch()
    settings = {"data": str(data), "raises": raises}
    whole = firerl.run(Reads, settings=settings, run_dir=tmp_path / "whole", **SMALL).figures["hash"]
    with pytest.raises(FirerlError, match=r"no data there|No such file or directory"):
        firerl.run(Reads, settings=settings, run_dir=tmp_path / "r", observer=TakesAway(data), **SMALL)
    data.touch()
    assert firerl.resume(tmp_path / "r", Reads, progress=False).figures["hash"] == whole


def test_a_run_whose_data_was_not_there_begins_when_it_is(tmp_path: Path) -> None:
    settings = {"data": str(tmp_path / "data")}
    with pytest.raises(FirerlError, match="worker 0 cannot be built: FileNotFoundError: "):
        firerl.run(Reads, settings=settings, run_dir=tmp_path / "r", **SMALL)
    (tmp_path / "data").touch()
    assert firerl.resume(tmp_path / "r", Reads, progress=False).figures["steps"] == 80


class Breaks(Quadratic):
    """All of it raises in its first epoch."""

    def train(self, steps: int) -> dict[str, float]:
        raise FirerlError("20 images are broken")


def test_what_happens_before_the_first_ready_is_not_final(tmp_path: Path) -> None:
    with pytest.raises(PopulationDied, match="a resume tries again"):
        firerl.run(Breaks, run_dir=tmp_path / "r", **SMALL)
    journal = Journal.open(tmp_path / "r")
    assert (journal.last().number, list(journal.decisions())) == (0, [])
    journal.close()
    assert firerl.resume(tmp_path / "r", Quadratic, progress=False).figures["steps"] == 80


class Picky(Quadratic):
    """Whose constructor refuses what another one takes."""

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], *rest: Any):
        if hyperparameters["lr"] > 0.5:
            raise SettingError("lr is too high")
        super().__init__(settings, hyperparameters, *rest)


def test_what_is_wrong_with_one_learner_is_its_own_failure() -> None:
    host = Host(LearnerSpec(Picky, {**Quadratic.settings, "dimensions": 3}), durable=False)
    host.create([Create(0, {"lr": 0.1}, 0), Create(1, {"lr": 0.9}, 1)])
    assert [outcome.failure for outcome in host.advance([Advance(0, 1, 0), Advance(1, 1, 0)])] == [None, "SettingError"]


def test_the_systems_errors_while_training_are_the_learners() -> None:
    class Loses(Quadratic):
        def train(self, steps: int) -> dict[str, float]:
            raise ConnectionResetError("its simulator has gone")

    host = Host(LearnerSpec(Loses, {**Quadratic.settings, "dimensions": 3}), durable=False)
    host.create([Create(0, {"lr": 0.1}, 0)])
    [outcome] = host.advance([Advance(0, 1, 0)])
    assert outcome.failure == "ConnectionResetError"
    assert outcome.told.startswith("ConnectionResetError: its simulator has gone (test_building.py:")


def test_a_learner_that_cannot_reach_its_data_is_not_to_blame(tmp_path: Path) -> None:
    settings = Reads.resolve({"data": str(tmp_path / "data"), "raises": "RuntimeError"})
    host = Host(LearnerSpec(Reads, settings), durable=False)
    (tmp_path / "data").touch()
    host.create([Create(0, {"lr": 0.1}, 0)])
    (tmp_path / "data").unlink()
    with pytest.raises(MachineFailure, match="no learner can be built any more: RuntimeError: no data there"):
        host.create([Create(1, {"lr": 0.1}, 0)])

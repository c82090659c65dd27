"""One worker whose state cannot be saved has failed, and the others go on: the same in every engine and on a resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.errors import SettingError
from firerl.evolution.population import Copy, Fail
from firerl.session.watching.progress import Silent
from firerl.storage.journal.journal_db import Journal


class Unsavable(Quadratic):
    """Of some seeds, from so many steps behind the network on, until it gets another's weights."""

    settings: ClassVar[Mapping[str, Any]] = {
        **Quadratic.settings,
        "dimensions": 3,
        "share": 4,
        "how": "raise",
        "at": 10,
    }

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        own = {name: settings[name] for name in Quadratic.settings}
        super().__init__({**own, "dimensions": 3}, hyperparameters, seed, device)
        self.settings_ = settings
        self.steps, self.sick = 0, seed % settings["share"] == 0

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**cls.settings, **settings}

    def train(self, steps: int) -> dict[str, float]:
        self.steps += steps
        return super().train(steps)

    def state(self) -> dict[str, Any]:
        state = super().state()
        if self.sick and self.steps >= self.settings_["at"]:
            if self.settings_["how"] == "raise":
                raise AssertionError("NaN in optimiser")
            state["weights"]["file"] = object()
        state["weights"]["steps"] = self.steps
        return {**state, "stream": {"own": state["stream"], "sick": self.sick}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.steps = weights["steps"]
        if stream is not None:
            self.sick = stream["sick"]
        super().load(weights, stream and stream["own"])


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


SMALL: dict[str, Any] = {
    "population": [4, 3], "evaluators": 3, "steps": 120, "ready_interval": 20, "seed": 8, "logger": "none",
    "algo_settings": {"max_eval_steps": 60, "significance": 0.3}, "engine": "inline",
}  # fmt: skip


def run(folder: Path, settings: Mapping[str, Any], **more: Any) -> str:
    result = firerl.run(Unsavable, settings=settings, run_dir=folder, **{**SMALL, "progress": False, **more})
    return str(result.figures["hash"])


def decisions(folder: Path) -> list[Any]:
    journal = Journal.open(folder)
    try:
        return list(journal.decisions())
    finally:
        journal.close()


@pytest.mark.parametrize(("how", "at", "kind"), [("raise", 10, "AssertionError"), ("object", 50, "SettingError")])
def test_the_others_go_on(tmp_path: Path, how: str, at: int, kind: str) -> None:
    settings, heard = {"how": how, "at": at}, Heard()
    whole = run(tmp_path / "whole", settings, observer=heard)
    fails = [d for d in decisions(tmp_path / "whole") if isinstance(d, Fail)]
    members = {d.worker for d in fails if d.worker < 7}
    assert {d.failure for d in fails} == {kind}
    assert 0 < len(members) < 7
    assert {d.worker for d in decisions(tmp_path / "whole") if isinstance(d, Copy) and d.fresh} <= members
    assert any(f"{kind}: " in note and str(tmp_path / "whole" / "failures.log") in note for note in heard.notes)
    assert "Traceback" in (tmp_path / "whole" / "failures.log").read_text()
    for steps in (40, 80):
        run(tmp_path / f"{steps}", settings, steps=steps)
        again = firerl.resume(tmp_path / f"{steps}", Unsavable, steps=120, progress=False)
        assert again.figures["hash"] == whole, steps


def test_processes_give_the_same(tmp_path: Path) -> None:
    settings = {"at": 20}
    whole = run(tmp_path / "whole", settings, steps=60)
    assert run(tmp_path / "two", settings, steps=60, engine="local", processes=2) == whole


def test_where_nobody_can_be_saved_the_run_stops_with_the_reason_and_can_go_on(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"the state of worker 0 cannot be saved: AssertionError: NaN in optimiser"):
        run(tmp_path / "r", {"share": 1})
    assert decisions(tmp_path / "r") == []


@pytest.mark.parametrize("share", [3, 1])
def test_where_nobody_waits_too(tmp_path: Path, share: int) -> None:
    settings = {"share": share, "at": 0 if share == 1 else 10}
    if share == 1:
        with pytest.raises(SettingError, match="the state of worker 0 cannot be saved"):
            run(tmp_path / "r", settings, sync=False)
    else:
        run(tmp_path / "r", settings, sync=False)
        assert {d.failure for d in decisions(tmp_path / "r") if isinstance(d, Fail)} == {"AssertionError"}

"""Ctrl-C says what is kept, what will be computed again and what to type; a resume says from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firerl.commands import launch
from firerl.session import standing
from firerl.session.controller import Controller

pytestmark = pytest.mark.unverified("runs are broken off on purpose")
LINE = ["learner=quadratic", "population.sizes=[2]", "population.evaluators=0", "algo=pbt", "eval_interval=10"]
LINE += ["ready_interval=30", "engine=inline", "logger=none"]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Type a line and, at so many evaluation points, Ctrl-C."""

    def after(points: int, *line: str) -> int:
        advance, done = Controller._advance, 0

        def broken_off(self: Controller, *more: Any) -> Any:
            nonlocal done
            done += 1
            if done > points:
                raise KeyboardInterrupt
            return advance(self, *more)

        with monkeypatch.context() as patch:
            patch.setattr(Controller, "_advance", broken_off)
            return launch.main([*line])

    return after


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_before_the_first_generation(interrupted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "r"
    assert interrupted(2, *LINE, "steps=90", f"run_dir={run}") == 130
    text = said(capsys)
    assert "kept: its settings and first population, for the first generation is saved at step 30. All is" in text
    assert text.endswith(f"computed again, 0:00 of work. Go on with: python -m firerl.launch resume={run}")
    assert launch.main([f"resume={run}"]) == 0
    assert "! resumed at step 0, because no generation had been saved: all is computed again" in capsys.readouterr().out


def test_after_a_generation(interrupted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "r"
    assert interrupted(5, *LINE, "steps=90", f"run_dir={run}") == 130
    text = said(capsys)
    assert (
        "interrupted; kept: generation 1 (step 30). What came after it is computed again, 0:00 of work. Go on with: "
        in text
    )
    assert launch.main([f"resume={run}"]) == 0
    assert "resumed     at step 30" in capsys.readouterr().out


def test_before_the_run_has_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("firerl.storage.store.Store.create", stop)
    assert launch.main([*LINE, "steps=90", f"run_dir={tmp_path / 'r'}"]) == 130
    assert said(capsys) == "firerl: interrupted before the run began; nothing is kept"


@pytest.mark.parametrize(("points", "kept"), [(1, "the run as it has ended, generation 1 (step 30), with its results"),
                                              (4, "generation 2 (step 60)")])  # fmt: skip
def test_an_extension_is_gone_on_with_by_the_same_line(
    interrupted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], points: int, kept: str
) -> None:
    run = tmp_path / "r"
    assert launch.main([*LINE, "steps=30", f"run_dir={run}"]) == 0
    before = (run / "result.json").read_bytes(), (run / "best.pt").read_bytes()
    assert interrupted(points, f"resume={run}", "steps=90") == 130
    text = said(capsys)
    assert f"kept: {kept}" in text
    assert text.endswith(f"Go on with: python -m firerl.launch resume={run} steps=90")
    assert before == ((run / "result.json").read_bytes(), (run / "best.pt").read_bytes())
    assert launch.main([f"resume={run}", "steps=90"]) == 0
    assert (run / "result.json").read_bytes() != before[0]


def test_nobody_waits_for_the_words(tmp_path: Path) -> None:
    """A journal that cannot be read is said by whoever goes on."""
    (tmp_path / "journal.sqlite").write_bytes(b"no journal")
    assert standing.kept(tmp_path, 0.0) == "interrupted"
    assert standing.kept(tmp_path / "none", 0.0) == "interrupted before the run began; nothing is kept"

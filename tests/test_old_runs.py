"""Runs of earlier versions (``tests/old_runs``) are read, explained, reported and resumed; others are refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

import firerl
from firerl import explain, journal, launch, report
from firerl.agents.quadratic.learner import Quadratic
from firerl.errors import RunFolderError, SettingError
from firerl.insight.verify import verify_folder
from firerl.learners import completed
from firerl.storage import seal
from firerl.storage.journal_db import Journal
from firerl.storage.journal_file import FORMAT

HERE = Path(__file__).parent / "old_runs"
KEPT = sorted(path for path in HERE.iterdir() if path.name.startswith("format-"))


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a kept run."""
    shutil.copytree(request.param, tmp_path / "old")
    (tmp_path / "old" / "expected.json").unlink()
    return tmp_path / "old"


@pytest.fixture
def expected(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the version that made it said of it."""
    kept = request.node.callspec.params["old"]
    return dict(json.loads((kept / "expected.json").read_text()))


def hashes(run_dir: Path) -> list[tuple[int, int, str]]:
    with closing(Journal.open(run_dir)) as opened:
        return opened.hashes()


def set_meta(run_dir: Path, key: str, value: str | None) -> None:
    """As another version would have written it."""
    with closing(sqlite3.connect(run_dir / "journal.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM meta WHERE key = ?", (key,))
        if value is not None:
            db.execute("INSERT INTO meta VALUES (?, ?)", (key, value))
        if db.execute("SELECT 1 FROM meta WHERE key = 'seal'").fetchone():
            seal.close(db)


def test_a_run_of_this_format_is_kept() -> None:
    """After a change of the format: python tests/old_runs/make.py, and keep the older folders."""
    assert f"format-{FORMAT}" in [path.name for path in KEPT]


def test_it_is_read_and_verified(old: Path, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Journal.open(old)) as opened:
        assert opened.writer() == expected["firerl"]
        assert opened.hashes()[-1][2] == expected["hash"]
        assert sum(len(point.reports) for point in opened.points()) > 100
    assert verify_folder(old).differences == []
    assert explain.main([str(old), "--verify"]) == 0
    assert explain.main([str(old)]) == 0
    told = capsys.readouterr().out
    assert expected["hash"] in told
    assert journal.main([str(old)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("copy ") for line in lines) == expected["evolution"]["copies"]


def test_it_is_reported(old: Path) -> None:
    assert report.main([str(old)]) == 0
    assert (old / "report.html").stat().st_size > 100_000


def test_it_is_resumed(old: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    """What has happened stays; what comes is what this version's own run does, where it computes to the same bit."""
    before = hashes(old)
    result = firerl.resume(old, steps=expected["longer_steps"], engine={"name": "inline"}, progress=False)
    after = hashes(old)
    assert after[: len(before)] == before
    assert after[-1][1] == expected["longer_steps"]
    assert verify_folder(old).differences == []
    assert result.objective is not None
    sys.path.insert(0, str(HERE))
    try:
        import make

        fresh = make.run(tmp_path / "fresh", expected["longer_steps"])
    finally:
        sys.path.remove(str(HERE))
    if before[-1] in hashes(tmp_path / "fresh"):  # the same kind of processor, the same libraries
        assert fresh.figures["hash"] == after[-1][2]


def test_a_finished_one_returns_its_result(old: Path, expected: dict[str, Any]) -> None:
    assert firerl.resume(old, progress=False).objective == expected["objective"]


@pytest.mark.unverified("of a format that does not exist")
@pytest.mark.parametrize(("writer", "who"), [("7.1.0", "firerl 7.1.0 reads it"), (None, "the firerl that wrote it")])
def test_another_format_is_refused_with_the_version_that_reads_it(
    old: Path, writer: str | None, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_meta(old, "format", "99")
    set_meta(old, "firerl", writer)
    with closing(sqlite3.connect(old / "journal.sqlite")) as db:
        db.execute("UPDATE generations SET state = NULL")  # whatever that version keeps
        db.commit()
    commands = [(explain, str(old)), (report, str(old)), (journal, str(old)), (launch, f"resume={old}")]
    for command, argument in commands:
        assert command.main([argument]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"has journal format 99, firerl {firerl.__version__} reads {FORMAT}" in line
        assert who in line


@pytest.mark.unverified("its settings are of a version that does not exist")
def test_settings_of_another_version_are_refused_with_its_name(old: Path) -> None:
    with closing(Journal.open(old)) as opened:
        config = opened.config()
    set_meta(old, "config", json.dumps({**config, "speed_of_light": 1}))
    with pytest.raises(RunFolderError, match="is damaged: unknown setting 'speed_of_light'"):
        firerl.resume(old, steps=400, progress=False)
    set_meta(old, "firerl", "7.1.0")
    with pytest.raises(RunFolderError, match=r"'speed_of_light'.* it was written by firerl 7.1.0, which reads it"):
        firerl.resume(old, steps=400, progress=False)


class Grown(Quadratic):
    """The quadratic of a later version, which has one setting more."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "momentum": 0.5}

    def __init__(self, settings: Mapping[str, Any], *rest: Any):
        assert settings["momentum"] == 0.5
        super().__init__(settings, *rest)


@pytest.mark.unverified("it goes on with another class than its journal says")
def test_a_learner_that_has_a_new_setting_goes_on(old: Path, expected: dict[str, Any]) -> None:
    result = firerl.resume(old, Grown, steps=expected["longer_steps"], engine={"name": "inline"}, progress=False)
    assert result.figures["steps"] == expected["longer_steps"]
    assert not (old / "failures.log").exists()


def test_completed_settings() -> None:
    settings = {"dimensions": 3, "kappa": 1.0, "noise": 0.0}
    assert completed(Quadratic, settings) == settings
    assert completed(Grown, settings) == {**settings, "momentum": 0.5}
    assert completed(Quadratic, {"dimensions": 3}) == {**Quadratic.settings, "dimensions": 3}
    with pytest.raises(SettingError, match=r"learner\.dimensions"):
        completed(Quadratic, {"dimensions": 0})

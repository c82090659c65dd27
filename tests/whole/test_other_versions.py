"""A run that another version of firerl began is refused with its name; a run of a learner that has grown goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.commands import explain, journal, launch, report
from firerl.config.learners import completed
from firerl.errors import RunFolderError, SettingError
from firerl.storage.journal import seal
from firerl.storage.journal.journal_db import Journal
from firerl.storage.journal.journal_file import FORMAT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: copy it before you change it."""
    run_dir = tmp_path_factory.mktemp("made") / "run"
    firerl.run("quadratic", population=[3], evaluators=0, algo="pbt", steps=40, eval_interval=10, ready_interval=20,
               engine="inline", logger="none", progress=False, run_dir=run_dir)  # fmt: skip
    return run_dir


@pytest.fixture
def run_dir(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def set_meta(run_dir: Path, key: str, value: str | None) -> None:
    """As another version would have written it."""
    with closing(sqlite3.connect(run_dir / "journal.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM meta WHERE key = ?", (key,))
        if value is not None:
            db.execute("INSERT INTO meta VALUES (?, ?)", (key, value))
        seal.close(db)


@pytest.mark.unverified("of a format that does not exist")
@pytest.mark.parametrize(("writer", "who"), [("7.1.0", "firerl 7.1.0 reads it"), (None, "the firerl that wrote it")])
def test_another_format_is_refused_with_the_version_that_reads_it(
    run_dir: Path, writer: str | None, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_meta(run_dir, "format", "99")
    set_meta(run_dir, "firerl", writer)
    with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db:
        db.execute("UPDATE generations SET state = NULL")  # whatever that version keeps
        db.commit()
    commands = [(explain, f"{run_dir}"), (report, f"{run_dir}"), (journal, f"{run_dir}"), (launch, f"resume={run_dir}")]
    for command, argument in commands:
        assert command.main([argument]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"has journal format 99, firerl {firerl.__version__} reads {FORMAT}" in line
        assert who in line


@pytest.mark.unverified("its settings are of a version that does not exist")
def test_settings_of_another_version_are_refused_with_its_name(run_dir: Path) -> None:
    with closing(Journal.open(run_dir)) as opened:
        config = opened.config()
    set_meta(run_dir, "config", json.dumps({**config, "speed_of_light": 1}))
    with pytest.raises(RunFolderError, match="is damaged: unknown setting 'speed_of_light'"):
        firerl.resume(run_dir, steps=80, progress=False)
    set_meta(run_dir, "firerl", "7.1.0")
    with pytest.raises(RunFolderError, match=r"'speed_of_light'.* it was written by firerl 7.1.0, which reads it"):
        firerl.resume(run_dir, steps=80, progress=False)


class Grown(Quadratic):
    """The quadratic after its author gave it one setting more."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "momentum": 0.5}

    def __init__(self, settings: Mapping[str, Any], *rest: Any):
        assert settings["momentum"] == 0.5
        super().__init__(settings, *rest)


@pytest.mark.unverified("it goes on with another class than its journal says")
def test_a_learner_that_has_a_new_setting_goes_on(run_dir: Path) -> None:
    result = firerl.resume(run_dir, Grown, steps=80, engine={"name": "inline"}, progress=False)
    assert result.figures["steps"] == 80
    assert not (run_dir / "failures.log").exists()


def test_completed_settings() -> None:
    settings = {"dimensions": 3, "kappa": 1.0, "noise": 0.0}
    assert completed(Quadratic, settings) == settings
    assert completed(Grown, settings) == {**settings, "momentum": 0.5}
    assert completed(Quadratic, {"dimensions": 3}) == {**Quadratic.settings, "dimensions": 3}
    with pytest.raises(SettingError, match=r"learner\.dimensions"):
        completed(Quadratic, {"dimensions": 0})

"""What is no run, or no place for a page, is refused in one line."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from journals_by_hand import config_for, fire_points, make_run

from firerl.base.disk import files
from firerl.commands import report

pytestmark = pytest.mark.unverified("journals made by hand")


def damage(run_dir: Path) -> None:
    (run_dir / "journal.sqlite").write_bytes(b"no database at all" * 100)


def foreign(run_dir: Path) -> None:
    (run_dir / "journal.sqlite").unlink()
    with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db:
        db.execute("CREATE TABLE mine (a)")


def remove(run_dir: Path) -> None:
    (run_dir / "journal.sqlite").unlink()


def change(statement: str) -> Callable[[Path], None]:
    """A change of the journal itself."""

    def act(run_dir: Path) -> None:
        with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db, db:
            db.execute(statement)

    return act


BAD = {
    "nothing": (shutil.rmtree, "does not exist"),
    "no journal": (remove, "holds no run"),
    "no database": (damage, "damaged or not a journal of firerl"),
    "foreign": (foreign, "not a journal of firerl"),
    "later format": (change("UPDATE meta SET value = '99' WHERE key = 'format'"), "journal format 99"),
    "torn row": (change("UPDATE decisions SET data = '{'"), "is damaged"),
    "unknown worker": (change("UPDATE reports SET worker = 77 WHERE worker = 0"), "is damaged"),
    "no objective": (
        change("UPDATE reports SET objective = '\"high\"' WHERE worker = 0"),
        "objective is 'high'",
    ),
    "other hyperparameters": (change("UPDATE decisions SET data = replace(data, '\"lr\"', '\"rl\"')"), "lr=None"),
    "no settings": (change("DELETE FROM meta WHERE key = 'config'"), "is damaged"),
    "other settings": (change("UPDATE meta SET value = '{\"task\": 1}' WHERE key = 'config'"), "is damaged"),
    "no table": (change("DROP TABLE timings"), "is damaged"),
}


@pytest.mark.parametrize(("spoil", "says"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("watch", [[], ["--watch"]], ids=["once", "watch"])
def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], says: str, watch: list[str]
) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    spoil(tmp_path / "r")
    assert report.main([str(tmp_path / "r"), *watch]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    assert not list(tmp_path.rglob("report.html*"))


def test_a_page_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    for out, says in ((tmp_path / "none" / "x.html", "no folder"), (tmp_path, "is a folder")):
        assert report.main([str(tmp_path / "r"), "--out", str(out)]) == 2
        assert says in capsys.readouterr().err
    old = tmp_path / "old.html"
    old.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert report.main([str(tmp_path / "r"), "--out", str(old)]) == 2
    assert capsys.readouterr().err == f"firerl: cannot write {old}: No space left on device\n"
    assert (old.read_text(), list(tmp_path.glob("*.tmp"))) == ("old", [])

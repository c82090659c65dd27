"""Outputs that a person asks for: what is refused beforehand, and what a failure says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firerl.base.disk import files
from firerl.errors import FirerlError, RunFolderError, SettingError
from firerl.storage import checkpoint


def test_only_an_ordinary_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_text("old")
    (tmp_path / "link.png").symlink_to(tmp_path / "file.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("link", "dangling", "pipe"):
        with pytest.raises(SettingError, match=f"--plot .*{name}.png: is no ordinary file"):
            files.check_output("--plot", tmp_path / f"{name}.png", files.PICTURES)
    files.check_output("--plot", tmp_path / "file.png", files.PICTURES)
    files.check_output("--plot", tmp_path / "new.PDF", files.PICTURES)
    files.check_output("--out", Path("new.html"))


def test_what_cannot_be_an_output_is_refused(tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "x.png", f"there is no folder {tmp_path / 'none'}"),
    ):
        with pytest.raises(SettingError, match=f"^--out .*{says}"):
            files.check_output("--out", path)
    with pytest.raises(SettingError, match=r"must end with one of \.png, \.svg, \.pdf"):
        files.check_output("--plot", tmp_path / "x.bmp", files.PICTURES)


def test_a_failure_has_no_number(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x"
    with pytest.raises(FirerlError) as told:
        files.write_output(path, b"")
    assert str(told.value) == f"cannot write {path}: No such file or directory"
    with pytest.raises(RunFolderError) as told:
        checkpoint.read(tmp_path)
    assert str(told.value) == f"checkpoint {tmp_path} cannot be read: Is a directory"


def test_names_may_wait_for_one_sync_of_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("firerl.base.disk.durable.sync", synced.append)
    files.write(tmp_path / "a", b"1", sync=False)
    assert not synced
    files.write(tmp_path / "b", b"2")
    assert synced == [tmp_path]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]

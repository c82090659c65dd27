"""Which files of a folder are taken, in which order, and what is said of the others."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from firerl.envs.images.files import listing
from firerl.envs.images.files.listing import Unused, scan, shown
from firerl.errors import SettingError


def filled(root: Path, *more: str) -> Path:
    """Two classes with an image each; ``more`` are files of train/a."""
    for part in ("train", "val"):
        for name in ("a", "b"):
            (root / part / name).mkdir(parents=True)
            (root / part / name / "0.png").touch()
    for path in more:
        whole = root / "train" / "a" / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.touch()
    return root


def taken(root: Path) -> list[str]:
    """Of train/a."""
    train = scan(str(root)).train
    return [path.removeprefix("train/a/") for path, label in zip(train.paths, train.labels, strict=True) if label == 0]


def left(root: Path) -> dict[str, str]:
    return {one.path.removeprefix("train/a/"): one.why for one in scan(str(root)).unused.first}


def test_all_kinds_and_folders_in_folders_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    more = ["B.TIF", "a.tiff", "c.PPM", "d.pgm", "e.jpe", "sub/deep/1.png", "sub/2.JPG", "z.WebP", "ä.gif"]
    filled(tmp_path, *more)
    assert taken(tmp_path) == sorted(["0.png", *more], key=os.fsencode)
    assert left(tmp_path) == {}


def test_what_is_not_taken_is_counted_and_says_why(tmp_path: Path) -> None:
    filled(tmp_path, "._0.png", ".cache/1.png", "notes.txt", "no_suffix")
    place = tmp_path / "train" / "a"
    os.mkfifo(place / "pipe.jpg")
    (place / "gone.jpg").symlink_to("nowhere")
    (place / "circle.jpg").symlink_to("circle.jpg")
    (place / "folder.jpg").mkdir()  # with nothing in it
    (place / "up").symlink_to("..")
    (tmp_path / "train" / "read.me").touch()
    (tmp_path / "val" / ".DS_Store").touch()
    assert taken(tmp_path) == ["0.png"]
    assert left(tmp_path) == {
        "._0.png": "hidden",
        ".cache": "hidden",
        "notes.txt": "no image by its name",
        "no_suffix": "no image by its name",
        "pipe.jpg": "no ordinary file",
        "gone.jpg": "a link to nothing",
        "circle.jpg": "a link in a circle",
        "up": "a link to a folder that it lies in",
        "train/read.me": "in no folder of a class",
        "val/.DS_Store": "hidden",
    }


def test_a_file_that_nobody_may_read_is_left_out_and_one_on_a_bad_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, "1.png", "2.png")
    monkeypatch.setattr(listing.os, "access", lambda path, _: not path.endswith("1.png"))
    real, number = os.open, errno.EACCES

    def opened(path: Any, *rest: Any) -> int:
        if str(path).endswith("1.png"):
            raise OSError(number, os.strerror(number), path)
        return real(path, *rest)

    monkeypatch.setattr(listing.os, "open", opened)
    assert taken(tmp_path) == ["0.png", "2.png"]
    assert left(tmp_path) == {"1.png": "nobody may read it"}
    number = errno.EIO
    with pytest.raises(SettingError, match=r"1\.png cannot be read: Input/output error"):
        scan(str(tmp_path))
    monkeypatch.undo()


def test_links_are_followed_but_in_no_circle(tmp_path: Path) -> None:
    filled(tmp_path / "images")
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
    (tmp_path / "x" / "to_y").symlink_to(tmp_path / "y")
    (tmp_path / "y" / "to_x").symlink_to(tmp_path / "x")
    (tmp_path / "images" / "train" / "a" / "to_x").symlink_to(tmp_path / "x")
    (tmp_path / "images" / "train" / "a" / "file.png").symlink_to(tmp_path / "x" / "x.png")
    assert taken(tmp_path / "images") == ["0.png", "file.png", "to_x/to_y/y.png", "to_x/x.png"]
    assert left(tmp_path / "images") == {"to_x/to_y/to_x": "a link to a folder that it lies in"}


def test_names_that_are_no_text_are_taken_and_shown_on_one_line(tmp_path: Path) -> None:
    filled(tmp_path, "new\nline.png", "esc\x1b[2J.png")
    try:
        (tmp_path / "train" / "a" / os.fsdecode(b"caf\xe9.png")).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    assert set(taken(tmp_path)) == {"0.png", "new\nline.png", "esc\x1b[2J.png", "caf\udce9.png"}
    assert shown("caf\udce9.png") == r"caf\xe9.png"
    assert shown("new\nline.png") == r"new\nline.png"
    assert shown("esc\x1b[2J.png") == r"esc\x1b[2J.png"
    assert shown("Bär ☃.png") == "Bär ☃.png"


def test_the_checksum_is_that_of_the_names_alone(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", "x/1.png"), filled(tmp_path / "other", "x/1.png")
    (other / "train" / "a" / "0.png").write_text("something else")
    assert scan(str(one)).names == scan(str(other)).names
    (other / "train" / "a" / "notes.txt").touch()  # is not used
    assert scan(str(one)).names == scan(str(other)).names
    (other / "train" / "a" / "x" / "2.png").touch()
    assert scan(str(one)).names != scan(str(other)).names


def test_of_very_many_unused_files_only_the_number_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LISTED", 2)
    filled(tmp_path, "1.txt", "2.txt", "3.txt")
    unused = scan(str(tmp_path)).unused
    assert unused.count == 3
    assert unused.first == [Unused(f"train/a/{i}.txt", "no image by its name") for i in (1, 2)]


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    real = os.scandir

    def failing(path: Any) -> Any:
        if str(path).endswith("val/b"):
            raise OSError(5, "Input/output error", path)
        return real(path)

    monkeypatch.setattr(listing.os, "scandir", failing)
    with pytest.raises(SettingError, match="val/b cannot be read: Input/output error"):
        scan(str(tmp_path))
    monkeypatch.undo()

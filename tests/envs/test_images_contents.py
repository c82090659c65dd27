"""A file that was replaced is noticed, by its size or by what is in it, and named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_images_listing import filled

from firerl.envs.images.files import contents
from firerl.envs.images.files.listing import scan


def found(root: Path) -> list[contents.Entry]:
    return contents.entries(scan(str(root)))


def told(before: list[contents.Entry], now: list[contents.Entry]) -> str:
    """As a resume says it: what is kept goes through JSON."""
    return contents.difference(json.loads(json.dumps(contents.kept(before))), now)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "1.png").write_bytes(b"longer than it was"), "train/a/1.png is another file"),
        (lambda root: (root / "1.png").write_bytes(b"two"), "train/a/1.png is another file"),  # of the same size
        (lambda root: (root / "1.png").unlink(), "train/a/1.png is gone"),
        (lambda root: (root / "new.png").touch(), "train/a/new.png is new"),
        (lambda root: (root / "1.png").rename(root / "7.png"), "train/a/1.png is gone, train/a/7.png is new"),
        (lambda root: os.utime(root / "1.png", (5, 5)), ""),  # a copy of the data has other times
    ],
)
def test_what_has_changed_is_named(tmp_path: Path, change: Any, words: str) -> None:
    filled(tmp_path)
    place = tmp_path / "train" / "a"
    (place / "1.png").write_bytes(b"one")
    before = found(tmp_path)
    change(place)
    now = found(tmp_path)
    assert told(before, now) == words
    same = scan(str(tmp_path)).paths == tuple(entry.path for entry in before)
    assert (same and contents.checksum(before) == contents.checksum(now)) == (words == "")


def test_the_middle_of_a_long_file_is_not_read_but_its_ends_are(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "val" / "b" / "0.png"
    whole = bytearray(3 * contents.END)
    sums = []
    for at in (None, 0, 2 * contents.END, len(whole) - 1, 3 * contents.END // 2):
        changed = bytearray(whole)
        if at is not None:
            changed[at] = 1
        path.write_bytes(changed)
        sums.append(contents.checksum(found(tmp_path)))
    assert len(set(sums)) == 4
    assert sums[0] == sums[4]


def test_of_a_large_set_a_sample_is_read_and_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SAMPLE", 4)
    monkeypatch.setattr(contents, "MOST_NAMED", 10)
    filled(tmp_path, *(f"{i}.png" for i in range(1, 40)))
    before = found(tmp_path)
    assert 0 < sum(bool(entry.digest) for entry in before) < 20
    assert [entry.path for entry in before if entry.digest] == [e.path for e in found(tmp_path) if e.digest]
    (tmp_path / "train" / "a" / "7.png").write_bytes(b"not empty")
    now = found(tmp_path)
    assert contents.checksum(before) != contents.checksum(now)
    assert told(before, now) == "train/a/ holds other files"


@pytest.mark.parametrize("kept", [None, 3, [], {}, {"files": 3}, {"files": [3, [1], ["a", 2, 3, 4]]}, {"folders": 1}])
def test_what_is_kept_may_be_anybodys(tmp_path: Path, kept: Any) -> None:
    assert isinstance(contents.difference(kept, found(filled(tmp_path))), str)

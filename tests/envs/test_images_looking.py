"""The look at all files before a run, what is said of it, and what a run folder keeps."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import imagenet_for_tests
import pytest

from firerl.base.disk import unused_files
from firerl.envs import images
from firerl.envs.images.files import looking
from firerl.errors import MachineError, SettingError
from firerl.learner import Survey
from firerl.session import data_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return imagenet_for_tests.make(tmp_path / "images")


def looked(root: Path, say: Any = lambda text: None, **settings: Any) -> Survey:
    data = images.check({"name": "imagenet", "root": str(root), "size": 16, "objective": 24, **settings})
    found = images.survey(data, say)
    assert found is not None
    return found


BROKEN = {
    "train/n05/readme.txt: no image by its name",
    "train/n03/text.JPEG: it is no image",
    "val/n03/text.JPEG: it is no image",
}


def test_every_file_that_is_not_used_is_told_of(root: Path) -> None:
    found = looked(root)
    assert found.unused_count == len(found.unused) == 5
    assert set(found.unused) > BROKEN
    assert sum("cut.JPEG" in line for line in found.unused) == 2
    (root / "train" / "n05" / "readme.txt").unlink()
    assert looked(root).unused_count == 4


def test_the_settings_take_true_as_yaml_has_it(root: Path) -> None:
    assert looked(root, check=True).unused_count == 5
    assert looked(root, check=False).unused_count == looked(root, check="false").unused_count == 1
    with pytest.raises(SettingError, match=r"data\.check.*false, sample, true"):
        looked(root, check="all")


def test_a_sample_is_a_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(looking, "_looked", lambda listing, paths, *_: seen.extend(paths) or [""] * len(paths))
    monkeypatch.setattr(looking, "SAMPLE", 40)
    looked(root, check="sample")
    assert 10 < len(seen) < 100
    again, seen[:] = list(seen), []
    looked(root, check="sample")
    assert seen == again


def test_readers_of_their_own_find_the_same_and_say_how_far_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = looked(root)
    monkeypatch.setattr(looking, "FEW", 0)
    monkeypatch.setattr(looking, "CHUNK", 20)
    monkeypatch.setattr(looking, "TELL", 0.0)
    said: list[str] = []
    assert looked(root, said.append) == here
    assert said[-1].startswith("looked at 54 of 54 files of data.root=")


def test_more_than_the_limit_is_refused_before_the_run(root: Path) -> None:
    with pytest.raises(SettingError) as caught:
        looked(root, max_broken=1)
    text = str(caught.value)
    assert text.startswith("data.max_broken=1: 2 images of data.root=")
    assert "train/n03/text.JPEG: it is no image" in text
    assert looked(root, max_broken=2).unused_count == 5


def test_a_disk_that_fails_is_the_machines_trouble(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("firerl.envs.images.files.decoding._check", failing)
    with pytest.raises(MachineError, match="Input/output error"):
        looked(root)


# ---- in the run folder


def test_ten_are_named_and_all_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Survey(1234, [f"a/{i}.txt: no image by its name" for i in range(12)], {"files": []})
    data_files.say_unused(found)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "firerl: 1,234 files of the data are not used:"
    assert lines[1:11] == [f"  a/{i}.txt: no image by its name" for i in range(10)]
    assert lines[11:] == ["  and 1,224 more: all are in unused_files.txt of the run folder"]
    data_files.write(tmp_path, found)
    kept = (tmp_path / "unused_files.txt").read_text().splitlines()
    assert len(kept) == 13
    assert kept[-1] == "and 1,222 more"
    assert data_files.read(tmp_path) == {"files": []}


def test_where_all_is_used_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_files.say_unused(Survey(0, []))
    data_files.write(tmp_path, Survey(0, []))
    assert capsys.readouterr().err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["data_files.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[" * 100_000])
def test_what_the_folder_keeps_may_be_missing_or_damaged(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "data_files.json").write_bytes(content)
    assert data_files.read(tmp_path) is None


def meet(barrier: Any) -> None:
    barrier.wait(30)
    for i in range(20):
        unused_files.say_once(f"{i}.png", "it is no image")


def test_an_image_is_named_once_by_many_processes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "unused_files.txt").write_text("3.png: known since the run began\n")
    context = multiprocessing.get_context("fork")
    with unused_files.listed_in(tmp_path):
        barrier = context.Barrier(3)
        processes = [context.Process(target=meet, args=(barrier,)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(
        f"firerl: {i}.png cannot be read and is left out: it is no image" for i in range(20) if i != 3
    )
    assert len((tmp_path / "unused_files.txt").read_text().splitlines()) == 20


def test_without_a_list_a_file_is_named_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with unused_files.listed_in(tmp_path / "not here"):
        unused_files.say_once("a.png", "it is empty")
    unused_files.say_once("b.png", "it is empty")
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_the_list_is_no_way_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "unused_files.txt").symlink_to("other")
    with unused_files.listed_in(tmp_path):
        unused_files.say_once("a.png", "it is empty")
    assert (tmp_path / "other").read_text() == ""

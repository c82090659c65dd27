"""What can be filmed, with which renderer, and as which kind of file; whole films are in test_play.py."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firerl import film
from firerl.errors import FirerlError, SettingError


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FirerlError, match="imageio and imageio_ffmpeg: pip install"):
        film.check(tmp_path / "a.mp4")


def test_the_renderer_is_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        tried.append(env["MUJOCO_GL"])
        return subprocess.CompletedProcess(command, int(env["MUJOCO_GL"] == "egl"))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    film.choose_renderer()
    assert (tried, os.environ.pop("MUJOCO_GL")) == (["egl", "osmesa"], "osmesa")
    monkeypatch.setenv("DISPLAY", ":0")
    film.choose_renderer()
    assert len(tried) == 2
    assert "MUJOCO_GL" not in os.environ


@pytest.mark.parametrize("suffix", film.PICTURES)
def test_a_moving_picture_is_small_and_as_fast_as_the_film(tmp_path: Path, suffix: str) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / f"a{suffix}"
    film.check(path)
    with film._writer(path, fps=67) as writer:
        for number in range(30):
            writer.append_data(np.full((480, 640, 3), 8 * number, dtype=np.uint8))
        assert not path.exists()
    with image.open(path) as picture:
        assert picture.n_frames == 10  # every third: 67 frames a second become 22
        assert picture.size == (240, 180)
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == pytest.approx(45, abs=5)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_name_says_the_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"must end in \.mp4, \.webp or \.gif"):
        film.check(tmp_path / "a.avi")

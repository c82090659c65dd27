"""What can be filmed, with which renderer, and as which kind of file; whole films are in test_play.py."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from firerl.errors import FirerlError, SettingError
from firerl.winner import film


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
def test_a_moving_picture_is_small_and_as_fast_as_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    image = pytest.importorskip("PIL.Image")
    path, drawn = tmp_path / f"a{suffix}", []

    def render() -> np.ndarray:
        drawn.append(len(drawn))
        return np.full((480, 640, 3), 20 * len(drawn), dtype=np.uint8)

    steps = iter(range(1, 31))
    env = SimpleNamespace(
        reset=lambda seed: (np.zeros(1), {}),
        step=lambda action: (np.zeros(1), 1.0, next(steps) == 30, False, {}),
        render=render,
        close=lambda: None,
        metadata={"render_fps": 67},
    )
    monkeypatch.setattr(film, "_rendering", lambda name, kwargs: env)
    learner = SimpleNamespace(act=lambda observations, mean: observations)
    assert list(film.film(learner, {"env": {"name": "any"}}, 1, 0, path)) == [(30.0, 30)]
    with image.open(path) as picture:
        assert picture.n_frames == len(drawn) == 6  # every sixth of 67 a second, and the first
        assert picture.size == (240, 180)
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == pytest.approx(90, abs=5)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("camera_id", "follows"), [(-1, True), (0, False)])
def test_the_camera_follows_the_body_unless_one_was_asked_for(camera_id: int, follows: bool) -> None:
    mujoco = pytest.importorskip("mujoco")
    camera = mujoco.MjvCamera()
    viewer = SimpleNamespace(cam=camera)
    renderer = SimpleNamespace(default_cam_config={"trackbodyid": 3}, viewer=viewer, camera_id=camera_id)
    film._follow(SimpleNamespace(unwrapped=SimpleNamespace(mujoco_renderer=renderer)))
    assert (camera.type == mujoco.mjtCamera.mjCAMERA_TRACKING) is follows
    assert (renderer.camera_id, camera.trackbodyid) == ((None, 3) if follows else (camera_id, -1))
    film._follow(SimpleNamespace(unwrapped=SimpleNamespace()))  # no MuJoCo task


def test_the_name_says_the_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"must end in \.mp4, \.webp or \.gif"):
        film.check(tmp_path / "a.avi")

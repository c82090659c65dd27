"""Films of episodes: an mp4, or a small moving picture for a page."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.base.disk import durable
from firerl.errors import FirerlError, SettingError, reason

if TYPE_CHECKING:
    import numpy as np

PICTURES = (".webp", ".gif")
PICTURE_SIDE = 240  # pixels, of a moving picture
PICTURE_FPS = 12  # with the side, what keeps a quarter of a minute below 2 MB


def film(learner: Any, settings: Mapping[str, Any], count: int, seed: int, video: Path) -> Iterator[tuple[float, int]]:
    """(return, length) of ``count`` episodes, played and filmed one after another.

    The file appears whole, at the end, or not at all.
    """
    from firerl import envs

    given = settings.get("env")
    if not callable(getattr(learner, "act", None)) or not isinstance(given, Mapping):
        raise FirerlError(f"learner {type(learner).__name__} cannot be filmed: it needs act(observations, mean) and "
                          "the setting env")  # fmt: skip
    env = _rendering(given["name"], given.get("kwargs") or {})
    fps = int(env.metadata.get("render_fps", 30))
    every = max(1, round(fps / PICTURE_FPS)) if video.suffix in PICTURES else 1
    with closing(env), _writer(video, fps / every) as writer:
        for episode_seed in envs.env_seeds(seed, count):
            yield _film_episode(env, learner, episode_seed, writer, every)


def _film_episode(env: Any, learner: Any, seed: int | None, writer: Any, every: int) -> tuple[float, int]:
    """A picture at the start and one every so many steps."""
    observation, _ = env.reset(seed=seed)
    total, length, ended = 0.0, 0, False
    writer.append_data(env.render())
    while not ended:
        batch: np.ndarray = observation[None]  # [1, O]
        observation, reward, terminated, truncated, _ = env.step(learner.act(batch, True)[0])
        total, length, ended = total + reward, length + 1, terminated or truncated
        if length % every == 0:
            writer.append_data(env.render())
    return total, length


def _rendering(name: str, kwargs: Mapping[str, Any]) -> Any:
    """The environment, once it has given a first picture. Raises FirerlError if it cannot."""
    from firerl import envs

    env = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GLFW's about the display: the error says it in one line
            env = envs.single(name, kwargs, render_mode="rgb_array")
            env.reset(seed=0)
            if env.render() is None:
                raise RuntimeError("render() gives no picture")
            _follow(env)
    except Exception as error:
        with suppress(Exception):
            if env is not None:
                env.close()
        raise _no_picture(name, error) from error
    return env


def _follow(env: Any) -> None:
    """Let the camera go with the body that a MuJoCo task names, unless a camera was asked for.

    Gymnasium's own stands still, and bodies walk out of the picture.
    """
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    body = (getattr(renderer, "default_cam_config", None) or {}).get("trackbodyid")
    camera = getattr(getattr(renderer, "viewer", None), "cam", None)
    if renderer is None or camera is None or body is None or renderer.camera_id != -1:
        return
    import mujoco

    camera.type, camera.trackbodyid = mujoco.mjtCamera.mjCAMERA_TRACKING, body
    renderer.camera_id = None  # -1 would make it a free camera again in every picture


def _no_picture(name: str, error: Exception) -> FirerlError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    help_text = ""
    if headless() and "MUJOCO_GL" not in os.environ:
        help_text = "; this machine has no display, and neither EGL (libegl1) nor OSMesa (libosmesa6) works on it"
    return FirerlError(f"{name} cannot be rendered: {reason}{help_text}")


@contextmanager
def _writer(video: Path, fps: float) -> Iterator[Any]:
    """Write beside the file and rename at the end."""
    temporary = video.with_name(f".{video.stem}.{os.getpid()}{video.suffix}")
    try:
        # closing(), since imageio's own context manager leaves ffmpeg running after an error.
        with closing(_Picture(temporary, fps) if video.suffix in PICTURES else _mp4(temporary, fps)) as writer:
            yield writer
        durable.rename(temporary, video)
    except OSError as error:
        raise FirerlError(f"--video {video} cannot be written: {reason(error)}") from error
    finally:
        with suppress(OSError):
            durable.remove(temporary)


def _mp4(path: Path, fps: float) -> Any:
    import imageio

    # Even sides are all that the codec asks for; imageio's own default would stretch to multiples of 16.
    return imageio.get_writer(path, fps=fps, macro_block_size=2)


class _Picture:
    """A small moving picture; it is written when it is closed."""

    def __init__(self, path: Path, fps: float):
        self.path, self.milliseconds, self.frames = path, round(1000 / fps), list[Any]()

    def append_data(self, frame: np.ndarray) -> None:
        """One frame [H, W, 3]."""
        from PIL import Image

        picture = Image.fromarray(frame)
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        self.frames.append(picture)

    def close(self) -> None:
        if self.frames:
            first, *rest = self.frames
            shared = {"save_all": True, "append_images": rest, "duration": self.milliseconds, "loop": 0}
            first.save(self.path, **shared, **({"quality": 40, "method": 6} if self.path.suffix == ".webp" else {}))


def check(video: Path) -> None:
    """Raise SettingError or FirerlError where no film could be written, before anything is played."""
    if video.suffix not in (".mp4", *PICTURES):
        raise SettingError(f"--video {video}: the name must end in .mp4, {' or '.join(PICTURES)}")
    if not video.absolute().parent.is_dir():
        raise SettingError(f"--video {video}: there is no folder {video.parent}")
    needed = ("PIL",) if video.suffix in PICTURES else ("imageio", "imageio_ffmpeg")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise FirerlError(f"--video needs {' and '.join(missing)}: pip install 'firerl[video]'")
    if video.suffix == ".mp4":
        _check_ffmpeg()


def _check_ffmpeg() -> None:
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise FirerlError("--video needs the program ffmpeg, and there is none") from error


def headless() -> bool:
    """Whether there is no display to render on."""
    return sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def choose_renderer() -> None:
    """Set MUJOCO_GL to the first of EGL and OSMesa that works, on a headless machine where nobody has chosen."""
    if not headless() or "MUJOCO_GL" in os.environ:
        return
    probe = "import mujoco; context = mujoco.GLContext(16, 16); context.make_current(); context.free()"
    for backend in ("egl", "osmesa"):
        # In a process of its own: a backend that fails half-way may take the process with it.
        tried = subprocess.run(
            [sys.executable, "-c", probe], env={**os.environ, "MUJOCO_GL": backend}, capture_output=True, check=False
        )
        if tried.returncode == 0:
            os.environ["MUJOCO_GL"] = backend
            return

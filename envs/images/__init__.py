"""Image data sets behind one door: ``check(data)`` completes the settings, ``load(data)`` serves the images.

``data`` is ``{"name": "digits" | "shapes" | "imagenet", <the set's own settings>}``.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.base.settings import build, plain, setting, show
from firerl.envs.images.files import folder
from firerl.envs.images.files.decoding import Piece, read
from firerl.envs.images.files.folder import FolderData, ImageNetSettings
from firerl.envs.images.image_data import Batch, ImageData, Shape
from firerl.envs.images.order import Order
from firerl.errors import unknown
from firerl.learner import Survey

__all__ = [
    "ASIDE", "Batch", "ImageData", "Order", "Shape", "check", "check_again", "defaults", "load", "pixels_of", "survey",
]  # fmt: skip


@dataclass(frozen=True)
class DigitsSettings:
    """``data=digits data.<name>=...``"""

    shift: int = setting(1, "training images are moved by up to this, each way", "pixels", minimum=0, maximum=8)


@dataclass(frozen=True)
class ShapesSettings:
    """``data=shapes data.<name>=...``"""

    seed: int = setting(0, "decides every pixel", minimum=0, maximum=2**32 - 1)
    shift: int = setting(0, "training images are moved by up to this, each way", "pixels", minimum=0, maximum=8)


ASIDE = folder.ASIDE  # settings that change nothing of what a learner sees
SETTINGS: dict[str, type] = {"digits": DigitsSettings, "shapes": ShapesSettings, "imagenet": ImageNetSettings}


def check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings of a data set, its name among them. Raises SettingError on what cannot work."""
    rest = dict(data)
    name = rest.pop("name", None)
    if name not in SETTINGS:
        raise unknown("data set in data.name", show(name), SETTINGS)
    if isinstance(rest.get("check"), bool):  # as YAML reads it
        rest["check"] = show(rest["check"])
    settings: Any = build(SETTINGS[name], rest, "data.")
    if isinstance(settings, ImageNetSettings):
        settings = replace(settings, **folder.check(settings))
    return {"name": name, **plain(settings)}


def pixels_of(path: str | os.PathLike[str], size: int, white: float | None = None) -> NDArray[np.uint8]:
    """What a network of ``data=imagenet`` sees of a file when it is validated: the middle, uint8 [3, size, size].

    Raises OSError where the file is not there, ValueError where it is no image.
    """
    out = np.empty((1, size, size, 3), np.uint8)
    [why] = read(Piece([os.fspath(path)], None, size, draft=False, white=white), out)
    if why:
        raise ValueError(f"{os.fspath(path)} cannot be read: {why}")
    return out[0].transpose(2, 0, 1)


def defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a data set where nobody has changed them."""
    declared = fields(SETTINGS[data["name"]])
    return {one.name: one.default for one in declared if one.default is not MISSING}


def survey(data: Mapping[str, Any], say: Callable[[str], None]) -> Survey | None:
    """Look at the files of complete settings before a run; None: a set without files. Raises as ``folder.survey``."""
    settings = _settings(data)
    return folder.survey(settings, say) if isinstance(settings, ImageNetSettings) else None


def check_again(data: Mapping[str, Any], contents: Any) -> None:
    """Raise SettingError where the files are not those that a run began with; ``contents`` are its survey's."""
    settings = _settings(data)
    if isinstance(settings, ImageNetSettings):
        folder.check(settings, contents)


def _settings(data: Mapping[str, Any]) -> Any:
    rest = {name: value for name, value in data.items() if name != "name"}
    return build(SETTINGS[data["name"]], rest, "data.")


def load(data: Mapping[str, Any]) -> ImageData:
    """The data set of complete settings, one for all learners of a process."""
    return _load(json.dumps(data, sort_keys=True))


@functools.lru_cache(maxsize=2)
def _load(data: str) -> ImageData:
    settings = _settings(json.loads(data))
    if isinstance(settings, ImageNetSettings):
        return FolderData(settings)
    if isinstance(settings, ShapesSettings):
        from firerl.envs.images import shapes

        return shapes.load(settings.seed, settings.shift)
    from firerl.envs.images import digits

    return digits.load(settings.shift)

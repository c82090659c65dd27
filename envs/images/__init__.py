"""Image data sets behind one door: ``check(data)`` completes the settings, ``load(data)`` serves the images.

``data`` is ``{"name": "digits" | "shapes" | "imagenet", <the set's own settings>}``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from firerl.envs.images.base import Batch, ImageData, Shape
from firerl.envs.images.folder import FolderData, ImageNetSettings
from firerl.envs.images.folder import check as check_folder
from firerl.envs.images.order import Order
from firerl.errors import unknown
from firerl.settings import build, plain, setting, show

__all__ = ["Batch", "ImageData", "Order", "Shape", "check", "load"]


@dataclass(frozen=True)
class DigitsSettings:
    """``data=digits data.<name>=...``"""

    shift: int = setting(1, "training images are moved by up to this, each way", "pixels", minimum=0, maximum=8)


@dataclass(frozen=True)
class ShapesSettings:
    """``data=shapes data.<name>=...``"""

    seed: int = setting(0, "decides every pixel", minimum=0, maximum=2**32 - 1)
    shift: int = setting(0, "training images are moved by up to this, each way", "pixels", minimum=0, maximum=8)


SETTINGS: dict[str, type] = {"digits": DigitsSettings, "shapes": ShapesSettings, "imagenet": ImageNetSettings}


def check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings of a data set, its name among them. Raises SettingError on what cannot work."""
    rest = dict(data)
    name = rest.pop("name", None)
    if name not in SETTINGS:
        raise unknown("data set in data.name", show(name), SETTINGS)
    settings: Any = build(SETTINGS[name], rest, "data.")
    if isinstance(settings, ImageNetSettings):
        settings = replace(settings, **check_folder(settings))
    return {"name": name, **plain(settings)}


def load(data: Mapping[str, Any]) -> ImageData:
    """The data set of complete settings, one for all learners of a process."""
    return _load(json.dumps(data, sort_keys=True))


@functools.lru_cache(maxsize=2)
def _load(data: str) -> ImageData:
    rest = json.loads(data)
    name = rest.pop("name")
    settings: Any = build(SETTINGS[name], rest, "data.")
    if isinstance(settings, ImageNetSettings):
        return FolderData(settings)
    if isinstance(settings, ShapesSettings):
        from firerl.envs.images import shapes

        return shapes.load(settings.seed, settings.shift)
    from firerl.envs.images import digits

    return digits.load(settings.shift)

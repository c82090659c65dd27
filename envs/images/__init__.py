"""Image data sets behind one door: ``check(data)`` completes the settings, ``load(data)`` serves the images.

``data`` is ``{"name": "digits" | "shapes" | "arrays" | "imagenet", <the set's own settings>}``, or the name is that of
somebody's function, ``package.module.function``: see ``own_data.py``.
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

from firerl.base import code_names
from firerl.base.paths import absolute
from firerl.base.settings import build, plain, setting, show
from firerl.envs.images import own_data
from firerl.envs.images.files import folder
from firerl.envs.images.files.decoding import Piece, read
from firerl.envs.images.files.folder import FolderData, ImageNetSettings
from firerl.envs.images.image_data import Batch, ImageData, Shape
from firerl.envs.images.order import Order
from firerl.errors import SettingError, unknown
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


@dataclass(frozen=True)
class ArraysSettings:
    """``data=arrays data.<name>=...``"""

    file: str = setting(help="an .npz file with train_images, train_labels, and those of objective and report, or of "
                        "validation")  # fmt: skip
    shift: int = setting(0, "training images are moved by up to this, each way", "pixels", minimum=0, maximum=64)
    flip: bool = setting(False, "every other training image is mirrored, left to right")
    sha256: str | None = setting(None, "of the file; null: as it is when the run begins")


@dataclass(frozen=True)
class OwnSettings:
    """``data=my_pkg:make_data data.<name>=...``"""

    name: str
    kwargs: dict[str, Any] = setting({}, "what the function is called with")
    shift: int = setting(0, "training images are moved by up to this, each way", "pixels", minimum=0, maximum=64)
    flip: bool = setting(False, "every other training image is mirrored, left to right")


# Settings that change nothing of what a learner sees.
ASIDE = (*folder.ASIDE, "file")
SETTINGS: dict[str, type] = {
    "digits": DigitsSettings, "shapes": ShapesSettings, "arrays": ArraysSettings, "imagenet": ImageNetSettings,
}  # fmt: skip


def check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings of a data set, its name among them. Raises SettingError on what cannot work."""
    rest = dict(data)
    name = rest.get("name")
    if isinstance(name, str) and code_names.is_path(name):
        return dict(plain(build(OwnSettings, {**rest, "name": code_names.spelled("data", name)}, "data.")))
    if name not in SETTINGS:
        raise unknown("data set in data.name", show(name), [*SETTINGS, "<package>.<module>:<function>"])
    del rest["name"]
    if isinstance(rest.get("check"), bool):  # as YAML reads it
        rest["check"] = show(rest["check"])
    settings: Any = build(SETTINGS[name], rest, "data.")
    if isinstance(settings, ImageNetSettings):
        settings = replace(settings, **folder.check(settings))
    if isinstance(settings, ArraysSettings):
        settings = _with_digest(settings)
    return {"name": name, **plain(settings)}


def _with_digest(settings: ArraysSettings) -> ArraysSettings:
    """With the file's checksum. Raises SettingError where it is not the one that ``settings`` tell of."""
    path = str(absolute(settings.file, "data.file"))
    found = own_data.digest(path)
    if settings.sha256 not in (None, found):
        raise SettingError(f"data.file={path}: its SHA-256 is {found}, it must be data.sha256={settings.sha256}")
    return replace(settings, file=path, sha256=found)


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
    declared = fields(SETTINGS.get(data["name"], OwnSettings))
    usual = {one.name: one.default for one in declared if one.default is not MISSING}
    return usual if data["name"] in SETTINGS else {**usual, "kwargs": {}}


def survey(data: Mapping[str, Any], say: Callable[[str], None]) -> Survey | None:
    """Look at the data of complete settings before a run; None: a set of firerl's own. Raises as ``folder.survey``."""
    settings = _settings(data)
    if isinstance(settings, ImageNetSettings):
        return folder.survey(settings, say)
    return Survey(0, (), own_data.contents(load(data))) if isinstance(settings, OwnSettings) else None


def check_again(data: Mapping[str, Any], contents: Any) -> None:
    """Raise SettingError where the data are not those that a run began with; ``contents`` are its survey's."""
    settings = _settings(data)
    if isinstance(settings, ImageNetSettings):
        folder.check(settings, contents)
    elif isinstance(settings, ArraysSettings):
        _with_digest(settings)
    elif isinstance(settings, OwnSettings) and contents is not None:
        found = own_data.contents(load(data))
        if found != contents:
            what = ", ".join(f"{name} {show(contents.get(name))}, now {show(found[name])}" for name in found
                             if contents.get(name) != found[name])  # fmt: skip
            raise SettingError(f"data={settings.name}: it does not make what the run began with ({what}); it must")


def _settings(data: Mapping[str, Any]) -> Any:
    if data["name"] not in SETTINGS:
        return build(OwnSettings, data, "data.")
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
    if isinstance(settings, ArraysSettings):
        return own_data.load_file(settings.file, settings.sha256, settings.shift, settings.flip)
    if isinstance(settings, OwnSettings):
        return own_data.load(settings.name, settings.kwargs, settings.shift, settings.flip)
    from firerl.envs.images import digits

    return digits.load(settings.shift)

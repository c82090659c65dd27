"""A data set of one's own: what a function returns, or what lies in a file of arrays.

    def make_data(**kwargs):
        return {"train": part, "objective": part, "report": part, "classes": ["cat", "dog"]}

A part is ``(images, labels)``: pixels of 0 to 255 as uint8 [N, size, size] or [N, size, size, channels], or a tensor
[N, channels, size, size]; labels from 0. Or it is a map-style data set with ``(image, label)`` at each index, which is
read when it is needed; it may transform at random by the global generators. Images of float32 are normalised already.
``validation`` in the place of ``objective`` and ``report`` is halved by class. ``classes`` are names, or their number;
without them the labels of the training part say how many there are.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.base import code_names
from firerl.envs.images import digits
from firerl.envs.images.arrays import AnyPart, ArrayData, Part
from firerl.envs.state.global_draws import untouched
from firerl.errors import FirerlError, SettingError, reason

PARTS = ("train", "objective", "report")
WANTED = "must be a mapping with train, objective and report (or validation), each (images, labels) or a data set"


class ReadPart:
    """A map-style data set, read image by image."""

    def __init__(self, source: Any):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def at(self, indices: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
        """As ``Part.at``; only these are read, in this order."""
        pairs = [self.source[index] for index in indices.tolist()]
        images = np.stack([_array(image, tensor_axes=(1, 2, 0)) for image, _ in pairs])
        return images, np.arange(len(pairs)), np.array([int(label) for _, label in pairs], np.int64)


def load(name: str, kwargs: Mapping[str, Any], shift: int, flip: bool) -> ArrayData:
    """What ``name``, a function, makes of ``kwargs``: the same in every process. Raises SettingError."""
    make = code_names.load("data", name)
    return _data(f"data={name}", lambda: make(**kwargs), shift, flip)


def load_file(path: str, sha256: str | None, shift: int, flip: bool) -> ArrayData:
    """The arrays of an .npz file. Raises SettingError, also where it is not the file that the run began with."""
    if digest(path) != sha256:
        raise SettingError(f"data.file={path}: it is not the file that the run began with (data.sha256={sha256})")
    return _data(f"data.file={path}", lambda: _in_file(path), shift, flip)


def digest(path: str) -> str:
    """The file's SHA-256. Raises SettingError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise SettingError(f"data.file={path}: must be an .npz file, it cannot be read: {why}") from error


def contents(data: Any) -> dict[str, Any]:
    """What tells these data from others: a checksum of arrays; of what is read when needed, its sizes alone."""
    parts = {"train": data._train, **data.parts}
    known = hashlib.sha256()
    for part in parts.values():
        for array in (part.images, part.labels) if isinstance(part, Part) else ():
            known.update(np.ascontiguousarray(array).data)
    sizes = {name: len(part) for name, part in parts.items()}
    return {"images": sizes, "shape": list(data.shape), "classes": list(data.classes), "sha256": known.hexdigest()}


def is_read(data: Any) -> bool:
    """Whether its training images are read when they are needed, perhaps transformed at random."""
    return isinstance(data, ArrayData) and not isinstance(data._train, Part)


@contextmanager
def _same_draws() -> Iterator[None]:
    """Global generators that stand at the same place in every process, and afterwards where they stood."""
    import torch

    with untouched():
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - whatever anybody's code draws from
        torch.manual_seed(0)
        yield


def _in_file(path: str) -> dict[str, Any]:
    with np.load(Path(path), allow_pickle=False) as file:
        found = {name: (file[f"{name}_images"], file[f"{name}_labels"])
                 for name in (*PARTS, "validation") if f"{name}_images" in file}  # fmt: skip
        return {**found, **({"classes": file["classes"].tolist()} if "classes" in file else {})}


def _data(what: str, make: Callable[[], Any], shift: int, flip: bool) -> ArrayData:
    try:
        with _same_draws():
            return _checked(make(), shift, flip)
    except FirerlError:
        raise
    except Exception as error:  # anybody's code, anybody's arrays
        told = str(error) if isinstance(error, _Unfit) else f"{type(error).__name__}: {error}; {WANTED}"
        raise SettingError(f"{what}: {' '.join(told.split())[:300]}") from error


class _Unfit(ValueError):
    """What is made cannot be trained on; the text says what it must be."""


def _checked(made: Any, shift: int, flip: bool) -> ArrayData:
    if not isinstance(made, Mapping) or "train" not in made:
        raise _Unfit(WANTED)
    parts = {name: _part(name, made[name]) for name in (*PARTS, "validation") if name in made}
    validation = parts.pop("validation", None)
    if isinstance(validation, Part) and "objective" not in parts:
        parts["objective"], parts["report"] = digits.halves(validation)
    if not {*PARTS} <= {*parts}:
        raise _Unfit(f"{WANTED}; a validation that is no array cannot be halved")
    classes = _classes(made.get("classes"), parts["train"])
    looked_at = {name: _looked_at(name, part, len(classes)) for name, part in parts.items()}
    if len({*looked_at.values()}) > 1:
        raise _Unfit(f"the parts have images of different shapes or types: {looked_at}")
    return ArrayData(parts["train"], parts["objective"], parts["report"], classes, shift, flip)


def _part(name: str, given: Any) -> AnyPart:
    if not (isinstance(given, tuple | list) and len(given) == 2):
        if not (hasattr(given, "__getitem__") and hasattr(given, "__len__") and len(given)):
            raise _Unfit(f"{name} has no images; {WANTED}")
        return ReadPart(given)
    images, labels = _array(given[0], tensor_axes=(0, 2, 3, 1)), np.asarray(given[1])
    if images.ndim not in (3, 4) or labels.shape != (len(images),) or not len(labels) or labels.dtype.kind not in "iu":
        raise _Unfit(f"{name} has images {list(images.shape)} and labels {list(labels.shape)} of {labels.dtype}: must "
                     "be [N, size, size] or [N, size, size, channels], and N whole numbers")  # fmt: skip
    return Part(images, labels.astype(np.int64))


def _array(given: Any, tensor_axes: tuple[int, ...]) -> NDArray[Any]:
    """Pixels with the channels last; a tensor has them first."""
    array = np.asarray(given)
    if type(given).__module__.startswith("torch") and array.ndim == len(tensor_axes):
        array = array.transpose(tensor_axes)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _looked_at(name: str, part: AnyPart, classes: int) -> tuple[Any, ...]:
    """Shape and type of a part's images. Raises _Unfit on what no network takes."""
    images, _, labels = part.at(np.arange(len(part)) if isinstance(part, Part) else np.arange(1))
    shape = images.shape[1:]
    if images.dtype not in (np.uint8, np.float32) or len(shape) not in (2, 3) or shape[0] != shape[1]:
        raise _Unfit(f"{name} has images {list(shape)} of {images.dtype}: must be [size, size] or [size, size, "
                     "channels] of uint8, pixels of 0 to 255, or of float32, normalised already")  # fmt: skip
    if labels.min() < 0 or labels.max() >= classes:
        raise _Unfit(f"{name} has labels {labels.min()} to {labels.max()}: must be 0 to {classes - 1}, one a class")
    return shape, str(images.dtype)


def _classes(given: Any, train: AnyPart) -> Sequence[str]:
    if given is None and isinstance(train, ReadPart):
        given = getattr(train.source, "classes", None)  # as torchvision's have it
    if given is None and isinstance(train, Part):
        given = int(train.labels.max()) + 1
    if given is None:
        raise _Unfit("classes is missing: must be their names or their number")
    names = [str(number) for number in range(given)] if isinstance(given, int) else [str(name) for name in given]
    if len(names) < 2:
        raise _Unfit(f"classes={given}: must be two or more")
    return names

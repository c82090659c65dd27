"""Data sets of one's own: arrays, files of arrays, what is read when needed; the rest is refused in one line."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from firerl.envs import images
from firerl.envs.images import own_data
from firerl.errors import SettingError

LABELS = np.arange(12) % 3


def pixels(count: int = 12, channels: int = 3, size: int = 4) -> Any:
    shape = (count, size, size, channels)[: 4 if channels else 3]
    return np.random.randint(0, 256, shape, dtype=np.uint8)  # noqa: NPY002 - from the global generators, as people do


def parts(**more: Any) -> dict[str, Any]:
    made = {name: (pixels(), LABELS) for name in ("train", "objective", "report")}
    return {**made, **more}


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings of a set that a function makes."""
    module = types.ModuleType("some_data")
    monkeypatch.setitem(sys.modules, "some_data", module)
    images._load.cache_clear()

    def settings(function: Any, **more: Any) -> dict[str, Any]:
        module.make = function  # type: ignore[attr-defined]
        images._load.cache_clear()
        return images.check({"name": "some_data:make", **more})

    return settings


def some(data: images.ImageData) -> images.Batch:
    return data.train(np.arange(5), np.full((5, data.draws), 0.4))


def test_a_function_s_arrays_are_served_as_our_own(make: Any) -> None:
    settings = make(lambda scale: parts(classes=["a", "b", "c"]), kwargs={"scale": 1}, flip=True)
    assert settings["name"] == "some_data.make"
    assert images.check(settings) == settings
    data = images.load(settings)
    assert (data.shape, data.count, data.classes) == ((3, 4, 3), 12, ("a", "b", "c"))
    whole = data.train(np.arange(12), np.full((12, 3), 0.6))
    assert whole.images.shape == (12, 3, 4, 4)
    np.testing.assert_allclose(whole.images.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(whole.images.std((0, 2, 3)), 1, atol=1e-5)
    flipped = data.train(np.arange(12), np.full((12, 3), 0.4))
    np.testing.assert_array_equal(flipped.images, whole.images[:, :, :, ::-1])


def test_what_it_draws_is_the_same_in_every_process_and_moves_nothing(make: Any) -> None:
    settings = make(parts)
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # type: ignore[union-attr] # noqa: NPY002
    first = images.survey(settings, print)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[union-attr] # noqa: NPY002
    images._load.cache_clear()
    np.random.seed(2)  # noqa: NPY002
    assert images.survey(settings, print) == first
    images.check_again(settings, first and first.contents)
    other = make(lambda: parts(train=(pixels(), LABELS)))
    with pytest.raises(SettingError, match=r"data=some_data\.make: it does not make what the run began with \(sha256"):
        images.check_again(other, first and first.contents)


def test_validation_is_halved_and_tensors_have_their_channels_first(make: Any) -> None:
    tensor = torch.from_numpy(pixels()).permute(0, 3, 1, 2)
    data = images.load(make(lambda: {"train": (tensor, torch.from_numpy(LABELS)), "validation": (pixels(), LABELS)}))
    assert [len(batch.labels) for part in ("objective", "report") for batch in data.held_out(part)] == [6, 6]
    assert data.shape == (3, 4, 3)
    grey = images.load(
        make(lambda: {"train": (pixels(channels=0), LABELS), "validation": (pixels(channels=0), LABELS)})
    )
    assert grey.shape == (1, 4, 3)
    assert some(grey).images.shape == (5, 1, 4, 4)


class Read:
    """A map-style set with a random transformation."""

    classes = ("a", "b", "c")

    def __init__(self) -> None:
        self.images = pixels()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return self.images[index] ^ np.random.randint(2), int(LABELS[index])  # noqa: NPY002


def test_a_map_style_set_is_read_when_needed_and_draws_from_the_worker_s_generators(make: Any) -> None:
    data = images.load(make(lambda: dict.fromkeys(own_data.PARTS, Read())))
    assert own_data.is_read(data)
    drawn = []
    for seed in (1, 1, 2):
        np.random.seed(seed)  # noqa: NPY002
        drawn.append(some(data).images.tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert some(data).labels.tolist() == LABELS[:5].tolist()


def test_floats_are_normalised_already(make: Any) -> None:
    values = np.random.default_rng(0).normal(size=(12, 4, 4, 3))
    data = images.load(make(lambda: parts(**dict.fromkeys(own_data.PARTS, (values, LABELS)))))
    assert data.pixels == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(some(data).images, values[:5].transpose(0, 3, 1, 2).astype(np.float32))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: [1, 2], "must be a mapping with train, objective and report"),
        (lambda: {"train": (pixels(), LABELS)}, "must be a mapping with train, objective and report"),
        (lambda: parts(train=(pixels(size=5)[:, :4], LABELS)), "train has images [4, 5, 3] of uint8: must be [size,"),
        (lambda: parts(report=(pixels() > 3, LABELS)), "report has images [4, 4, 3] of bool: must be"),
        (lambda: parts(train=(pixels(), LABELS[:3])), "train has images [12, 4, 4, 3] and labels [3] of int64: must"),
        (lambda: parts(objective=(pixels(), LABELS + 1)), "objective has labels 1 to 3: must be 0 to 2"),
        (lambda: parts(objective=(pixels(channels=1), LABELS)), "different shapes or types"),
        (lambda: parts(classes=1), "classes=1: must be two or more"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero; must be a mapping"),
    ],
)
def test_what_no_network_can_be_trained_on_is_one_line(make: Any, made: Any, words: str) -> None:
    with pytest.raises(SettingError) as told:
        images.load(make(made))
    assert str(told.value).startswith("data=some_data.make: ")
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_of_arrays_is_the_same_set_and_stays_the_same_file(tmp_path: Path, make: Any) -> None:
    train, validation = pixels(), pixels()
    arrays = {"train_images": train, "train_labels": LABELS, "validation_images": validation, "classes": [*"abc"]}
    np.savez(tmp_path / "x.npz", validation_labels=LABELS, **arrays)
    settings = images.check({"name": "arrays", "file": str(tmp_path / "x.npz")})
    assert images.check(settings) == settings
    found = images.load(settings)
    own = images.load(make(lambda: {"train": (train, LABELS), "validation": (validation, LABELS), "classes": [*"abc"]}))
    assert own_data.contents(found) == own_data.contents(own)
    images.check_again(settings, None)
    np.savez(tmp_path / "x.npz", validation_labels=LABELS + 0, **{**arrays, "train_images": validation})
    with pytest.raises(SettingError, match=r"data\.file=.*must be data\.sha256="):
        images.check_again(settings, None)
    (tmp_path / "y.npz").write_text("no arrays")
    for file, words in (("y.npz", "must be a mapping"), ("z.npz", "must be an .npz file, it cannot be read: No such")):
        with pytest.raises(SettingError, match=words):
            images.load(images.check({"name": "arrays", "file": str(tmp_path / file)}))

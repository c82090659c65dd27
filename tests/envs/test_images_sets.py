"""digits and shapes: what they hold, what is kept apart, how they are cached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firerl.envs import images
from firerl.envs.images import cache, digits, shapes
from firerl.envs.images.arrays import ArrayData, Part
from firerl.errors import SettingError

TINY = shapes.Recipe(train=200, validation=60)


def all_of(data: images.ImageData, part: str) -> images.Batch:
    batches = list(data.held_out(part))
    return images.Batch(np.concatenate([b.images for b in batches]), np.concatenate([b.labels for b in batches]))


def test_digits_are_split_in_three_that_share_nothing() -> None:
    data = images.load(images.check({"name": "digits", "shift": 0}))
    train = data.train(np.arange(data.count), np.zeros((data.count, data.draws)))
    parts = [train, all_of(data, "objective"), all_of(data, "report")]
    assert [len(part.labels) for part in parts] == [1197, 300, 300]
    assert data.shape == (1, 8, 10)
    assert abs(train.images.mean()) < 1e-4
    assert train.images.std() == pytest.approx(1, abs=1e-4)
    known = [{image.tobytes() for image in part.images} for part in parts]
    assert not known[0] & known[1]
    assert not known[0] & known[2]
    assert not known[1] & known[2]
    for part in parts[1:]:
        assert np.ptp(np.bincount(part.labels)) <= 2


def test_a_shift_moves_an_image_and_nothing_else() -> None:
    pixels = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    part = Part(pixels, np.array([3, 7]))
    data = ArrayData(part, part, part, classes=10, shift=1)
    draws = np.array([[0.0, 0.99], [0.5, 0.5]])  # one pixel down and one to the left; none
    moved = data.train(np.array([1, 0]), draws)
    back = np.round(moved.images[:, 0] * data.deviation + data.mean).astype(int)
    assert back[1].tolist() == pixels[0].tolist()
    assert back[0, 1:, :3].tolist() == pixels[1, :3, 1:].tolist()
    assert back[0, 0, :3].tolist() == pixels[1, 0, 1:].tolist()  # what comes in is as the edge
    assert moved.labels.tolist() == [7, 3]


def test_shapes_are_a_function_of_their_seed() -> None:
    one, two, other = (shapes.build(TINY, seed) for seed in (0, 0, 1))
    for a, b, c in zip(one, two, other, strict=True):
        assert (a.images == b.images).all()
        assert (a.labels == b.labels).all()
        assert (a.images != c.images).mean() > 0.5
    train, validation = one
    assert train.images.shape == (200, 32, 32)
    assert np.bincount(train.labels).tolist() == [20] * 10
    assert np.bincount(validation.labels).tolist() == [6] * 10


def test_shapes_show_their_digit() -> None:
    """Without noise, clutter and turns, an image is its digit enlarged: the nearest enlarged digit has its label."""
    clear = shapes.Recipe(
        train=100, validation=10, rotation=0, shear=0, zoom=(3.0, 3.0), travel=0, contrast=(1, 1), pieces=0, noise=0
    )
    train, _ = shapes.build(clear, 0)
    source, _ = digits.source()
    grey = np.stack([np.kron(glyph, np.ones((3, 3))) for glyph in source.images.astype(float)]).reshape(-1, 24 * 24)
    middles = train.images[:, 4:28, 4:28].reshape(-1, 24 * 24).astype(float)
    grey = (grey - grey.mean(1, keepdims=True)) / grey.std(1, keepdims=True)
    middles = (middles - middles.mean(1, keepdims=True)) / middles.std(1, keepdims=True)
    assert (source.labels[(middles @ grey.T).argmax(1)] == train.labels).mean() > 0.97


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small recipe and an empty cache."""
    monkeypatch.setattr(shapes, "RECIPE", TINY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "firerl"


def test_shapes_are_built_once_and_again_if_damaged(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = shapes.load(0, 0)
    assert "making shapes" in capsys.readouterr().err
    (file,) = tiny.iterdir()
    again = shapes.load(0, 0)
    assert capsys.readouterr().err == ""
    whole = file.read_bytes()
    file.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    third = shapes.load(0, 0)
    assert "damaged" in capsys.readouterr().err
    assert file.read_bytes() == whole
    for data in (again, third):
        assert (all_of(data, "report").images == all_of(first, "report").images).all()
    shapes.load(1, 0)
    assert len(list(tiny.iterdir())) == 2


def test_a_cache_that_cannot_be_written_costs_a_line(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_text("a file where the folder should be")
    assert shapes.load(0, 0).count == 200
    assert "stays in memory" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: b"", lambda d: d[:64], lambda d: b"x" + d[1:]])
def test_damaged_bytes_are_refused(damage: Any) -> None:
    data = cache.pack({"a": np.arange(5)})
    assert cache.unpack(data)["a"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="checksum"):
        cache.unpack(damage(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "digit"}, "did you mean 'digits'"),
        ({"name": "digits", "shift": 99}, "data.shift=99: must be an integer >= 0 and <= 8"),
        ({"name": "shapes", "sed": 1}, "did you mean 'data.seed'"),
        ({"name": "imagenet"}, "data.root is missing"),
    ],
)
def test_settings_that_cannot_work_are_refused(data: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        images.check(data)
    assert words in str(caught.value)

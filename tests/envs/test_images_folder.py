"""ImageNet's folders: what is refused, what is read, how images that cannot be read are left out."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firerl.agents.classifier import Classifier
from firerl.envs import images
from firerl.envs.images.files import decoding, folder
from firerl.envs.images.files.decoding import Piece
from firerl.errors import MachineError, SettingError

CLASSES = ("n01", "n02", "n03")


def picture(shade: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    rng = np.random.default_rng(shade)
    return Image.fromarray(rng.integers(shade, shade + 60, (size[1], size[0], 3)).astype(np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes told apart by their brightness: 6 training and 4 validation images each."""
    for part, count in (("train", 6), ("val", 4)):
        for label, name in enumerate(CLASSES):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                picture(60 * label + i).save(tmp_path / part / name / f"{name}_{i}.JPEG")
    return tmp_path


def checked(root: Path, **settings: Any) -> dict[str, Any]:
    return images.check({"name": "imagenet", "root": str(root), "size": 16, "objective": 6, **settings})


def test_the_parts_and_their_labels(root: Path) -> None:
    data = images.load(checked(root))
    assert (data.count, data.shape) == (18, (3, 16, 3))
    train = data.train(np.arange(18), np.full((18, data.draws), 0.4))
    assert train.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert train.images.dtype == np.uint8
    brightness = train.images.mean((1, 2, 3)).reshape(3, 6)
    assert brightness[0].max() < brightness[1].min()
    assert brightness[1].max() < brightness[2].min()
    halves = [next(iter(data.held_out(part))) for part in ("objective", "report")]
    assert [half.labels.tolist() for half in halves] == [[0, 0, 1, 1, 2, 2]] * 2
    assert not {i.tobytes() for i in halves[0].images} & {i.tobytes() for i in halves[1].images}


def test_a_validation_image_is_its_middle(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), dtype=np.uint8)
    pixels[4:60, 36:92] = 200  # 56 of the 64 pixels of the short side: 224/256
    seen = decoding.middle(Image.fromarray(pixels), Piece([], None, 56, False))
    assert seen.shape == (56, 56, 3)
    assert (seen == 200).all()


def test_training_takes_parts_of_the_usual_sizes_and_mirrors_half() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([decoding.random_box(100, 80, rng.random((10, 4))) for _ in range(500)])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 100
    assert bottom.max() <= 80
    areas, ratios = (right - left) * (bottom - top) / 8000, (right - left) / (bottom - top)
    assert 0.07 < areas.min() < 0.12
    assert areas.max() > 0.9
    assert 0.7 < ratios.min() < 0.8
    assert 1.25 < ratios.max() < 1.4
    wide = decoding.random_box(1000, 10, np.full((10, 4), 0.9))  # nothing fits: the middle, as far as 4:3 goes
    assert wide == pytest.approx((500 - 20 / 3, 0, 500 + 20 / 3, 10))
    ramp = Image.fromarray(np.tile(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (100, 1, 3)))
    draws, piece = np.full(folder.FolderData.draws, 0.5), Piece([], None, 20, False)
    kept, mirrored = (decoding.random_part(ramp, np.append(draws[:-1], last), piece) for last in (0.5, 0.2))
    assert kept[0, 0, 0] < kept[0, -1, 0]
    assert (mirrored == kept[:, ::-1]).all()


def test_any_kind_of_image_becomes_rgb(root: Path) -> None:
    place = root / "train" / "n01"
    picture(5).convert("CMYK").save(place / "n01_0.JPEG")
    picture(6).convert("L").save(place / "n01_1.JPEG")
    buffer = io.BytesIO()
    picture(7).save(buffer, "PNG")
    (place / "n01_2.JPEG").write_bytes(buffer.getvalue())  # ImageNet has such a one
    picture(8).convert("RGBA").save(place / "n01_3.png")
    (place / "notes.txt").write_text("not an image, and not called one")
    data = images.load(checked(root))
    assert data.count == 19
    batch = data.train(np.arange(5), np.full((5, data.draws), 0.4))
    assert batch.images.shape == (5, 3, 16, 16)
    assert batch.broken == ()


def break_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def test_broken_images_are_named_and_left_out(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_file(root / "train" / "n01" / "n01_2.JPEG")
    (root / "val" / "n02" / "n02_1.JPEG").write_text("text")
    data = images.load(checked(root))
    batch = data.train(np.array([1, 2, 3]), np.full((3, data.draws), 0.4))
    assert batch.broken == (2,)
    assert (batch.images[1] == batch.images[2]).all()  # the next one in its place
    data.train(np.array([2]), np.full((1, data.draws), 0.4))
    kept = sum(len(part.labels) for half in ("objective", "report") for part in data.held_out(half))
    assert kept == 11
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # once each
    assert "train/n01/n01_2.JPEG cannot be read and is left out" in lines[0]
    assert "val/n02/n02_1.JPEG" in lines[1]


def learner(root: Path, **data: Any) -> Classifier:
    settings = {"data": checked(root, **data), "model": "cnn", "width": 4, "batch_size": 6, "micro_batch": 3}
    return Classifier(Classifier.resolve(settings), {"learning_rate": 0.01}, 0, "cpu")


def test_a_learner_counts_broken_images_and_fails_beyond_the_limit(root: Path) -> None:
    for i in (0, 1):
        break_file(root / "train" / "n01" / f"n01_{i}.JPEG")
    one = learner(root)
    assert one.train(3)["broken_images"] == 2
    assert one.state()["stream"]["broken"] == [0, 1]
    with pytest.raises(MachineError, match=r"data\.max_broken=1: more training images"):  # nothing that is final
        learner(root, max_broken=1).train(3)
    folder_of_broken = root / "val" / "n03"
    for path in folder_of_broken.iterdir():
        break_file(path)
    assert 0 <= learner(root, max_broken=2).evaluate(0) <= 1
    with pytest.raises(MachineError, match="more validation images"):
        learner(root, max_broken=1).evaluate(0)


def test_a_learner_of_folders_goes_on_in_mid_epoch(root: Path) -> None:
    whole, parts = learner(root), learner(root)
    whole.train(5)
    parts.train(2)
    other = learner(root)
    other.load(**parts.state())
    assert other.train(3)["epochs"] == pytest.approx(30 / 18)
    assert whole.evaluate(0) == other.evaluate(0)
    for name, tensor in whole.state()["weights"]["network"].items():
        assert (tensor == other.state()["weights"]["network"][name]).all()
    assert whole.report(0)["images"] == 6


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "there is no such folder"),
        (empty, "has no folder train/"),
        (lambda root: shutil.rmtree(root / "val"), "has no folder val/"),
        (lambda root: shutil.rmtree(root / "val" / "n02"), "the classes of train and val differ: n02 only in train"),
        (lambda root: (root / "val" / "n99").mkdir(), "n99 only in val"),
        (lambda root: empty(root / "train" / "n01"), "train/n01/ holds no images"),
        (lambda root: empty(root / "train"), "train/ holds no folders"),
    ],
)
def test_folders_that_cannot_work_are_refused(root: Path, damage: Any, words: str) -> None:
    damage(root)
    with pytest.raises(SettingError) as caught:
        checked(root)
    assert words in str(caught.value)
    assert f"data.root={root}" in str(caught.value)


def test_fewer_validation_images_than_the_objective_needs(root: Path) -> None:
    with pytest.raises(SettingError, match=r"data.objective=13: val/ .* has only 12 images"):
        checked(root, objective=13)
    assert (
        Classifier(Classifier.resolve({"data": checked(root, objective=12), "model": "mlp"}), {}, 0, "cpu").report(0)
        == {}
    )  # nothing is left for it


def test_files_that_changed_since_the_run_began_are_refused(root: Path) -> None:
    first = checked(root)
    assert images.check(first) == first
    picture(3).save(root / "train" / "n01" / "new.JPEG")
    with pytest.raises(SettingError, match="not those that the run began with"):
        images.check(first)


def test_a_root_that_no_file_could_name_is_refused(tmp_path: Path) -> None:
    for name in ("caf\udce9", "a\0b"):
        with pytest.raises(SettingError, match=r"data\.root=.*cannot be a folder's name here"):
            checked(tmp_path / name)

"""A small folder in ImageNet's layout, with the oddities that ImageNet has."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 12
TRAIN, VAL = 10, 4  # good images of each class; two classes have odd ones besides


def picture(label: int, number: int, size: tuple[int, int] = (48, 36)) -> Image.Image:
    """A noisy picture whose colour tells the class."""
    rng = np.random.default_rng([label, number])
    colour = np.random.default_rng(label).integers(40, 200, 3)
    return Image.fromarray((colour + rng.integers(-40, 40, (size[1], size[0], 3))).astype(np.uint8))


def make(root: Path) -> Path:
    """Fill ``root``; returns it."""
    for part, count in (("train", TRAIN), ("val", VAL)):
        for label in range(CLASSES):
            folder = root / part / f"n{label:02d}"
            folder.mkdir(parents=True)
            for number in range(count):
                picture(label, number + 100 * (part == "val")).save(folder / f"{folder.name}_{number}.JPEG")
    for part in ("train", "val"):
        _odd(root / part / "n03", 3)
    (root / "train" / "n05" / "readme.txt").write_text("not an image, and not called one")
    picture(5, 50).save(root / "train" / "n05" / "photo.JPG", "JPEG")
    return root


def _odd(folder: Path, label: int) -> None:
    """Files of other kinds under ImageNet's names: four good ones and two broken."""
    picture(label, 60).save(folder / "png.JPEG", "PNG")
    picture(label, 61).convert("CMYK").save(folder / "cmyk.JPEG", "JPEG")
    picture(label, 62).convert("L").save(folder / "grey.JPEG", "JPEG")
    picture(label, 63, (20, 90)).save(folder / "tall.JPEG", "JPEG")
    (folder / "text.JPEG").write_text("an image by its name alone")
    buffer = io.BytesIO()
    picture(label, 64).save(buffer, "JPEG")
    (folder / "cut.JPEG").write_bytes(buffer.getvalue()[:300])

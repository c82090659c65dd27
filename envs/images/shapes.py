"""A harder set made from scikit-learn's digits: one turned, sheared, resized digit among pieces of others, in noise.

Training images are made of training digits, validation images of validation digits. The same seed gives the same
pixels.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firerl.envs.images import digits
from firerl.envs.images.arrays import ArrayData, Part
from firerl.envs.images.cache import Arrays, cached

SIZE = 32  # pixels
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Recipe:
    """How the images are made. A change of it is another data set: raise ``version`` with any change of the code."""

    version: int = 1
    train: int = 20_000  # images
    validation: int = 4_000
    rotation: float = 0.4  # largest angle, radians
    shear: float = 0.2  # largest
    zoom: tuple[float, float] = (2.4, 3.4)  # of a digit of 8 pixels
    travel: float = 3.0  # largest distance of its centre from the image's, each way, pixels
    contrast: tuple[float, float] = (0.6, 1.0)  # of the digit
    pieces: int = 1  # of other digits, as bright as the digit
    noise: float = 0.1  # standard deviation, in shares of full contrast


RECIPE = Recipe()


def build(recipe: Recipe, seed: int) -> tuple[Part, Part]:
    """Training and validation part."""
    train, validation = digits.source()
    rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)]
    return _make(train, recipe.train, recipe, rngs[0]), _make(validation, recipe.validation, recipe, rngs[1])


def _make(source: Part, count: int, recipe: Recipe, rng: np.random.Generator) -> Part:
    """``count`` images in equal shares of the classes, shuffled."""
    labels = rng.permutation(np.arange(count) % digits.CLASSES)
    by_class = [np.flatnonzero(source.labels == label) for label in range(digits.CLASSES)]
    glyphs = source.images.astype(np.float32) / 255
    images: NDArray[np.uint8] = np.empty((count, SIZE, SIZE), dtype=np.uint8)
    for i, label in enumerate(labels):
        image = _one(glyphs[rng.choice(by_class[label])], glyphs, recipe, rng)
        images[i] = np.clip(np.round(image * 255), 0, 255)
    return Part(images, labels.astype(np.int64))


def _one(glyph: Array, others: Array, recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float64]:
    """One image, 0 to 1: the digit over its clutter on a grey ground, in noise."""
    canvas = np.zeros((SIZE, SIZE))
    contrast = rng.uniform(*recipe.contrast)
    for _ in range(recipe.pieces):
        piece = np.zeros((8, 8), dtype=np.float32)
        top, left = rng.integers(0, 5, 2)
        piece[top : top + 4, left : left + 4] = others[rng.integers(len(others))][top : top + 4, left : left + 4]
        np.maximum(canvas, _placed(piece, recipe, SIZE / 2 - 2, rng), out=canvas)
    np.maximum(canvas, _placed(glyph, recipe, recipe.travel, rng), out=canvas)
    ground = rng.uniform(0.2, 0.4)
    return ground + contrast * (1 - ground) * canvas + recipe.noise * rng.standard_normal((SIZE, SIZE))


def _placed(glyph: Array, recipe: Recipe, travel: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A glyph [8, 8] under a random affine map, [SIZE, SIZE]."""
    from scipy.ndimage import affine_transform

    angle = rng.uniform(-recipe.rotation, recipe.rotation)
    zoom = math.exp(rng.uniform(math.log(recipe.zoom[0]), math.log(recipe.zoom[1])))
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, rng.uniform(-recipe.shear, recipe.shear)], [0, 1]])
    centre = (SIZE - 1) / 2 + rng.uniform(-travel, travel, 2)
    result: NDArray[np.float64] = affine_transform(
        glyph.astype(np.float64), matrix, np.full(2, 3.5) - matrix @ centre, (SIZE, SIZE), order=1
    )
    return result


def load(seed: int, shift: int) -> ArrayData:
    """The data set as a learner takes it, from the cache where it has been made before."""

    def made() -> Arrays:
        train, validation = build(RECIPE, seed)
        return {
            "train_images": train.images,
            "train_labels": train.labels,
            "images": validation.images,
            "labels": validation.labels,
        }

    arrays: dict[str, Any] = cached(f"shapes-{digest(RECIPE)}-{seed}.bin", made)
    train, validation = (
        Part(arrays["train_images"], arrays["train_labels"]),
        Part(arrays["images"], arrays["labels"]),
    )
    return ArrayData(train, *digits.halves(validation), classes=digits.CLASSES, shift=shift)


def digest(recipe: Recipe) -> str:
    """A short name of a recipe: another recipe never reads this one's file."""
    return hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]

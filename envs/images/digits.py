"""scikit-learn's digits: 1,797 grey images of 8 x 8 pixels, ten classes; nothing is downloaded."""

from __future__ import annotations

import numpy as np

from firerl.envs.images.arrays import ArrayData, Part
from firerl.envs.images.split import stratified

CLASSES = 10
VALIDATION = 600  # images; the other 1,197 train
SEED = 0  # of the splits


def source() -> tuple[Part, Part]:
    """Training and validation images."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    labels = labels.astype(np.int64)
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[stratified(labels, VALIDATION, SEED)] = True
    return Part(pixels[~held_out], labels[~held_out]), Part(pixels[held_out], labels[held_out])


def halves(validation: Part) -> tuple[Part, Part]:
    """The half that the objective is measured on, and the half that is kept for the report."""
    chosen = np.zeros(len(validation.labels), dtype=bool)
    chosen[stratified(validation.labels, len(chosen) // 2, SEED)] = True
    return (
        Part(validation.images[chosen], validation.labels[chosen]),
        Part(validation.images[~chosen], validation.labels[~chosen]),
    )


def load(shift: int) -> ArrayData:
    """The data set as a learner takes it."""
    train, validation = source()
    return ArrayData(train, *halves(validation), classes=CLASSES, shift=shift)

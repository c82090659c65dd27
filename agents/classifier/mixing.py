"""What is done to a batch on its way to the network: mixup, CutMix, random erasing, drawn by the step's generator."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

AREA, RATIO = (0.02, 0.33), (0.3, 3.3)  # of an erased box: share of the image; height by width (Zhong et al. 2017)
SETTINGS = ("erase", "mixup", "cutmix")


def changed(
    pixels: Tensor, labels: Tensor, values: Mapping[str, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor, float]:
    """A batch as these ``values`` of ``SETTINGS`` have it; returns what ``mixed`` does."""
    if values["erase"]:
        pixels = erased(pixels, values["erase"], rng)
    if not (values["mixup"] or values["cutmix"]):
        return pixels, labels, 1.0
    return mixed(pixels, labels, values["mixup"], values["cutmix"], rng)


def erased(pixels: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """``pixels`` [B, C, H, W], normalised, with a box of their mean in so many of them."""
    height, width = pixels.shape[2:]
    pixels = pixels.clone()
    for image in np.flatnonzero(rng.random(len(pixels)) < probability):
        area = rng.uniform(*AREA) * height * width
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        tall, wide = min(round(math.sqrt(area * ratio)), height), min(round(math.sqrt(area / ratio)), width)
        top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
        pixels[image, :, top : top + tall, left : left + wide] = 0.0
    return pixels


def mixed(
    pixels: Tensor, labels: Tensor, mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, float]:
    """Each image with another of its batch; the alphas are those of Zhang et al. 2018 and Yun et al. 2019, 0 for none.

    With both, each batch has one of them, either as likely. Returns pixels [B, C, H, W], the labels [B] of the others,
    and the share of an image's own label.
    """
    cuts = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if cuts else mixup
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
    if not cuts:
        return torch.lerp(pixels[order], pixels, share), labels[order], share
    height, width = pixels.shape[2:]
    (top, bottom), (left, right) = (_span(size, share, rng) for size in (height, width))
    pixels = pixels.clone()
    pixels[:, :, top:bottom, left:right] = pixels[order, :, top:bottom, left:right]
    return pixels, labels[order], 1 - (bottom - top) * (right - left) / (height * width)


def _span(size: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """One side of a box that takes ``1 - share`` of an image, as far as it lies within: begin and end."""
    half = size * math.sqrt(1 - share) / 2
    middle = rng.integers(size)
    return max(0, round(middle - half)), min(size, round(middle + half))

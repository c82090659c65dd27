"""The classifier's network alone, from pixels to logits: what ``firerl.load_policy`` and ``firerl.export`` take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from firerl.agents.classifier import networks
from firerl.envs.images import ImageData, Shape

WHITE = 255.0


def facts_of(data: ImageData) -> dict[str, Any]:
    """What the network's input and output mean: shape, what normalises pixels of 0 to 255, the names of the classes."""
    mean, deviation = data.pixels
    return {"shape": list(data.shape), "mean": list(mean), "deviation": list(deviation), "classes": list(data.classes)}


def module_of(settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any]) -> Images:
    """The trained network. Raises whatever weights and facts that are none of a classifier's give."""
    shape = Shape(*(int(number) for number in facts["shape"]))
    network = networks.build(settings["model"], settings["width"], shape, 0, settings["arguments"])
    network.load_state_dict(weights.get("average", weights["network"]))
    classes = tuple(str(name) for name in facts["classes"])
    return Images(network, shape, facts["mean"], facts["deviation"], classes).eval()


class Images(nn.Module):
    """Images [B, C, size, size] with pixels of 0 to 255 to logits [B, classes]; normalising is inside."""

    names = ("images", "logits")
    input_dtype = torch.float32
    input_range = (0.0, WHITE)  # of what it is tried with

    def __init__(self, network: nn.Module, shape: Shape, mean: Any, deviation: Any, classes: tuple[str, ...]):
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.network = network
        self.input_shape = (shape.channels, shape.size, shape.size)
        self.classes = classes  # what each logit stands for
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.deviation)
        return logits

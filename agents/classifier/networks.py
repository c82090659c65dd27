"""The networks: a small CNN and an MLP of our own, torchvision's ResNets by name."""

from __future__ import annotations

import importlib
import importlib.util

import torch
from torch import nn

from firerl.envs.images import Shape
from firerl.errors import SettingError, unknown

OWN = ("cnn", "mlp")
RESNETS = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip


def check(model: str) -> None:
    """Raises SettingError for a model that is not known, or whose library is not installed."""
    if model not in (*OWN, *RESNETS):
        raise unknown("learner.model", model, (*OWN, *RESNETS))
    if model in RESNETS and importlib.util.find_spec("torchvision") is None:
        raise SettingError(
            f"learner.model={model}: torchvision is not installed (pip install 'firerl[images]'); without it: "
            f"{', '.join(OWN)}"
        )


def build(model: str, width: int, shape: Shape, seed: int) -> nn.Module:
    """A network for images [B, channels, size, size], whose first weights are a function of ``seed``."""
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator: it is put back
        torch.manual_seed(seed)
        if model == "cnn":
            return cnn(width, shape)
        if model == "mlp":
            return mlp(8 * width, shape)
        return resnet(model, shape)


def cnn(width: int, shape: Shape) -> nn.Sequential:
    """Three convolutions with batch norm of ``width``, 2 and 4 times ``width`` channels, halving the size each time.

    Images of less than 16 pixels keep their size in the first one.
    """
    layers: list[nn.Module] = []
    channels = shape.channels
    for i, out in enumerate((width, 2 * width, 4 * width)):
        stride = 1 if i == 0 and shape.size < 16 else 2
        layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, shape.classes))


def mlp(hidden: int, shape: Shape) -> nn.Sequential:
    """Two hidden layers."""
    inputs = shape.channels * shape.size**2
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, shape.classes),
    )  # fmt: skip


class Coloured(nn.Module):
    """Gives grey images the three channels that a ResNet takes."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.network(images.expand(-1, 3, -1, -1))
        return result


def resnet(model: str, shape: Shape) -> nn.Module:
    """torchvision's network, untrained."""
    network: nn.Module = importlib.import_module("torchvision.models").get_model(
        model, weights=None, num_classes=shape.classes
    )
    return network if shape.channels == 3 else Coloured(network)


def decayed(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that weight decay pulls at, and the others: those of norms, and biases."""
    parameters = list(network.parameters())
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]

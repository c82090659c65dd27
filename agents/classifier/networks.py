"""The networks: a small CNN and an MLP of our own, torchvision's and timm's by name, anybody's by dotted path."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from firerl.base import code_names
from firerl.base.settings import show
from firerl.envs.images import Shape
from firerl.envs.state.global_draws import untouched
from firerl.errors import FirerlError, SettingError, unknown

OWN = ("cnn", "mlp")
RESNETS = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip
LIBRARIES = {"torchvision": "pip install 'firerl[images]'", "timm": "pip install timm"}  # <library>:<name>
OTHERS = (*(f"{library}:<name>" for library in LIBRARIES), "<package>.<module>:<function>")
# Arguments by which the libraries would fetch weights, or read them from a file that learner.pretrained does not name.
FETCHING = ("weights", "pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")


def spelled(model: str) -> str:
    """As a run keeps it; ``my_pkg:make_model`` is ``my_pkg.make_model``."""
    return model if _library(model) else code_names.spelled("learner.model", model)


def check(model: str, arguments: Mapping[str, Any]) -> None:
    """Raises SettingError for a model that is not known, or whose library is not installed."""
    library = _library(model)
    if not library and model not in OWN and not code_names.is_path(model):
        raise unknown("learner.model", model, (*OWN, *RESNETS, *OTHERS))
    if library and importlib.util.find_spec(library) is None:
        raise SettingError(
            f"learner.model={model}: {library} is not installed ({LIBRARIES[library]}); without it: {', '.join(OWN)}"
        )
    if library and not model.rpartition(":")[2].replace(".", "_").isidentifier():
        raise SettingError(f"learner.model={show(model)}: must be {library}:<name>, one of {library}'s own names")
    if arguments and model in OWN:
        raise SettingError(f"learner.arguments={show(arguments)}: must be {{}} with learner.model={model}")
    if found := [name for name in arguments if library and name in FETCHING]:
        raise SettingError(f"learner.arguments.{found[0]}: must not be given; weights come from learner.pretrained")


def _library(model: str) -> str:
    """Whose model it is; "": neither torchvision's nor timm's."""
    if model in RESNETS:
        return "torchvision"
    before, colon, _ = model.partition(":")
    return before if colon and before in LIBRARIES else ""


def build(model: str, width: int, shape: Shape, seed: int, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A network for images [B, channels, size, size], whose first weights are a function of ``seed``.

    Raises SettingError where somebody's function makes none.
    """
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator: it is put back
        torch.manual_seed(seed)
        if model == "cnn":
            return cnn(width, shape)
        if model == "mlp":
            return mlp(8 * width, shape)
        try:
            network = _others(model, shape, arguments or {})
        except FirerlError:
            raise
        except Exception as error:  # anybody's code
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise SettingError(f"learner.model={model}: it cannot be built for {_text(shape)}: {told}") from error
    if not isinstance(network, nn.Module):
        raise SettingError(f"learner.model={model}: must make a torch.nn.Module, it makes {type(network).__name__}")
    return network


def _others(model: str, shape: Shape, arguments: Mapping[str, Any]) -> Any:
    """A library's network, untrained, or what somebody's function makes."""
    library, name = _library(model), model.rpartition(":")[2]
    if library == "timm":
        timm = importlib.import_module("timm")
        return timm.create_model(
            name, pretrained=False, num_classes=shape.classes, in_chans=shape.channels, **arguments
        )
    if library:
        models = importlib.import_module("torchvision.models")
        network = models.get_model(name, weights=None, num_classes=shape.classes, **arguments)
        return network if shape.channels == 3 else Coloured(network)
    return code_names.load("learner.model", model)(*shape, **arguments)


def try_out(network: nn.Module, model: str, shape: Shape) -> None:
    """Raise SettingError where a network makes no logits of images, [B, classes]. Draws nothing."""
    network.eval()
    try:
        with torch.no_grad(), untouched():
            logits = network(torch.zeros(2, shape.channels, shape.size, shape.size))
    except Exception as error:  # anybody's code
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SettingError(f"learner.model={model}: it cannot take {_text(shape)}: {told}") from error
    found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found != [2, shape.classes]:
        raise SettingError(f"learner.model={model}: makes {found} of two images: must be [2, {shape.classes}] logits")


def _text(shape: Shape) -> str:
    return f"images [{shape.channels}, {shape.size}, {shape.size}] of {shape.classes} classes"


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


def decayed(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that weight decay pulls at, and the others: those of norms, and biases."""
    parameters = list(network.parameters())
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]

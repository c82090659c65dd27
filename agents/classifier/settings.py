"""The classifier's settings: one place for defaults, units, what is allowed, and what each data set changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from firerl.agents.classifier import networks, pretrained
from firerl.base.paths import absolute
from firerl.base.settings import build, convert, plain, setting, show
from firerl.envs import images
from firerl.errors import SettingError

OPTIMISERS = ("sgd", "adamw")
OF_ADAMW = {"learning_rate": 1e-3, "weight_decay": 0.05}  # defaults
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """Defaults for data=digits; ``DATA_SETTINGS`` changes them by data set."""

    data: dict[str, Any] = setting({"name": "digits"}, "the data set and its settings")
    model: str = setting(
        "cnn", "cnn, mlp, resnet18 and torchvision's other ResNets, torchvision:<name>, timm:<name>, or a function of "
        "your own, my_pkg:make_model",
    )  # fmt: skip
    arguments: dict[str, Any] = setting({}, "what a model that is not firerl's is called with besides")
    pretrained: str | None = setting(None, "a file of weights to begin with; a last layer of another shape stays new")
    pretrained_sha256: str | None = setting(None, "of that file; null: as it is when the run begins")
    width: int = setting(
        16, "cnn: channels of its first layer; mlp: units of a hidden layer are 8 times it", minimum=1, maximum=1024
    )
    batch_size: int = setting(32, "of one step", "images", minimum=2, maximum=65_536)
    micro_batch: int | None = setting(
        None, "as many go through the network at once and share batch statistics; null: all", "images", minimum=2
    )
    precision: str = setting("float32", "of the forward pass; weights are float32", choices=PRECISIONS)
    stacked: int | None = setting(
        None, "so many workers in a row train as one computation, cnn and mlp only; null: each for itself", "workers",
        minimum=2,
    )  # fmt: skip
    eval_interval: int = setting(50, "distance of two evaluations", "steps", minimum=1)
    optimiser: str = setting("sgd", "of torch.optim", choices=OPTIMISERS)
    learning_rate: float = setting(0.1, "of the optimiser", above=0, maximum=1000, tunable=True)
    momentum: float = setting(
        0.9, "share of the last step's direction that is kept; AdamW's first beta", minimum=0, below=1, tunable=True
    )
    nesterov: bool = setting(True, "look ahead by the momentum; sgd only", tunable=True)
    weight_decay: float = setting(1e-4, "pull to zero; not on norms and biases", minimum=0, maximum=1, tunable=True)
    label_smoothing: float = setting(
        0.0, "share of a label given to all classes alike", minimum=0, below=1, tunable=True
    )
    clip_norm: float | None = setting(None, "longest gradient; null: any", above=0, tunable=True)
    warmup: int = setting(0, "over which the learning rate rises to its value, from the worker's first", "steps",
                          minimum=0)  # fmt: skip
    ema: float = setting(
        0.0, "evaluate the weights' moving average, which keeps this share a step; 0: the weights", minimum=0, below=1
    )
    mixup: float = setting(0.0, "alpha; 0: none", minimum=0, maximum=1000, tunable=True)
    cutmix: float = setting(0.0, "alpha; 0: none; with mixup each batch has one of them", minimum=0, maximum=1000,
                            tunable=True)  # fmt: skip
    erase: float = setting(0.0, "share of the images that lose a random box", minimum=0, maximum=1, tunable=True)


ALONE = ("optimiser", "clip_norm", "warmup", "ema", "mixup", "cutmix", "erase")  # of members that train one by one
DATA_SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {},
    "shapes": {"eval_interval": 100},
    # The paper's: ResNet-50, batch 1024, evaluation every 200 steps.
    "imagenet": {
        "model": "resnet50", "batch_size": 1024, "micro_batch": 128, "eval_interval": 200, "nesterov": False,
    },
}  # fmt: skip


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete, checked settings: the user's over the data set's over the defaults. Resolving twice changes nothing."""
    data = given.get("data", {"name": "digits"})
    data = images.check({"name": data} if isinstance(data, str) else convert("learner.data", data, dict))
    usual = OF_ADAMW if given.get("optimiser") == "adamw" else {}
    complete = {**DATA_SETTINGS.get(data["name"], {}), **usual, **given, "data": data}
    settings = build(Settings, complete, "learner.", "setting of learner Classifier")
    settings = replace(settings, model=networks.spelled(settings.model))
    networks.check(settings.model, settings.arguments)
    settings = _with_digest(settings)
    if settings.batch_size % (settings.micro_batch or 1):
        raise SettingError(
            f"learner.batch_size={settings.batch_size}: must be a multiple of learner.micro_batch="
            f"{settings.micro_batch}"
        )
    if settings.stacked:
        _check_stacked(settings)
    result: dict[str, Any] = plain(settings)
    return result


def _with_digest(settings: Settings) -> Settings:
    """With the checksum of the weights to begin with. Raises SettingError where they are not those it tells of."""
    path, known = settings.pretrained, settings.pretrained_sha256
    if path is None:
        if known is not None:
            raise SettingError(f"learner.pretrained_sha256={known}: must be null without learner.pretrained")
        return settings
    path = str(absolute(path, "learner.pretrained"))
    found = pretrained.digest(path)
    if known not in (None, found):
        raise SettingError(f"learner.pretrained={path}: its SHA-256 is {found}, it must be {known}")
    return replace(settings, pretrained=path, pretrained_sha256=found)


def _check_stacked(settings: Settings) -> None:
    """Refuse what cannot train as one computation."""
    name = f"learner.stacked={settings.stacked}"
    if settings.model not in networks.OWN:
        raise SettingError(
            f"{name}: learner.model={settings.model} cannot be stacked, only {' and '.join(networks.OWN)}"
        )
    usual = {declared.name: declared.default for declared in fields(Settings)}
    for practice in ALONE:
        if (value := getattr(settings, practice)) != usual[practice]:
            raise SettingError(f"{name}: must be null with learner.{practice}={show(value)}")
    if settings.precision != "float32":
        raise SettingError(f"{name}: learner.precision={settings.precision} cannot be stacked, only float32")
    if settings.data["name"] == "imagenet":
        raise SettingError(f"{name}: data=imagenet cannot be stacked: broken images make batches of different sizes")

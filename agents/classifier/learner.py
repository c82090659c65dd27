"""SGD on images as a learner of firerl: one step is one optimiser step, the objective is held-out accuracy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from firerl.agents.classifier import deployed, networks, pretrained
from firerl.agents.classifier import settings as classifier_settings
from firerl.envs import images
from firerl.envs.images import own_data
from firerl.envs.images.files.folder import too_many
from firerl.errors import SettingError
from firerl.learner import Hyperparameters, Learner, Stack, Survey


def begun(settings: Mapping[str, Any], shape: images.Shape, seed: int) -> nn.Module:
    """The network that training begins with."""
    network = networks.build(settings["model"], settings["width"], shape, seed, settings["arguments"])
    if settings["pretrained"]:
        pretrained.begin_with(network, settings["pretrained"], settings["pretrained_sha256"])
    return network


class Classifier(Learner):
    """A network that learns to name images.

    weights: parameters, buffers of the norms, momentum buffers. stream: the seed of the order of images and how many
    have been taken from it; see ``envs/images/order.py``.
    """

    space: ClassVar[Mapping[str, Any]] = {"learning_rate": {"log_uniform": [1e-3, 1.0], "bounds": [1e-5, 4.0]}}
    Settings = classifier_settings.Settings
    aside: ClassVar[tuple[str, ...]] = ("pretrained", *(f"data.{name}" for name in images.ASIDE))

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str = "cpu"):
        self.config = dict(settings)
        self.device = torch.device(device)
        self.data = images.load(settings["data"])
        scale = self.data.scale
        self._scale = scale and [torch.tensor(values, device=self.device).view(1, -1, 1, 1) for values in scale]
        first, self.seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2, np.uint32))
        self.order = images.Order(self.data.count, self.seed)
        self.taken = 0  # training images so far: the position in the order
        self.broken: set[int] = set()  # training images met that cannot be read
        network = begun(settings, self.data.shape, first)
        # Channels last: what a convolution takes fastest, on processors and on GPUs.
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        decayed, others = networks.decayed(self.network)
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.SGD(groups, lr=0.0, fused=True)
        self.set_hyperparameters(hyperparameters)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return classifier_settings.resolve(settings)

    @classmethod
    def defaults_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**cls.settings, "data": images.defaults(settings["data"])}

    @classmethod
    def survey(cls, settings: Mapping[str, Any], say: Callable[[str], None]) -> Survey | None:
        found = images.survey(settings["data"], say)
        if settings["model"] not in (*networks.OWN, *networks.RESNETS) or settings["pretrained"]:
            shape = images.load(settings["data"]).shape
            networks.try_out(begun(settings, shape, 0), settings["model"], shape)
        if settings["stacked"] and own_data.is_read(images.load(settings["data"])):
            raise SettingError(
                f"learner.stacked={settings['stacked']}: data={settings['data']['name']} cannot be stacked, only arrays"
            )
        return found

    @classmethod
    def check_data(cls, settings: Mapping[str, Any], contents: Any) -> None:
        images.check_again(settings["data"], contents)

    @classmethod
    def eval_interval_of(cls, settings: Mapping[str, Any]) -> int:
        return int(settings["eval_interval"])

    @classmethod
    def uses_gpu_of(cls, settings: Mapping[str, Any]) -> bool:
        """The small networks train as fast on a core."""
        return settings["model"] not in networks.OWN

    @classmethod
    def task_of(cls, settings: Mapping[str, Any]) -> str:
        return str(settings["data"]["name"])

    @classmethod
    def facts_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return deployed.facts_of(images.load(settings["data"]))

    @classmethod
    def module_of(cls, settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any]) -> deployed.Images:
        return deployed.module_of(settings, weights, facts)

    @classmethod
    def stack(cls, settings: Mapping[str, Any], slots: int, device: str) -> Stack:
        from firerl.agents.classifier.stacked import StackedClassifiers

        return StackedClassifiers(settings, slots, device)

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        """Any of ``tunable``; those not given take the value of the settings."""
        now = {name: self.config[name] for name in self.tunable} | self.checked(values)
        self.label_smoothing = now["label_smoothing"]
        for group, decay in zip(self.optimiser.param_groups, (now["weight_decay"], 0.0), strict=True):
            group.update(lr=now["learning_rate"], momentum=now["momentum"], weight_decay=decay)
            group["nesterov"] = now["nesterov"] and now["momentum"] > 0

    def train(self, steps: int) -> dict[str, float]:
        """Metrics: loss and accuracy on this call's training images, and passes through the training set so far."""
        self.network.train()
        size = self.config["batch_size"]
        part = self.config["micro_batch"] or size
        batches = self.data.stream(self.order.parts(self.taken, steps, size, part, self.data.draws))
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss, right answers
        for _ in range(steps):
            sums += self._step(itertools.islice(batches, size // part))
        return self.metrics(*(sums / (steps * size)).tolist())

    def metrics(self, loss: float, right: float) -> dict[str, float]:
        """What ``train`` returns, from means over its images. Raises FloatingPointError on a loss that is no number."""
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}: training diverged")
        metrics = {"loss": loss, "train_accuracy": right, "epochs": self.taken / self.data.count}
        if self.data.max_broken is not None:
            metrics["broken_images"] = float(len(self.broken))
        return metrics

    def _step(self, batches: Iterable[images.Batch]) -> Tensor:
        """One optimiser step on all of ``batches``; returns the sum of losses and the number of right answers."""
        size = self.config["batch_size"]
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.optimiser.zero_grad()
        for batch in batches:
            self._count_broken(batch.broken)
            loss, right = self._losses(batch)
            (loss / size).backward()
            sums += torch.stack([loss.detach(), right]).double()
        self.optimiser.step()
        self.taken += size
        return sums

    def _losses(self, batch: images.Batch) -> tuple[Tensor, Tensor]:
        """The sum of losses over a batch, and the number of right answers, both float32."""
        pixels = self._pixels(batch)
        labels = torch.from_numpy(batch.labels).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config["precision"] == "bfloat16"):
            logits = self.network(pixels)
        logits = logits.float()
        loss = cross_entropy(logits, labels, reduction="sum", label_smoothing=self.label_smoothing)
        return loss, (logits.detach().argmax(1) == labels).sum().float()

    def _pixels(self, batch: images.Batch) -> Tensor:
        """The images of a batch on the device, normalised."""
        pixels = torch.from_numpy(batch.images).to(self.device, memory_format=torch.channels_last)
        if self._scale is None:
            return pixels
        mean, deviation = self._scale
        return pixels.float().div_(255).sub_(mean).div_(deviation)

    def _count_broken(self, found: tuple[int, ...]) -> None:
        self.broken.update(found)
        self._check_broken("training", len(self.broken))

    def _check_broken(self, part: str, count: int) -> None:
        if (limit := self.data.max_broken) is not None and count > limit:
            raise too_many(part, limit)

    def evaluate(self, seed: int) -> float:
        """Accuracy on the objective half of validation, 0 to 1; the same images every time."""
        return self._held_out("objective").get("accuracy", math.nan)

    def report(self, seed: int) -> dict[str, float]:
        """Accuracy on the validation images that no objective was measured on."""
        return self._held_out("report")

    @torch.no_grad()
    def _held_out(self, part: str) -> dict[str, float]:
        """Accuracy and mean loss on a half of validation; {} where it has no images."""
        self.network.eval()
        count, broken, sums = 0, 0, np.zeros(2)
        for batch in self.data.held_out(part):
            broken += len(batch.broken)
            self._check_broken("validation", broken)
            if len(batch.labels):
                loss, right = self._losses(batch)
                sums += (float(loss), float(right))
                count += len(batch.labels)
        if not count:
            return {}
        return {"accuracy": float(sums[1]) / count, "loss": float(sums[0]) / count, "images": float(count)}

    def state(self) -> dict[str, Any]:
        network = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        buffers = [self.optimiser.state[p].get("momentum_buffer") for p in self.parameters()]
        momentum = [None if buffer is None else buffer.detach().cpu().clone() for buffer in buffers]
        stream = {"seed": self.seed, "taken": self.taken, "broken": sorted(self.broken)}
        return {"weights": {"network": network, "momentum": momentum}, "stream": stream}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        """Momentum comes with the weights; the learning rate and the order of images stay with the worker."""
        if weights is not None:
            self.network.load_state_dict(weights["network"])  # copies into the tensors that are there
            for parameter, buffer in zip(self.parameters(), weights["momentum"], strict=True):
                kept = None if buffer is None else torch.empty_like(parameter).copy_(buffer)
                self.optimiser.state[parameter] = {"momentum_buffer": kept}
        if stream is not None:
            self.seed, self.taken = int(stream["seed"]), int(stream["taken"])
            self.broken = {int(index) for index in stream["broken"]}
            self.order = images.Order(self.data.count, self.seed)

    def parameters(self) -> list[nn.Parameter]:
        """In the optimiser's order."""
        return [p for group in self.optimiser.param_groups for p in group["params"]]

"""SGD on images as a learner of firerl: one step is one optimiser step, the objective is held-out accuracy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from firerl.agents.classifier import deployed, mixing, networks, pretrained
from firerl.agents.classifier import settings as classifier_settings
from firerl.agents.classifier.average import Average
from firerl.envs import images
from firerl.envs.images import own_data
from firerl.envs.images.files.folder import too_many
from firerl.errors import SettingError
from firerl.learner import Hyperparameters, Learner, Stack, Survey

SPACE_OF_ADAMW = {"learning_rate": {"log_uniform": [1e-5, 1e-2], "bounds": [1e-7, 0.1]}}
ADAMW_KEEPS = ("step", "exp_avg", "exp_avg_sq")  # of each parameter
TOP = 5  # an image is nearly right if its class is among so many


def _copied(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().cpu().clone()


def _like(parameter: Tensor, kept: Tensor | None) -> Tensor | None:
    """A copy of what an optimiser keeps of a parameter, laid out as that is; a number of steps has no dimensions."""
    if kept is None or not kept.ndim:
        return kept if kept is None else kept.to(parameter.device, copy=True)
    return torch.empty_like(parameter).copy_(kept)


def begun(settings: Mapping[str, Any], shape: images.Shape, seed: int) -> nn.Module:
    """The network that training begins with."""
    network = networks.build(settings["model"], settings["width"], shape, seed, settings["arguments"])
    if settings["pretrained"]:
        pretrained.begin_with(network, settings["pretrained"], settings["pretrained_sha256"])
    return network


class Classifier(Learner):
    """A network that learns to name images.

    weights: parameters, buffers of the norms, what the optimiser keeps, the average of the weights if one is asked for.
    stream: the seed of the order of images and how many
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
        adamw = settings["optimiser"] == "adamw"
        self.optimiser = (torch.optim.AdamW if adamw else torch.optim.SGD)(groups, lr=0.0, fused=True)
        self.kept = ADAMW_KEEPS if adamw else ("momentum_buffer",)  # by the optimiser, of each parameter
        self.average = Average(self.network, settings["ema"]) if settings["ema"] else None
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
    def space_of(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        return SPACE_OF_ADAMW if settings["optimiser"] == "adamw" else cls.space

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
        self.label_smoothing, self.now = now["label_smoothing"], now
        for group, decay in zip(self.optimiser.param_groups, (now["weight_decay"], 0.0), strict=True):
            group.update(lr=now["learning_rate"], weight_decay=decay)
            if "betas" in group:
                group["betas"] = (now["momentum"], group["betas"][1])
            else:
                group.update(momentum=now["momentum"], nesterov=now["nesterov"] and now["momentum"] > 0)

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
        rng = self.order.generator(self.taken) if any(self.now[name] for name in mixing.SETTINGS) else None
        self.optimiser.zero_grad()
        for batch in batches:
            self._count_broken(batch.broken)
            loss, right = self._losses(batch, rng)
            (loss / size).backward()
            sums += torch.stack([loss.detach(), right]).double()
        if self.now["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(self.parameters(), self.now["clip_norm"])
        if warmup := self.config["warmup"]:
            for group in self.optimiser.param_groups:
                group["lr"] = self.now["learning_rate"] * min(1.0, (self.taken // size + 1) / warmup)
        self.optimiser.step()
        if self.average:
            self.average.follow(self.network)
        self.taken += size
        return sums

    def _losses(self, batch: images.Batch, rng: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        """The sum of losses over a training batch, and the number of right answers, both float32."""
        pixels, labels = self._pixels(batch), torch.from_numpy(batch.labels).to(self.device)
        others, share = labels, 1.0
        if rng is not None:
            pixels, others, share = mixing.changed(pixels, labels, self.now, rng)
        logits = self._logits(pixels)
        loss = self._loss(logits, labels)
        if share != 1.0:
            loss = share * loss + (1 - share) * self._loss(logits, others)
        return loss, (logits.detach().argmax(1) == labels).sum().float()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, reduction="sum", label_smoothing=self.label_smoothing)

    def _logits(self, pixels: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
        """Of images on the device, float32; ``weights`` stand in for the network's own."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config["precision"] == "bfloat16"):
            logits = self.network(pixels) if weights is None else functional_call(self.network, weights, (pixels,))
        result: Tensor = logits.float()
        return result

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
        count, broken, sums = 0, 0, np.zeros(3)
        classes, average = self.data.shape.classes, self.average.weights if self.average else None
        top = min(TOP, classes)
        for batch in self.data.held_out(part):
            broken += len(batch.broken)
            self._check_broken("validation", broken)
            if len(batch.labels):
                labels = torch.from_numpy(batch.labels).to(self.device)
                logits = self._logits(self._pixels(batch), average)
                right = (logits.argmax(1) == labels).sum().float()
                near = (logits.topk(top).indices == labels[:, None]).sum()
                sums += (float(self._loss(logits, labels)), float(right), float(near))
                count += len(batch.labels)
        if not count:
            return {}
        found = {"accuracy": float(sums[1]) / count, "loss": float(sums[0]) / count, "images": float(count)}
        return found if classes <= 2 * TOP else {**found, f"top{TOP}_accuracy": float(sums[2]) / count}

    def state(self) -> dict[str, Any]:
        network = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        momentum = {name: [_copied(self.optimiser.state[p].get(name)) for p in self.parameters()] for name in self.kept}
        weights = {"network": network, "momentum": momentum["momentum_buffer"]} if len(momentum) == 1 else {
            "network": network, "moments": momentum
        }  # fmt: skip
        if self.average:
            weights["average"] = {name: _copied(tensor) for name, tensor in self.average.weights.items()}
        stream = {"seed": self.seed, "taken": self.taken, "broken": sorted(self.broken)}
        return {"weights": weights, "stream": stream}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        """Momentum comes with the weights; the learning rate and the order of images stay with the worker."""
        if weights is not None:
            self.network.load_state_dict(weights["network"])  # copies into the tensors that are there
            self._load_moments(weights.get("moments", {"momentum_buffer": weights.get("momentum")}))
            if self.average:
                self.average.load(weights.get("average", weights["network"]))
        if stream is not None:
            self.seed, self.taken = int(stream["seed"]), int(stream["taken"])
            self.broken = {int(index) for index in stream["broken"]}
            self.order = images.Order(self.data.count, self.seed)

    def _load_moments(self, moments: Mapping[str, Any]) -> None:
        """What an optimiser of this kind has kept; from that of another one it begins anew."""
        for number, parameter in enumerate(self.parameters()):
            kept = {name: _like(parameter, moments[name][number]) for name in self.kept if name in moments}
            self.optimiser.state[parameter] = {} if any(value is None for value in kept.values()) else kept

    def parameters(self) -> list[nn.Parameter]:
        """In the optimiser's order."""
        return [p for group in self.optimiser.param_groups for p in group["params"]]

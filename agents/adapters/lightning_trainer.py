"""What a LightningModule finds where it looks for a Trainer, and where its ``self.log`` goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from firerl.base.settings import show
from firerl.errors import SettingError


@dataclass
class Progress:
    """How far a worker has come."""

    epoch: int = 0
    batch: int = 0  # of this epoch
    step: int = 0


class StandIn:
    """In the place of the Trainer: what has a meaning here. All else is refused by its name."""

    logger, loggers, progress_bar_callback = None, (), None
    world_size, num_devices, global_rank, local_rank, is_global_zero = 1, 1, 0, 0, True
    sanity_checking = fast_dev_run = barebones = False

    def __init__(self, datamodule: Any):
        self.datamodule, self.progress = datamodule, Progress()
        self.stage = "train"  # or validation, test
        self.optimizers: list[Any] = []
        self.lr_scheduler_configs: list[Any] = []

    @property
    def current_epoch(self) -> int:
        return self.progress.epoch

    @property
    def global_step(self) -> int:
        return self.progress.step

    @property
    def training(self) -> bool:
        return self.stage == "train"

    @property
    def validating(self) -> bool:
        return self.stage == "validation"

    @property
    def testing(self) -> bool:
        return self.stage == "test"

    @property
    def strategy(self) -> Any:
        """For ``self.optimizers()``."""
        return SimpleNamespace(_lightning_optimizers=self.optimizers)

    def __getattr__(self, name: str) -> Any:
        # No AttributeError: a module would then say that it has no trainer.
        raise SettingError(
            f"self.trainer.{name}: there is no Trainer, and a run that evolves has no end that its learners know; give "
            "the module what it needs as an argument of its constructor"
        )


class Log:
    """What ``self.log`` was given since ``begin``, as means over batches, weighted by their size."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.sums: dict[str, Any] = {}
        self.weights: dict[str, float] = {}
        self.metrics: dict[str, Any] = {}  # torchmetrics' objects, which compute over a whole epoch
        self.size = 1  # of the batch that is looked at

    def log(
        self,
        name: str,
        value: Any,
        *_: Any,
        batch_size: int | None = None,
        reduce_fx: Any = "mean",
        **__: Any,
    ) -> None:
        """Stands in for ``LightningModule.log``; raises SettingError on what has no mean."""
        if callable(getattr(value, "compute", None)):
            self.metrics[name] = value
            return
        if reduce_fx not in ("mean", torch.mean):
            raise SettingError(f"self.log({name!r}, reduce_fx={show(reduce_fx)}): must be 'mean'")
        if isinstance(value, torch.Tensor):
            if value.numel() != 1:
                raise SettingError(f"self.log({name!r}): must be one number, it has the shape {list(value.shape)}")
            value = value.detach().double().reshape(())
        weight = self.size if batch_size is None else batch_size
        self.sums[name] = self.sums.get(name, 0.0) + value * weight
        self.weights[name] = self.weights.get(name, 0) + weight

    def log_dict(self, dictionary: Mapping[str, Any], *_: Any, **more: Any) -> None:
        for name, value in dictionary.items():
            self.log(name, value, **more)

    def end_epoch(self) -> None:
        """torchmetrics' objects give their value and begin anew, as with a Trainer."""
        for name, metric in self.metrics.items():
            self.sums[name], self.weights[name] = metric.compute().double(), 1
            metric.reset()
        self.metrics = {}

    def means(self) -> dict[str, float]:
        return {name: float(total) / self.weights[name] for name, total in self.sums.items() if self.weights[name]}

"""LightningModules and LightningDataModules for tests: small, with much of what people write."""

from __future__ import annotations

from typing import Any

import lightning
import torch
import torchmetrics
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, random_split


class Rows(lightning.LightningDataModule):
    """Three classes of ten numbers; batches of 8 rows, five in an epoch."""

    def __init__(self, batch_size: int = 8, rows: int = 60):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        inputs = torch.randn(self.hparams.rows, 10, generator=torch.Generator().manual_seed(1))
        data = TensorDataset(inputs, inputs[:, :3].argmax(1))
        self.train, self.held = random_split(data, [40, self.hparams.rows - 40])

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True, num_workers=2)

    def val_dataloader(self) -> Any:
        return DataLoader(self.held, batch_size=16)

    test_dataloader = val_dataloader


class Net(lightning.LightningModule):
    def __init__(self, learning_rate: float = 0.1, width: int = 8, smoothing: float = 0.0):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(10, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 3))

    def forward(self, inputs: Tensor) -> Any:
        return self.model(inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        logits = self(batch[0])
        loss = nn.functional.cross_entropy(logits, batch[1], label_smoothing=self.hparams.smoothing)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        logits = self(batch[0])
        values = {"val_loss": nn.functional.cross_entropy(logits, batch[1])}
        self.log_dict({**values, "val_acc": (logits.argmax(1) == batch[1]).float().mean()})

    def test_step(self, batch: Any) -> None:
        self.log("test_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate, momentum=0.9)


class Rich(Net):
    """Schedulers, metrics, hooks, and state in plain attributes."""

    def __init__(self, learning_rate: float = 0.1):
        super().__init__(learning_rate)
        self.accuracy = torchmetrics.MeanMetric()
        self.seen: list[Tensor] = []
        self.best = 0.0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx) * (1.0 + 0.01 * self.current_epoch)
        self.accuracy(loss.detach())
        self.log("mean", self.accuracy)
        self.seen.append(loss.detach())
        return {"loss": loss}

    def on_train_epoch_start(self) -> None:
        self.model[0].requires_grad_(self.current_epoch % 2 == 0)
        self.model[1].train(self.current_epoch % 2 == 0)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(1.0 - 0.01 * self.best)

    def on_train_epoch_end(self) -> None:
        self.best = max(self.best, float(torch.stack(self.seen).mean()))
        self.log("best", self.best)
        self.seen.clear()

    def on_validation_epoch_end(self) -> None:
        self.best = 100.0  # an evaluation leaves no trace

    def configure_optimizers(self) -> Any:
        rate = self.hparams.learning_rate
        groups = [{"params": self.model[0].parameters(), "lr": rate / 10}, {"params": self.model[1:].parameters()}]
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9)
        every = {
            "scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99),
            "interval": "step",
            "frequency": 2,
        }
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9), every]


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(torch.zeros(4, 10))

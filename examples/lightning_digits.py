"""A LightningModule as it is, evolved: ``python examples/lightning_digits.py``."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import firerl


class Net(lightning.LightningModule):
    def __init__(self, learning_rate=1e-3, hidden=64):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 10))

    def forward(self, images):
        return self.model(images)

    def training_step(self, batch):
        images, labels = batch
        return nn.functional.cross_entropy(self(images), labels)

    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.learning_rate)


class Digits(lightning.LightningDataModule):
    def setup(self, stage):
        images, labels = map(torch.tensor, load_digits(return_X_y=True))
        self.train, self.val = random_split(TensorDataset(images.float() / 16, labels), [1200, 597])

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=32, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=597)


if __name__ == "__main__":
    learner = firerl.adapters.lightning(Net, Digits)
    print(firerl.run(learner, preset="smoke", run_dir="runs/lightning"))

"""A loop of plain PyTorch, on scikit-learn's digits: ``python -m firerl.check torch_digits.Digits``."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from firerl import TorchLearner

IMAGES, LABELS = map(torch.tensor, load_digits(return_X_y=True))


class Digits(TorchLearner):
    space = {"lr": {"log_uniform": [1e-4, 0.1]}, "weight_decay": {"log_uniform": [1e-4, 1.0]}}

    def __init__(self, settings, hyperparameters, seed, device):
        self.model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.set_hyperparameters(hyperparameters)

    def loss(self, rows):
        return nn.functional.cross_entropy(self.model(IMAGES[rows].float() / 16), LABELS[rows])

    def train(self, steps):
        self.model.train()
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.loss(torch.randint(1200, (32,))).backward()
            self.optimizer.step()
        return {}

    def evaluate(self, seed):
        self.model.eval()
        return -self.loss(slice(1200, None)).item()

"""A vision transformer of Hugging Face, made of a config: ``python -m firerl.check transformers_vit.Images``."""

import torch
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification

from firerl import TorchLearner

IMAGES, LABELS = map(torch.tensor, load_digits(return_X_y=True))
IMAGES = IMAGES.float().reshape(-1, 1, 8, 8) / 16
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONFIG = ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, hidden_dropout_prob=0.1, **SIZE)


class Images(TorchLearner):
    space = {"lr": {"log_uniform": [1e-4, 0.01]}, "weight_decay": {"log_uniform": [1e-4, 1.0]}}
    left_out = ("device",)
    eval_interval = 20

    def __init__(self, settings, hyperparameters, seed, device):
        self.device = device
        self.model = ViTForImageClassification(CONFIG).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.set_hyperparameters(hyperparameters)

    def loss(self, rows):
        images, labels = IMAGES[rows].to(self.device), LABELS[rows].to(self.device)
        return self.model(pixel_values=images, labels=labels).loss

    def train(self, steps):
        self.model.train()
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.loss(torch.randint(1200, (32,))).backward()
            self.optimizer.step()
        return {}

    def evaluate(self, seed):
        self.model.eval()
        with torch.no_grad():
            return -self.loss(slice(1200, None)).item()

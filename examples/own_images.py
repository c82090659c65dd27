"""Images and a network of one's own:

python -m firerl.launch learner=classifier data=own_images:make_data learner.model=own_images:make_model
"""

import numpy as np
from torch import nn


def make_data():  # as CIFAR-10: colour images [N, 32, 32, 3] with labels 0 to 9
    labels, draw = np.arange(600) % 10, np.random.default_rng(0).integers
    patterns, noise = (draw(0, 128, (n, 32, 32, 3), dtype=np.uint8) for n in (10, 600))
    images = patterns[labels] + noise
    return {"train": (images[:400], labels[:400]), "validation": (images[400:], labels[400:])}


def make_model(channels, size, classes):
    layers = nn.Conv2d(channels, 8, 4, 4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8 * (size // 4) ** 2, classes))

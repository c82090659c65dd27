"""A learner that others have written, scikit-learn's SGDClassifier: ``python -m firerl.check sklearn_sgd.Wrapped``."""

from copy import copy

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

from firerl import Learner

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = IMAGES / 16.0
TRAIN, SEARCH, UNSEEN = slice(0, 1000), slice(1000, 1400), slice(1400, None)
FITTED = ("coef_", "intercept_", "t_")


class Wrapped(Learner):
    space = {"eta0": {"log_uniform": [1e-3, 1.0]}, "alpha": {"log_uniform": [1e-6, 1e-2]}}
    settings = {"batch": 16}
    eval_interval = 20

    def __init__(self, settings, hyperparameters, seed, device):
        self.batch = settings["batch"]
        self.rng = np.random.default_rng(seed)
        self.model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=1e-9, shuffle=False)
        self.model.partial_fit(IMAGES[:1], LABELS[:1], classes=np.arange(10))  # makes the coefficients
        self.set_hyperparameters(hyperparameters)

    def set_hyperparameters(self, values):
        self.model.set_params(**values)

    def train(self, steps):
        for _ in range(steps):
            rows = self.rng.integers(0, TRAIN.stop, self.batch)
            self.model.partial_fit(IMAGES[rows], LABELS[rows])
        return {}

    def loss(self, part):
        return log_loss(LABELS[part], self.model.predict_proba(IMAGES[part]), labels=np.arange(10))

    def evaluate(self, seed):
        return -self.loss(SEARCH)

    def report(self, seed):
        return {"loss": self.loss(UNSEEN), "accuracy": self.model.score(IMAGES[UNSEEN], LABELS[UNSEEN])}

    def state(self):
        weights = {name: getattr(self.model, name) for name in FITTED}
        return {"weights": weights, "stream": self.rng.bit_generator.state}

    def load(self, weights=None, stream=None):
        if weights is not None:
            for name in FITTED:
                setattr(self.model, name, copy(weights[name]))
        if stream is not None:
            self.rng.bit_generator.state = stream

"""Image classification with SGD: digits, shapes, ImageNet."""

from firerl.agents.classifier.learner import Classifier

__all__ = ["Classifier"]

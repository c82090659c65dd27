"""Anybody's PyTorch loop as a learner: ``firerl.TorchLearner``."""

from firerl.agents.torch_learner.learner import TorchLearner

__all__ = ["TorchLearner"]

"""``firerl.TorchLearner``: a learner whose state is whatever its attributes hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from firerl.agents.torch_learner import attributes, hyperparameter_places
from firerl.learner import Hyperparameters, Learner

Place = str | Sequence[str]  # "optimizer.lr", "model.drop.p", "optimizer.0.weight_decay", or several of them


class TorchLearner(Learner):
    """A learner that writes ``state``, ``load`` and ``set_hyperparameters`` itself. A subclass has ``__init__``, which
    ends with ``self.set_hyperparameters(hyperparameters)``, ``train`` and ``evaluate``.

    *weights* hold the modules, optimisers, schedulers, scalers and trainable tensors among its attributes, and what
    ``in_weights`` names; *stream* holds generators, samplers, environments and all plain values: numbers, texts,
    arrays, tensors. Both reach into lists, tuples, dicts and objects of plain Python. What cannot be saved is refused
    by its name.

    A hyperparameter is set where ``hyperparameters`` says, else in every parameter group that has its name and in the
    attribute of its name. A learning rate under a scheduler is the one that the scheduler starts from.

    Not saved, since nothing tells that they matter: gradients (train in whole updates, by ``granularity``), which
    modules are in training mode (begin ``train`` with ``model.train()``), plain attributes of modules.
    """

    hyperparameters: ClassVar[Mapping[str, Place]] = {}  # name -> where it is set
    in_weights: ClassVar[tuple[str, ...]] = ()  # attributes of plain values that a copy of the weights brings along
    left_out: ClassVar[tuple[str, ...]] = ()  # attributes that are as __init__ made them, in every process

    __values: dict[str, Any]  # what it trains with
    __device: torch.device

    def __new__(
        cls, settings: Any = None, hyperparameters: Any = (), seed: int = 0, device: str = "cpu"
    ) -> TorchLearner:
        """Keeps what any ``__init__`` of a subclass is given."""
        self = super().__new__(cls)
        self.__values, self.__device = dict(hyperparameters), torch.device(device)
        return self

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        """Raises SettingError where a name has no place."""
        self.__values = dict(values)
        hyperparameter_places.put(self, type(self).hyperparameters, self._attributes().parts.values(), values)

    def state(self) -> dict[str, Any]:
        """Copies on the CPU. Raises SettingError on what cannot be saved."""
        found = self._attributes()
        found.check_trained()
        return {"weights": found.state("weights"), "stream": found.state("stream")}

    def load(self, weights: Any = None, stream: Any = None) -> str | None:
        """Raises SettingError where the state has other parts than ``__init__`` makes."""
        told = []
        if weights is not None:
            told += self._attributes().load("weights", weights, self.__device)
        if stream is not None:
            told += self._attributes().load("stream", stream, self.__device)
        found = self._attributes().parts.values()
        apart = {name: value for name, value in self.__values.items() if name in type(self).hyperparameters}
        hyperparameter_places.put(self, type(self).hyperparameters, found, apart, optimisers=False)
        return "; ".join(told) or None

    def _attributes(self) -> attributes.Attributes:
        return attributes.of(self, type(self).left_out, type(self).in_weights)

"""Classifiers that train as one batched computation: ``learner.stacked``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from firerl.agents.classifier import networks
from firerl.agents.classifier.batched import BatchedCNN, BatchedMLP
from firerl.envs import images

if TYPE_CHECKING:
    from firerl.agents.classifier.learner import Classifier

ALIGNED = 16  # numbers: every tensor of a member begins at 64 bytes, as one that torch allocates


class Layout:
    """Where the parameters of a network lie in a row of numbers; those that weight decay pulls at come first."""

    def __init__(self, network: nn.Module):
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        decayed, others = networks.decayed(network)
        self.places: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {}  # name: offset, shape, strides
        self.size = self.decayed = 0
        for parameter in (*decayed, *others):
            self.places[names[id(parameter)]] = (self.size, tuple(parameter.shape), parameter.stride())
            self.size += -(-parameter.numel() // ALIGNED) * ALIGNED
            if parameter is decayed[-1]:
                self.decayed = self.size

    def stacked(self, rows: Tensor) -> dict[str, Tensor]:
        """Views of the parameters of all rows [k, size]: [k, ...] by name."""
        return {
            name: rows.as_strided((len(rows), *shape), (self.size, *strides), offset)
            for name, (offset, shape, strides) in self.places.items()
        }

    def row(self, rows: Tensor, slot: int) -> list[Tensor]:
        """Views of the parameters of one row, in the optimiser's order, with the strides that a network's own have."""
        start = slot * self.size
        return [rows.as_strided(shape, strides, start + offset) for offset, shape, strides in self.places.values()]


class StackedClassifiers:
    """A ``firerl.learner.Stack``. While members train here, and after, their tensors are views of its rows.

    So a member needs no more memory than elsewhere, and everything else (evaluation, saving, copying) finds its network
    as ever. A slot that rests computes on zeros, and its row is put back.
    """

    def __init__(self, settings: Mapping[str, Any], slots: int, device: str):
        self.slots, self.device = slots, torch.device(device)
        self.model, self.size = settings["model"], settings["batch_size"]
        self.part = settings["micro_batch"] or self.size
        self.data = images.load(settings["data"])
        network = networks.build(self.model, settings["width"], self.data.shape, 0)
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = cast(nn.Sequential, network)
        self.layout = Layout(self.network)
        self.parameters, self.momentum = (torch.zeros(slots, self.layout.size, device=self.device) for _ in range(2))

    @torch.no_grad()
    def train(self, members: Sequence[Classifier | None], steps: int) -> list[dict[str, float] | Exception | None]:
        """Members by slot; see ``firerl.learner.Stack``."""
        still = [slot for slot, member in enumerate(members) if member is None]
        # Without momentum a member keeps its old buffers, as with torch's SGD.
        loose = [slot for slot, m in enumerate(members) if m is None or not m.optimiser.param_groups[0]["momentum"]]
        kept = self.parameters[still].clone(), self.momentum[loose].clone()
        try:
            self.parameters[still], self.momentum[loose] = 0.0, 0.0
            sums = self._steps(members, steps)
        finally:
            self.parameters[still], self.momentum[loose] = kept
        means = (sums / (steps * self.size)).tolist()
        return [None if m is None else _told(m, *mean) for m, mean in zip(members, means, strict=True)]

    def _steps(self, members: Sequence[Classifier | None], steps: int) -> Tensor:
        """Sums of losses and numbers of right answers, [k, 2]."""
        for slot, member in enumerate(members):
            if member is not None:
                self._take_in(member, slot)
        gradients = torch.zeros_like(self.parameters)
        statistics = self._statistics(members)
        compute = self._compute(gradients, statistics)
        smoothing = self._vector(members, lambda m: m.label_smoothing)[:, 0]
        update = self._update(members, gradients)
        sums = torch.zeros(self.slots, 2, dtype=torch.float64, device=self.device)
        for _ in range(steps):
            pixels, labels = self._batch(members)
            gradients.zero_()
            for start in range(0, self.size, self.part):
                part = slice(start, start + self.part)
                sums += torch.stack(compute(pixels[:, part], labels[:, part], smoothing, 1 / self.size), 1)
            update()
        self._give_back(members, statistics, steps)
        return sums

    def _take_in(self, member: Classifier, slot: int) -> None:
        """Copy a member's tensors into its row, but for those that lie there already, and make them views of it."""
        rows, buffers = self.layout.row(self.parameters, slot), self.layout.row(self.momentum, slot)
        moves = member.optimiser.param_groups[0]["momentum"] > 0
        for parameter, row, buffer in zip(member.parameters(), rows, buffers, strict=True):
            if parameter.data_ptr() != row.data_ptr():
                parameter.data = row.copy_(parameter)
            parameter.grad = None
            if moves:
                old = member.optimiser.state[parameter].get("momentum_buffer")
                if old is None:
                    buffer.zero_()
                elif old.data_ptr() != buffer.data_ptr():
                    buffer.copy_(old)
                member.optimiser.state[parameter]["momentum_buffer"] = buffer

    def _statistics(self, members: Sequence[Classifier | None]) -> dict[str, Tensor]:
        """The running statistics of the norms, [k, channels] by name."""
        found: dict[str, Tensor] = {}
        for name, buffer in self.network.named_buffers():
            if buffer.ndim:  # else the count of the batches
                found[name] = buffer.repeat(self.slots, 1)
                for slot, member in enumerate(members):
                    if member is not None:
                        found[name][slot] = member.network.get_buffer(name)
        return found

    def _give_back(self, members: Sequence[Classifier | None], statistics: Mapping[str, Tensor], steps: int) -> None:
        passes = steps * (self.size // self.part)
        for slot, member in enumerate(members):
            for name, buffer in () if member is None else member.network.named_buffers():
                if buffer.ndim:
                    buffer.copy_(statistics[name][slot])
                else:
                    buffer.add_(passes)

    def _compute(self, gradients: Tensor, statistics: Mapping[str, Tensor]) -> BatchedMLP | BatchedCNN:
        stacked = self.layout.stacked(self.parameters), self.layout.stacked(gradients)
        return BatchedMLP(self.network, *stacked) if self.model == "mlp" else BatchedCNN(
            self.network, *stacked, statistics
        )  # fmt: skip

    def _batch(self, members: Sequence[Classifier | None]) -> tuple[Tensor, Tensor]:
        """The next images [k, B, C, H, W] and labels [k, B] of every member, in one go; a resting slot takes any."""
        indices = np.zeros((self.slots, self.size), np.int64)
        draws = np.zeros((self.slots, self.size, self.data.draws))
        for slot, member in enumerate(members):
            if member is not None:
                indices[slot] = member.order.indices(member.taken, self.size)
                draws[slot] = member.order.draws(member.taken, self.size, self.data.draws)
                member.taken += self.size
        batch = self.data.train(indices.reshape(-1), draws.reshape(-1, self.data.draws))
        pixels, labels = (torch.from_numpy(array).to(self.device) for array in (batch.images, batch.labels))
        shape = self.slots, self.size
        return pixels.view(*shape, *pixels.shape[1:]), labels.view(shape)

    def _update(self, members: Sequence[Classifier | None], gradients: Tensor) -> Any:
        """One step of SGD as a function, with the hyperparameters of each member in a column."""
        decay = self._vector(members, lambda m: m.optimiser.param_groups[0]["weight_decay"])
        momentum = self._vector(members, lambda m: m.optimiser.param_groups[0]["momentum"])
        rate = self._vector(members, lambda m: m.optimiser.param_groups[0]["lr"])
        nesterov = self._vector(members, lambda m: m.optimiser.param_groups[0]["nesterov"])
        by_gradient = -rate * nesterov
        by_momentum = -rate * (nesterov * momentum + 1 - nesterov)
        end = self.layout.decayed

        def update() -> None:
            gradients[:, :end].addcmul_(self.parameters[:, :end], decay)
            self.momentum.mul_(momentum).add_(gradients)
            self.parameters.addcmul_(gradients, by_gradient).addcmul_(self.momentum, by_momentum)

        return update

    def _vector(self, members: Sequence[Classifier | None], value: Any) -> Tensor:
        """One number of each member, [k, 1]; 0 for a slot that rests."""
        numbers = [0.0 if m is None else float(value(m)) for m in members]
        return torch.tensor(numbers, device=self.device)[:, None]


def _told(member: Classifier, loss: float, right: float) -> dict[str, float] | Exception:
    """A member's metrics, or its failure."""
    try:
        return member.metrics(loss, right)
    except FloatingPointError as error:
        return error

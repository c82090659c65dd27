"""k small networks of one shape as one computation: losses and gradients in few large calls, not k times as many.

Tensors of the k networks are stacked in the first dimension, [k, ...]: matrix products become batched ones,
convolutions one with k groups. What one network gets never depends on the numbers of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Stacked = Mapping[str, Tensor]  # [k, ...] by the name that a tensor has in one network


def loss_and_gradient(logits: Tensor, labels: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cross entropy of ``logits`` [k, B, classes], ``labels`` [k, B], label ``smoothing`` [k].

    Returns the sums of losses [k], the numbers of right answers [k], and d(sum of losses) / d(logits).
    """
    logs = logits.log_softmax(2)
    share = smoothing[:, None, None]
    hot = torch.zeros_like(logs).scatter_(2, labels[..., None], 1.0)
    wanted = hot.mul_(1 - share).add_(share / logits.shape[2])
    loss = -(wanted * logs).sum((1, 2))
    right = (logits.argmax(2) == labels).sum(1)
    return loss, right, logs.exp_().sub_(wanted)


class BatchedMLP:
    """k copies of ``networks.mlp``. The backward pass is written out: faster than autograd, and needs less memory."""

    def __init__(self, network: nn.Sequential, parameters: Stacked, gradients: Stacked):
        linear = [name for name, layer in network.named_children() if isinstance(layer, nn.Linear)]
        self.weights = [parameters[f"{name}.weight"] for name in linear]  # [k, out, in]
        self.biases = [parameters[f"{name}.bias"] for name in linear]  # [k, out]
        self.weight_gradients = [gradients[f"{name}.weight"] for name in linear]
        self.bias_gradients = [gradients[f"{name}.bias"] for name in linear]

    def __call__(self, images: Tensor, labels: Tensor, smoothing: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Add ``scale`` times the gradient of each network's sum of losses; images [k, B, C, H, W], labels [k, B].

        Returns the sums of losses and the numbers of right answers, [k].
        """
        inputs = [images.flatten(2)]  # of each layer, [k, B, in]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            inputs.append(torch.baddbmm(bias[:, None], inputs[-1], weight.transpose(1, 2)))
            if len(inputs) <= len(self.weights):
                inputs[-1].relu_()
        loss, right, error = loss_and_gradient(inputs.pop(), labels, smoothing)
        error *= scale
        for i in reversed(range(len(self.weights))):
            values = inputs.pop()
            self.weight_gradients[i].baddbmm_(error.transpose(1, 2), values)
            self.bias_gradients[i].add_(error.sum(1))
            if i:
                error = torch.bmm(error, self.weights[i]).mul_(values > 0)
        return loss, right


class BatchedCNN:
    """k copies of ``networks.cnn``: convolutions with k groups, batch norm by channel, backward by autograd."""

    def __init__(self, network: nn.Sequential, parameters: Stacked, gradients: Stacked, statistics: Stacked):
        self.network = network
        self.statistics = statistics  # running means and variances of the norms, changed in place
        self.parameters = {name: values.detach().requires_grad_() for name, values in parameters.items()}
        self.gradients = list(gradients.values())

    def __call__(self, images: Tensor, labels: Tensor, smoothing: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """As ``BatchedMLP``'s."""
        with torch.enable_grad():
            logits = self._logits(images)
        loss, right, error = loss_and_gradient(logits.detach(), labels, smoothing)
        found = torch.autograd.grad(logits, list(self.parameters.values()), error.mul_(scale))
        for total, gradient in zip(self.gradients, found, strict=True):
            total.add_(gradient)
        return loss, right

    def _logits(self, images: Tensor) -> Tensor:
        """[k, B, classes]"""
        k, size = images.shape[:2]
        # [B, k x C, H, W]: all networks' channels side by side, channels last, which is fastest here too.
        x = images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        for name, layer in self.network.named_children():
            if isinstance(layer, nn.Conv2d):
                weight = self.parameters[f"{name}.weight"].flatten(0, 1)
                x = functional.conv2d(x, weight, None, layer.stride, cast(int, layer.padding), groups=k)
            elif isinstance(layer, nn.BatchNorm2d):
                mean, variance = (self.statistics[f"{name}.running_{what}"].view(-1) for what in ("mean", "var"))
                weight, bias = (self.parameters[f"{name}.{what}"].flatten() for what in ("weight", "bias"))
                x = functional.batch_norm(x, mean, variance, weight, bias, True, cast(float, layer.momentum), layer.eps)
            elif isinstance(layer, nn.ReLU):
                x = x.relu_()
            elif isinstance(layer, nn.AdaptiveAvgPool2d):
                x = x.mean((2, 3)).view(size, k, -1).transpose(0, 1)  # [k, B, channels]
            elif isinstance(layer, nn.Linear):
                weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
                x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
        return x

"""Our learners on a device that only checks: ``python fake_device.py`` prints a line a learner, or fails.

No GPU is at hand. Here torch computes shapes and devices without numbers (FakeTensorMode), on a device "fake:0" beside
the CPU: tensors of both in one operation are an error, as with a GPU. Registering that device changes torch for the
whole process, so this runs in one of its own.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils import backend_registration

from firerl.agents.classifier import Classifier
from firerl.agents.classifier import networks as classifier_networks
from firerl.agents.ppo import PPO
from firerl.agents.ppo.learner import Update as PPOUpdate
from firerl.agents.vmpo import VMPO
from firerl.agents.vmpo.learner import Update as VMPOUpdate

MODE = FakeTensorMode()
MODE.may_turn_const = lambda tensor: False  # type: ignore[method-assign]  # it would move real numbers along


def really(call: Callable[..., Any]) -> Callable[..., Any]:
    """``call`` with numbers: the CPU builds networks, which then move."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        with unset_fake_temporarily():
            return call(*arguments, **named)

    return wrapped


def to(self: nn.Module, device: Any, memory_format: Any = None) -> nn.Module:
    """nn.Module.to, which cannot replace real parameters by fake ones."""

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return MODE.from_tensor(really(torch.Tensor.detach)(tensor)).to(device)

    for module in self.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(moved(parameter), requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = moved(buffer)
    return self


def devices(state: Any) -> set[str]:
    """Where the tensors in a state are."""
    if isinstance(state, torch.Tensor):
        return {str(state.device)}
    items = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return set().union(*map(devices, items))


def classifier() -> None:
    learner = Classifier(Classifier.resolve({"micro_batch": 16}), {"learning_rate": 0.1}, 0, "fake:0")
    for group in learner.optimiser.param_groups:
        group.update(fused=False, foreach=False)  # the fused one knows no fakes

    def backward(loss: torch.Tensor) -> None:  # autograd wants a real device
        assert str(loss.device) == "fake:0"
        for parameter in learner.network.parameters():
            parameter.grad = torch.zeros_like(parameter)

    torch.Tensor.backward = backward  # type: ignore[method-assign,assignment]
    batches = learner.data.stream(learner.order.parts(0, 2, 32, 16, learner.data.draws))
    for _ in range(2):
        assert str(learner._step(itertools.islice(batches, 2)).device) == "fake:0"
        state = learner.state()
        assert devices(state) == {"cpu"}, devices(state)
        learner.load(**state)
    assert devices(list(learner.network.state_dict().values())) == {"fake:0"}


def actor_critic(agent: Any, env: str) -> None:
    learner = agent(agent.resolve({"env": env}), {}, 0, "fake:0")
    update = learner.update
    update._metrics = lambda means: {"device": means.device}  # it needs numbers
    update._kl = lambda numbers: 0.0  # it, too
    for _ in range(2):
        learner.rollout.unroll.ends = []
        assert str(update.learn(learner.rollout.unroll, learner.generator)["device"]) == "fake:0"
        state = {"weights": update.state(), "generator": learner.generator.get_state()}
        assert devices(state) == {"cpu"}, devices(state)
        update.load(state["weights"])
    assert devices(list(update.nets.state_dict().values())) == {"fake:0"}


def main() -> int:
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        print("this torch cannot register a device from Python")
        return 77
    backend_registration._setup_privateuseone_for_python_backend("fake")
    nn.Module.to = to  # type: ignore[method-assign,assignment]
    torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[misc,assignment]  # not registered for it
    classifier_networks.build = really(classifier_networks.build)
    for update in (VMPOUpdate, PPOUpdate):
        update.networks = really(update.networks)  # type: ignore[method-assign]
    with MODE, torch.no_grad():
        classifier()
        print("classifier")
        for agent in (VMPO, PPO):
            for env in ("InvertedPendulum", "CartPole-v1"):
                actor_critic(agent, env)
                print(agent.__name__, env)
    return 0


if __name__ == "__main__":
    np.seterr(all="ignore")  # environments get the numbers of uninitialised memory
    sys.exit(main())

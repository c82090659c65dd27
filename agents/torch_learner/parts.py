"""The parts of a learner that have a state of their own: how each is saved and loaded, and to which half it belongs."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from firerl import envs
from firerl.agents.torch_learner.plain_values import on_cpu, restored, saved

Half = Literal["weights", "stream"]
ENVIRONMENT = (
    "a live environment, whose episode cannot be saved: make it by firerl.envs.make(name, num_envs, seed), or wrap "
    "each one, outermost, by firerl.envs.kept(env), alone or in a gymnasium.vector.SyncVectorEnv"
)
META = "on the meta device, which holds no numbers: model.to_empty(device=device), then fill it"
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


@dataclass(frozen=True)
class Part:
    """A module, an optimiser, a generator, ...; ``load`` takes what ``save`` gave, and the learner's device."""

    value: Any
    half: Half
    save: Callable[[], Any]
    load: Callable[[Any, torch.device], Any]  # returns what is lost, in words, if anything

    @property
    def kind(self) -> str:
        return type(self.value).__name__


def part_of(value: Any) -> Part | None:
    """None: it has no state of its own. Raises ValueError, with the reason, where it has one that cannot be saved."""
    if isinstance(value, nn.Module):
        return _module(value)
    if isinstance(value, torch.Tensor):
        return _trainable(value) if value.requires_grad and value.is_leaf else None
    if isinstance(value, GENERATORS):
        return _generator(value)
    if is_environment(value):
        if not envs.saves(value):
            raise ValueError(ENVIRONMENT)
        return Part(value, "stream", lambda: envs.get_state(value), lambda state, _: _set_environment(value, state))
    if all(callable(getattr(value, name, None)) for name in ("state_dict", "load_state_dict")):
        half: Half = "stream" if hasattr(value, "__iter__") else "weights"  # a sampler, a loader: data order
        return Part(
            value, half, lambda: saved(value.state_dict()),
            lambda state, device: _given(value.load_state_dict(restored(state, device))),
        )  # fmt: skip
    return None


def is_environment(value: Any) -> bool:
    gymnasium: Any = sys.modules.get("gymnasium")
    return gymnasium is not None and isinstance(value, gymnasium.Env | gymnasium.vector.VectorEnv)


def _given(_: Any) -> None:
    """What ``load_state_dict`` returns says nothing about loss."""


def uncompiled(module: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` was given."""
    return getattr(module, "_orig_mod", module)


def _module(module: nn.Module) -> Part:
    """By the names that it has without ``torch.compile``, so that a compiled one and a plain one understand each
    other."""
    plain = uncompiled(module)
    if any(tensor.is_meta for tensor in (*plain.parameters(), *plain.buffers())):
        raise ValueError(META)

    def save() -> dict[str, Any]:
        state = plain.state_dict()
        return {_bare(k): on_cpu(v) if isinstance(v, torch.Tensor) else saved(v) for k, v in state.items()}

    def load(state: dict[str, Any], device: torch.device) -> None:
        names = {_bare(name): name for name in plain.state_dict()}
        plain.load_state_dict({names.get(k, k): restored(v, device) for k, v in state.items()})

    return Part(plain, "weights", save, load)


def _bare(name: str) -> str:
    return name.replace("_orig_mod.", "")


def _trainable(tensor: torch.Tensor) -> Part:
    @torch.no_grad()
    def load(state: torch.Tensor, _: torch.device) -> None:
        tensor.copy_(state)  # the very tensor that an optimiser trains

    return Part(tensor, "weights", lambda: on_cpu(tensor), load)


def _generator(one: Any) -> Part:
    if isinstance(one, torch.Generator):
        return Part(
            one, "stream", lambda: one.get_state().clone(), lambda state, _: one.set_state(state.cpu()) and None
        )
    if isinstance(one, np.random.Generator):
        bits: Any = one.bit_generator
        return Part(one, "stream", lambda: saved(bits.state), lambda state, _: setattr(bits, "state", state))
    if isinstance(one, np.random.RandomState):
        return Part(one, "stream", lambda: saved(one.get_state(legacy=False)), lambda state, _: one.set_state(state))
    return Part(one, "stream", one.getstate, lambda state, _: one.setstate(state))


def _set_environment(env: Any, state: Any) -> str:
    """What is lost, in words."""
    if not (begun := envs.set_state(env, state)):
        return ""
    return f"{len(begun)} running episodes could not be repeated as they were: new ones have begun in their place"


def untrained(parts: dict[str, Part]) -> Iterator[str]:
    """Optimisers that train a tensor which no other part holds, by their path."""
    held: set[int] = set()
    for part in parts.values():
        if isinstance(part.value, nn.Module):
            held |= {id(tensor) for tensor in part.value.parameters()}
        elif isinstance(part.value, torch.Tensor):
            held.add(id(part.value))
    for path, part in parts.items():
        if isinstance(part.value, torch.optim.Optimizer):
            trained = [tensor for group in part.value.param_groups for tensor in group["params"]]
            if any(id(tensor) not in held for tensor in trained):
                yield path

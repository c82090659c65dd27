"""A LightningModule as firerl takes it: what it may override, its optimiser, its hyperparameters, its attributes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core import hooks
from lightning.pytorch.core.optimizer import _configure_optimizers, _configure_schedulers_automatic_opt
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import nn

from firerl.agents.adapters.lightning_trainer import Log, StandIn
from firerl.agents.torch_learner.plain_values import is_plain, restored, saved
from firerl.errors import SettingError, unknown

_PASS = ("start", "epoch_start", "batch_start", "batch_end", "epoch_end", "end")
CALLED = {
    "configure_model", "setup", "on_train_epoch_start", "on_train_batch_start", "on_before_zero_grad",
    "on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_train_batch_end", "on_train_epoch_end",
    "on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer",
    *(f"on_{name}_{when}" for name in ("validation", "test") for when in _PASS),
}  # fmt: skip
_OTHERS = {
    "configure_callbacks", "configure_gradient_clipping", "clip_gradients", "manual_backward", "log", "log_dict",
    "optimizers", "lr_schedulers", "toggle_optimizer", "untoggle_optimizer",
}  # fmt: skip
_INTERNAL = {*vars(LightningModule()), "_hparams", "_hparams_initial", "_hparams_name"}
_CYCLED = {"momentum", "betas"}  # what a scheduler changes beside the rate, where it keeps max_momentum


def check_class(setting: str, kind: Any, base: type) -> None:
    if not inspect.isclass(kind) or not issubclass(kind, base):
        raise SettingError(f"{setting}={getattr(kind, '__name__', kind)}: must be a subclass of {base.__name__}")


def check_arguments(kind: type, arguments: Mapping[str, Any], prefix: str) -> None:
    """Raise SettingError on a name that the constructor does not take."""
    taken = inspect.signature(kind).parameters
    for name in arguments:
        if name not in taken and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
            raise unknown(f"argument of {kind.__name__}", prefix + name, [prefix + one for one in taken])


def refuse_overridden(kind: type, base: type, names: Collection[str]) -> None:
    """Raise SettingError, naming it, where ``kind`` overrides a method that nobody would call."""
    for name in sorted(names):
        if getattr(kind, name, None) is not getattr(base, name, None):
            raise SettingError(f"{kind.__name__}.{name}() is never called by firerl: {_INSTEAD.get(name, _ELSE)}")


_ELSE = "do it in __init__, setup or a hook of an epoch or a batch"
_INSTEAD = {
    **dict.fromkeys(("on_save_checkpoint", "on_load_checkpoint", "state_dict", "load_state_dict"),
                    "what must be kept belongs into a register_buffer() or a plain attribute of the module"),
    **dict.fromkeys(("train_dataloader", "val_dataloader", "test_dataloader", "prepare_data"),
                    "data come from the LightningDataModule of learner.data"),
    **dict.fromkeys(("configure_gradient_clipping", "clip_gradients"), "learner.gradient_clip_val clips the norm"),
    **dict.fromkeys(("teardown", "on_train_end", "on_fit_end"), "a run that evolves has no end that learners know"),
    "configure_callbacks": "leave callbacks out, firerl saves and logs",
}  # fmt: skip


def build(kind: type, arguments: Mapping[str, Any], trainer: StandIn, log: Log) -> Any:
    """A new module of this class. Raises SettingError, by name, on what would be left out."""
    check_class("learner.module", kind, LightningModule)
    known = {name for one in (hooks.ModelHooks, hooks.DataHooks, hooks.CheckpointHooks) for name in vars(one)}
    uncalled = {name for name in known if name[0] != "_" and "predict" not in name} - CALLED
    refuse_overridden(kind, LightningModule, uncalled | _OTHERS)
    check_arguments(kind, arguments, "learner.arguments.")
    module: Any = kind(**arguments)
    if not module.automatic_optimization:
        raise SettingError(f"{kind.__name__}.automatic_optimization is false: firerl takes automatic optimisation only")
    if is_param_in_hook_signature(module.training_step, "dataloader_iter", explicit=True):
        raise SettingError(f"{kind.__name__}.training_step takes dataloader_iter: it must take batch and batch_idx")
    for one in module.modules():
        if isinstance(one, LightningModule):
            vars(one).update(_trainer=trainer, log=log.log, log_dict=log.log_dict)
    module.setup("fit")
    module.configure_model()
    return module


def optimiser(module: Any) -> tuple[torch.optim.Optimizer, list[Any]]:
    """What ``configure_optimizers`` makes: the optimiser and Lightning's configs of its schedulers."""
    name = f"{type(module).__name__}.configure_optimizers()"
    made = module.configure_optimizers()
    if made is None:
        raise SettingError(f"{name} returned None: it must return an optimiser")
    optimisers, schedulers, monitor = _configure_optimizers(made)
    if len(optimisers) != 1:
        raise SettingError(f"{name} returned {len(optimisers)} optimisers: firerl takes one, with parameter groups")
    configs = _configure_schedulers_automatic_opt(schedulers, monitor)
    if any(config.reduce_on_plateau for config in configs):
        raise SettingError(f"{name} returned ReduceLROnPlateau: leave it out, the search changes the rate")
    return optimisers[0], configs


def groups(module: Any) -> dict[str, Any]:
    """What ``configure_optimizers`` would give the optimiser now, by path: ``optimizer.0.lr``."""
    before = dict(vars(module))
    found = optimiser(module)[0].param_groups
    vars(module).clear()
    vars(module).update(before)
    values: dict[str, Any] = {}
    for number, group in enumerate(found):
        left = {"params", *(_CYCLED if "max_momentum" in group else ())}
        own = {key: value for key, value in group.items() if not key.endswith("_lr")}
        own["lr"] = next(group[key] for key in ("max_lr", "initial_lr", "lr") if key in group)
        values |= {f"optimizer.{number}.{key}": own[key] for key in own if key not in left}
    return values


def hyperparameters(module: Any) -> dict[str, Any]:
    """What may be tuned, by name, and its value: the constructor's arguments that the module keeps, and numbers that
    all groups of its optimiser share."""
    shared: dict[str, set[Any]] = {}
    for path, value in groups(module).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            shared.setdefault(path.rpartition(".")[2], set()).add(value)
    found = {name: values.pop() for name, values in shared.items() if len(values) == 1}
    parameters = [name for name in inspect.signature(type(module)).parameters if name in vars(module)]
    found |= {name: vars(module)[name] for name in parameters} | dict(module.hparams)
    return {str(name): value for name, value in found.items() if _is_value(value)}


def _is_value(value: Any) -> bool:
    return isinstance(value, bool | str | int) or (isinstance(value, float) and math.isfinite(value))


def set_own(module: Any, name: str, value: Any) -> bool:
    """Set a hyperparameter that the module keeps itself; whether it does."""
    kept = name in vars(module) and is_plain(vars(module)[name])
    if kept:
        setattr(module, name, value)
    if name in module.hparams:
        module.hparams[name] = value
        kept = True
    return kept


def _holders(module: nn.Module) -> Iterator[tuple[str, dict[str, Any]]]:
    """The attributes of the modules that are not torch's own, by the module's name."""
    for name, one in module.named_modules():
        if not type(one).__module__.startswith("torch."):
            yield name, vars(one)


def attributes(module: nn.Module) -> dict[str, Any]:
    """What of a module a ``state_dict`` does not hold: plain attributes, modes, what is frozen. Raises SettingError."""
    for name, held in _holders(module):
        for key, value in held.items():
            items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            if key not in _INTERNAL and any(map(_has_graph, items)):
                path = f"{name}.{key}" if name else key
                raise SettingError(f"{type(module).__name__}.{path} holds tensors with the graph that they came of: "
                                   "append their detach()")  # fmt: skip
    return {
        "values": {name: {key: saved(value) for key, value in held.items() if key not in _INTERNAL and is_plain(value)}
                   for name, held in _holders(module)},
        "evaluating": [name for name, one in module.named_modules() if not one.training],
        "frozen": [name for name, one in module.named_parameters() if not one.requires_grad],
    }  # fmt: skip


def _has_graph(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.grad_fn is not None


def set_attributes(module: nn.Module, state: Mapping[str, Any], device: torch.device) -> None:
    """``state`` is what ``attributes`` gave."""
    for name, held in _holders(module):
        there = state["values"].get(name, {})
        for key in [key for key, value in held.items() if key not in _INTERNAL and is_plain(value)]:
            if key not in there:
                del held[key]
        held.update({key: restored(value, device) for key, value in there.items()})
    for name, one in module.named_modules():
        one.training = name not in state["evaluating"]
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in state["frozen"])

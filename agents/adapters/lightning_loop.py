"""What Lightning's Trainer does in a step and in a pass over data, in its order, with the hooks that it calls."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature

from firerl.agents.adapters.lightning_data import Batches
from firerl.agents.adapters.lightning_module import attributes, set_attributes
from firerl.errors import SettingError

if TYPE_CHECKING:
    from firerl.agents.adapters.lightning_learner import Lightning


def step(learner: Lightning) -> None:
    """One batch, and what begins or ends with it: an epoch."""
    module, progress, log = learner.module, learner.progress, learner.log
    epoch, number = progress.epoch, progress.batch
    if number == 0:
        log.size = 1
        module.on_train_epoch_start()
        orders = learner.batches.orders(epoch)
        learner.rows = torch.tensor([row for rows in orders for row in rows], dtype=torch.int64)
        learner.ends = list(accumulate(map(len, orders), initial=0))
    rows = learner.rows[learner.ends[number] : learner.ends[number + 1]].tolist()
    batch, log.size = _moved(learner, learner.data, learner.batches.batch(rows)), len(rows)
    if module.on_train_batch_start(batch, number) == -1:
        raise SettingError(f"{type(module).__name__}.on_train_batch_start() returned -1: firerl skips no batches")
    outputs: dict[str, Any] = {}
    module.optimizer_step(epoch, number, learner.optimizer, lambda: _loss(learner, batch, number, outputs))
    progress.step += 1
    last = number + 2 == len(learner.ends)
    _step_schedulers(learner, "step", number)
    if last:
        _step_schedulers(learner, "epoch", epoch)
    module.on_train_batch_end(outputs, batch, number)
    progress.batch += 1
    if last:
        log.size = 1
        module.on_train_epoch_end()
        log.end_epoch()
        progress.epoch, progress.batch = epoch + 1, 0


def _loss(learner: Lightning, batch: Any, number: int, outputs: dict[str, Any]) -> Any:
    """What an optimiser calls: forwards and backwards. ``outputs`` take what ``training_step`` returns."""
    module, optimizer = learner.module, learner.optimizer
    made = _call(module.training_step, batch, number)
    outputs |= made if isinstance(made, dict) else {} if made is None else {"loss": made}
    module.on_before_zero_grad(optimizer)
    module.optimizer_zero_grad(learner.progress.epoch, number, optimizer)
    loss = outputs.get("loss")
    if loss is not None:
        module.on_before_backward(loss)
        module.backward(loss)
        module.on_after_backward()
        outputs["loss"] = loss.detach()
    module.on_before_optimizer_step(optimizer)
    norm = learner.values.get("gradient_clip_val", learner.config["gradient_clip_val"])
    if norm is not None:
        trained = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, norm)
    return loss


def whole(learner: Lightning, phase: str, data: Any, loader: Any, most: int | None = None) -> dict[str, float]:
    """What a pass over all batches, or ``most``, logs; ``phase``: validation or test. Leaves the module as it was."""
    module, log, trainer = learner.module, learner.log, learner.trainer
    batches = Batches(loader, f"{phase}_dataloader")
    kept, buffers = attributes(module), {name: buffer.clone() for name, buffer in module.named_buffers()}
    step, trainer.stage = getattr(module, f"{phase}_step"), phase
    log.begin()
    module.eval()
    try:
        with torch.no_grad():
            getattr(module, f"on_{phase}_start")()
            getattr(module, f"on_{phase}_epoch_start")()
            for number, rows in enumerate(batches.orders()[:most]):
                batch, log.size = _moved(learner, data, batches.batch(rows)), len(rows)
                getattr(module, f"on_{phase}_batch_start")(batch, number)
                outputs = _call(step, batch, number)
                getattr(module, f"on_{phase}_batch_end")(outputs, batch, number)
            log.size = 1
            getattr(module, f"on_{phase}_epoch_end")()
            getattr(module, f"on_{phase}_end")()
        log.end_epoch()
        return log.means()
    finally:
        trainer.stage = "train"
        set_attributes(module, kept, learner.device)
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
        log.begin()


def _call(step: Any, batch: Any, number: int) -> Any:
    """A step may do without the number of its batch."""
    return step(batch, number) if is_param_in_hook_signature(step, "batch_idx", min_args=2) else step(batch)


def _moved(learner: Lightning, data: Any, batch: Any) -> Any:
    """On the learner's device, by the hooks of the data module or else of the module."""
    data.trainer = learner.trainer
    for name, more in (
        ("on_before_batch_transfer", ()), ("transfer_batch_to_device", (learner.device,)),
        ("on_after_batch_transfer", ()),
    ):  # fmt: skip
        batch = getattr(data if is_overridden(name, data) else learner.module, name)(batch, *more, 0)
    return batch


def _step_schedulers(learner: Lightning, interval: str, number: int) -> None:
    for config in learner.configs:
        if config.interval == interval and (number + 1) % config.frequency == 0:
            learner.module.lr_scheduler_step(config.scheduler, None)

"""The winner of a run as a function from observation to action: ``policy = firerl.load_policy("run/best.pt")``.

No environment is built and no process started. A file holds plain data, and reading it never runs code from it; the
learner that it names must be firerl's or of an installed package, else its class is handed in (``learner=``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from firerl.config.learners import completed, find_again, is_homeless
from firerl.config.named_code import call_line, check, learner_names
from firerl.errors import FirerlError, RunFolderError
from firerl.learner import Learner
from firerl.storage.winner_file import file_of, read


class Policy:
    """A trained network, from one input or a batch of them to actions (of a classifier: logits).

    ``task``, ``network_step`` and ``objective`` say where it comes from; ``module`` is the network, for torch;
    ``classes`` are the names that a classifier's logits stand for, else ().
    """

    def __init__(self, module: Any, best: Mapping[str, Any], generator: torch.Generator | None = None):
        self.module = module.eval().requires_grad_(False)
        self.input_shape: tuple[int, ...] = tuple(module.input_shape)
        self.classes: tuple[str, ...] = tuple(getattr(module, "classes", ()))
        self.task: str = best["task"]
        self.network_step: int = best["network_step"]
        self.objective: float | None = best["objective"]
        self._generator = generator  # None: mean actions
        self._dtype: torch.dtype = module.input_dtype
        self._act = getattr(module, "act", None)
        if generator is not None and self._act is None:
            raise FirerlError(f"{self.task}: this network has no actions to sample; leave out sample=True")

    def __call__(self, inputs: Any) -> Any:
        """One input [*input_shape] -> its action; a batch [B, *input_shape] -> [B, ...]. Arrays in, arrays out.

        Raises ValueError, saying what is allowed, on another shape or on numbers that do not fit.
        """
        array = self._checked(inputs)
        single = array.ndim == len(self.input_shape)
        batch = array[None] if single else array
        if self._act is not None:
            outputs = self._act(batch, self._generator)
        else:
            with torch.no_grad():
                outputs = self.module(torch.tensor(batch, dtype=self._dtype)).numpy()
        return outputs[0] if single else outputs

    def _checked(self, inputs: Any) -> np.ndarray:
        name, size = self.module.names[0], ", ".join(map(str, self.input_shape))
        allowed = f"must be [{size}] or [batch, {size}]"
        try:
            array = np.asarray(inputs)
        except ValueError:  # rows of different lengths
            raise ValueError(f"{name} are no array: they {allowed}") from None
        wanted = torch.empty(0, dtype=self._dtype).numpy().dtype
        if not np.can_cast(array.dtype, wanted, "same_kind"):
            raise ValueError(f"{name} of type {array.dtype}: must be {wanted}, or fit into it")
        if array.shape[-len(self.input_shape) :] != self.input_shape or array.ndim > len(self.input_shape) + 1:
            raise ValueError(f"{name} of shape {list(array.shape)}: {allowed}")
        return array

    def __repr__(self) -> str:
        return f"<Policy for {self.task}, {self.network_step:,} steps>"


def load_policy(
    path: str | Path, *, sample: bool = False, seed: int = 0, learner: type[Learner] | None = None
) -> Policy:
    """The policy in a ``best.pt`` or ``best_ever.pt``, or the winner of a run folder.

    It takes mean actions. With ``sample`` it draws them as training does, from a stream of its own that ``seed``
    decides. ``path`` may be the address of a run folder. A ``learner`` that is neither firerl's nor of an installed
    package must be handed in. Raises FirerlError, in one line, on a file that is missing, damaged or without facts, and
    on a learner that has no policy.
    """
    file = file_of(path)
    best = read(file)
    if "facts" not in best:
        raise RunFolderError(
            f"{file} holds no facts of the task, such as bounds of actions: facts_of() failed (failures.log). To write "
            "it anew, remove result.json beside it and resume its run"
        )
    module = module_of(best["learner"], best["settings"], best["weights"], best["facts"], learner)
    return Policy(module, best, torch.Generator().manual_seed(int(seed)) if sample else None)


def module_of(
    name: str, settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any], learner: type[Learner] | None = None
) -> nn.Module:
    """The network of the learner that a file calls ``name``. Raises FirerlError, in one line, where it cannot be."""
    names = learner_names(name, settings)
    del names["data"]  # of which nothing is built here
    if learner is not None or is_homeless(name):
        del names["learner"]
    call = "firerl.load_policy(<file>, learner=<class>)"
    check(names, call_line(call))
    found = find_again(name, call, learner)
    try:
        return found.module_of(completed(found, settings), weights, facts)
    except FirerlError:
        raise
    except Exception as error:  # anybody's code
        reason = " ".join(str(error).split())[:200]
        raise FirerlError(f"learner={name}: its network cannot be built: {type(error).__name__}: {reason}") from error

"""Learners whose policy is a module of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

import firerl
from firerl.agents.quadratic.learner import Quadratic


class Halver(nn.Module):
    """Half of four numbers."""

    input_shape = (2, 2)
    input_dtype = torch.float32
    names = ("images", "logits")

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) * self.share


class Modular(Quadratic):
    """Has a module of its own that only torch runs."""

    @classmethod
    def facts_of(cls, settings: Any) -> dict[str, Any]:
        return {"share": 0.5}

    @classmethod
    def module_of(cls, settings: Any, weights: Any, facts: Any) -> nn.Module:
        return Halver(facts["share"])


def quadratic_run(run_dir: Path, learner: type[Quadratic] = Quadratic) -> Path:
    firerl.run(learner, population=[2], evaluators=0, algo="pbt", steps=120, engine="inline", progress=False,
               run_dir=run_dir)  # fmt: skip
    return run_dir

"""firerl: Population Based Training that is not greedy (FIRE PBT) for reinforcement learning and beyond.

``firerl.run``, ``firerl.resume`` and ``firerl.retrace`` are the library; the commands are a thin layer over them.
Importing firerl imports nothing heavy: torch and mujoco load when a run starts.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from firerl.base.settings import setting
from firerl.learner import Learner

if TYPE_CHECKING:
    from firerl.agents.torch_learner import TorchLearner
    from firerl.api import resume, run
    from firerl.run_result import Result
    from firerl.winner.policy import load_policy
    from firerl.winner.retracing import Retrace, retrace

__version__ = "0.1.0"
__all__ = [
    "Learner", "Result", "Retrace", "TorchLearner", "__version__", "load_policy", "resume", "retrace", "run", "setting",
]  # fmt: skip
_PUBLIC = (*__all__, "adapters", "errors")  # what dir(firerl) offers
_HOMES = {
    "run": "api", "resume": "api", "retrace": "winner.retracing", "Retrace": "winner.retracing", "Result": "run_result",
    "load_policy": "winner.policy", "TorchLearner": "agents.torch_learner",
}  # fmt: skip


# In a clone agents/, envs/ and configs/ lie beside this folder; an installed package has them inside. So the clone that
# one stands in is a whole, whatever is installed beside it.
_here = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_here, "agents")):
    __path__.append(os.path.dirname(_here))


def __getattr__(name: str) -> Any:
    if name == "adapters":
        return importlib.import_module("firerl.agents.adapters")
    if name in _HOMES:
        return getattr(importlib.import_module(f"firerl.{_HOMES[name]}"), name)
    import difflib

    near = difflib.get_close_matches(name, _PUBLIC, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AttributeError(f"module 'firerl' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*_PUBLIC, *(name for name in globals() if name.startswith("__"))})

"""firerl: Population Based Training that is not greedy (FIRE PBT) for reinforcement learning and beyond.

``firerl.run`` and ``firerl.resume`` are the library; ``python -m firerl.launch`` is a thin layer over them.
Importing firerl imports nothing heavy: torch and mujoco load when a run starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firerl.learner import Learner

if TYPE_CHECKING:
    from firerl.api import Result, resume, run
    from firerl.policy import load_policy

__version__ = "0.1.0"
__all__ = ["Learner", "Result", "__version__", "load_policy", "resume", "run"]


def __getattr__(name: str) -> Any:
    if name in ("Result", "resume", "run"):
        from firerl import api

        return getattr(api, name)
    if name == "load_policy":
        from firerl.policy import load_policy

        return load_policy
    raise AttributeError(f"module 'firerl' has no attribute {name!r}")

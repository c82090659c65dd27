"""Learners of other libraries as learners of firerl; in Python ``firerl.adapters``. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firerl.learner import Learner

__all__ = ["lightning", "sb3"]


def sb3(algorithm: Any, policy: str = "MlpPolicy", env: str | None = None, **arguments: Any) -> type[Learner]:
    """An algorithm of Stable-Baselines3 or sb3-contrib as a learner for ``firerl.run``, ``check`` and the others.

    ``algorithm`` is its class or its name, ``env`` the name of a registered environment; ``arguments`` are the
    constructor's own, and settings of ``learner=sb3`` such as ``num_envs``. What the search tunes begins around them.
    Raises SettingError.
    """
    from firerl.agents.adapters.sb3_learner import bound

    return bound(algorithm, policy, env, arguments)


def lightning(
    module: type, data: type, *, data_arguments: Mapping[str, Any] | None = None, **arguments: Any
) -> type[Learner]:
    """A LightningModule and a LightningDataModule as a learner for ``firerl.run``, ``check`` and the others.

    ``arguments`` are those of the module's constructor, and settings of ``learner=lightning`` such as ``monitor``;
    ``data_arguments`` those of the data module's. What the search tunes begins around them. Raises SettingError.
    """
    from firerl.agents.adapters.lightning_learner import bound

    return bound(module, data, data_arguments, arguments)

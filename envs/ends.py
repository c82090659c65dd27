"""Whether episodes end: members are ranked by whole episodes, so one that never ends gives nobody a rank."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from firerl.envs.spec import asked, check, random_action
from firerl.envs.state.global_draws import untouched
from firerl.envs.vector import env_seeds, quiet_mujoco, single
from firerl.errors import SettingError

STEPS = 1_000  # that are tried
SECONDS = 3.0  # after which nothing is known: a slow environment costs no more

_found: set[tuple[str, str]] = set()  # environments whose episodes end, as far as could be seen


def check_ends(name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise SettingError where nobody has set a limit of steps and no episode ends by itself in STEPS random steps."""
    spec = check(name, kwargs)
    key = name, repr(sorted(kwargs.items(), key=str))
    if spec.max_episode_steps is not None or key in _found:
        return
    rng, began = np.random.default_rng(0), time.monotonic()
    with untouched(), quiet_mujoco(), contextlib.closing(single(name, kwargs)) as env:
        asked(name, "reset(seed=...)", lambda: env.reset(seed=env_seeds(0, 1)[0]))
        for _ in range(STEPS):
            *_, terminated, truncated, _ = asked(name, "step()", lambda: env.step(random_action(spec, rng)))
            if terminated or truncated or time.monotonic() - began > SECONDS:
                _found.add(key)
                return
    raise SettingError(
        f"environment {name!r} sets no limit of steps, and no episode ended in {STEPS:,} random steps: members are "
        "ranked by whole episodes, so nobody would ever be; env.kwargs.max_episode_steps=<steps> says when one ends "
        "(a limit beyond its own end changes nothing)"
    )

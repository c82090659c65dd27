"""Vectorised environments behind one door: ``firerl.envs.make(name, num_envs, seed, **kwargs)``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firerl.envs.ends import check_ends
from firerl.envs.spec import EnvSpec, action_map, check
from firerl.envs.state.saved_state import get_state, kept, saves, set_state
from firerl.envs.step_cost import cost_of
from firerl.envs.vector import LONGEST_EPISODE, base_name, env_seeds, make, resolve, single

if TYPE_CHECKING:
    from firerl.envs.state.trial import Verdict

__all__ = [
    "LONGEST_EPISODE",
    "EnvSpec",
    "action_map",
    "base_name",
    "check",
    "check_ends",
    "cost_of",
    "env_seeds",
    "get_state",
    "kept",
    "make",
    "resolve",
    "saves",
    "set_state",
    "single",
    "tried",
]


def tried(name: str, kwargs: Mapping[str, Any], info_key: str | None = None) -> "Verdict":
    """See ``firerl.envs.state.trial``, which imports Gymnasium."""
    from firerl.envs.state import trial

    return trial.tried(name, kwargs, info_key)

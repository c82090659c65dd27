"""Vectorised environments behind one door: ``firerl.envs.make(name, num_envs, seed, **kwargs)``."""

from firerl.envs.check import EnvSpec, action_map, check
from firerl.envs.ends import check_ends
from firerl.envs.state import get_state, set_state
from firerl.envs.vector import base_name, env_seeds, make, resolve, single

__all__ = [
    "EnvSpec",
    "action_map",
    "base_name",
    "check",
    "check_ends",
    "env_seeds",
    "get_state",
    "make",
    "resolve",
    "set_state",
    "single",
]

"""Vectorised environments behind one door: ``firerl.envs.make(name, num_envs, seed, **kwargs)``."""

from firerl.envs.state import get_state, set_state
from firerl.envs.vector import EnvSpec, action_map, base_name, check, env_seeds, make, reset_some, resolve, step_some

__all__ = [
    "EnvSpec",
    "action_map",
    "base_name",
    "check",
    "env_seeds",
    "get_state",
    "make",
    "reset_some",
    "resolve",
    "set_state",
    "step_some",
]

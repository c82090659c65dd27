"""Environments that this process has registered with Gymnasium, on their way to processes that would not know them.

A script or a notebook registers its environment in its own process alone; the processes of an engine never run the
script. So what is registered goes along, classes and functions of the script by value, as learners do.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import dill

from firerl.base import by_value
from firerl.envs.vector import resolve
from firerl.errors import SettingError

Sent = dict[str, bytes | str]  # by id: a record of Gymnasium's; or why it cannot be sent


def sent(settings: Mapping[str, Any]) -> Sent:
    """What a learner with these settings may need: all whose code is no module's, and that of the setting ``env``."""
    if "gymnasium" not in sys.modules:
        return {}
    from gymnasium import registry

    own = _own_id(settings)
    return {id: _sent(spec) for id, spec in registry.items() if id == own or not _is_a_modules(spec.entry_point)}


def _is_a_modules(entry_point: Any) -> bool:
    """Whether any process that has imported the same modules has registered it, too."""
    if isinstance(entry_point, str):
        return not entry_point.startswith("__main__:")
    return str(getattr(entry_point, "__module__", "")).startswith("gymnasium.")


def check_sent(settings: Mapping[str, Any]) -> None:
    """Raise SettingError where the environment that these settings name cannot be sent."""
    own = _own_id(settings)
    why = sent(settings).get(own) if own else None
    if own and isinstance(why, str):
        raise SettingError(_cannot(own, why))


def _own_id(settings: Mapping[str, Any]) -> str | None:
    """The id of the environment in the setting ``env``; None where there is none, or its module is named, too."""
    env = settings.get("env")
    name = env.get("name") if isinstance(env, Mapping) else env
    if not isinstance(name, str) or ":" in name:
        return None
    try:
        return resolve(name)
    except SettingError:  # somebody's own learner has a setting of that name
        return None


def receive(environments: Mapping[str, bytes | str]) -> None:
    """Register them here, too. One that cannot be says so when it is made."""
    if not environments:
        return
    from gymnasium import register, registry

    for env_id, spec in environments.items():
        why = spec if isinstance(spec, str) else ""
        try:
            if isinstance(spec, bytes):
                registry[env_id] = dill.loads(spec)
        except Exception as error:  # anybody's module
            why = f"{type(error).__name__}: {error}"
        if why and env_id not in registry:
            register(env_id, entry_point=_Missing(_cannot(env_id, why)))


class _Missing:
    """The entry point of an environment that has not come along."""

    def __init__(self, why: str):
        self.why = why

    def __call__(self, **_: Any) -> NoReturn:
        raise SettingError(self.why)


def _sent(spec: Any) -> bytes | str:
    from gymnasium.envs.registration import load_env_creator

    try:
        if isinstance(spec.entry_point, str) and spec.entry_point.startswith("__main__:"):
            spec = copy.copy(spec)
            spec.entry_point = load_env_creator(spec.entry_point)
        return by_value.dumps(spec)
    except Exception as error:  # what anybody's class holds
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _cannot(env_id: str, why: str) -> str:
    return (
        f"environment {env_id!r} was registered in the process that starts the run, and cannot be sent to its worker "
        f"processes ({why}): move it into a module, env=<module>:{env_id}, or take engine=inline"
    )

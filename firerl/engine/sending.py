"""A learner on its way to other processes, and the environments that were registered for it."""

from __future__ import annotations

import dill

from firerl.base import by_value
from firerl.engine.failures import message_of
from firerl.engine.interface import LearnerSpec
from firerl.envs.state import registrations as environments
from firerl.errors import SettingError


def packed(spec: LearnerSpec) -> bytes:
    """For ``unpacked`` in a process of an engine. Raises SettingError where it cannot be sent."""
    try:
        return by_value.dumps((environments.sent(spec.settings), by_value.dumps(spec)))
    except Exception as error:
        told = f"learner {spec.learner.__name__} cannot be sent to other processes ({message_of(error)})"
        raise SettingError(f"{told}: move it into a module of its own, or take engine=inline") from error


def unpacked(data: bytes) -> LearnerSpec:
    """What was ``packed``, in a process that knows the environments from now on. Raises whatever an import raises."""
    registered, spec = dill.loads(data)
    environments.receive(registered)
    found: LearnerSpec = dill.loads(spec)
    return found

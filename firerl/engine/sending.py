"""A learner on its way to other processes."""

from __future__ import annotations

import dill

from firerl.engine.base import LearnerSpec
from firerl.errors import SettingError


def packed(spec: LearnerSpec) -> bytes:
    """For ``dill.loads`` in a process of an engine. Raises SettingError where it cannot be sent."""
    try:
        # recurse: a class of __main__ takes along just those globals that it uses.
        return bytes(dill.dumps(spec, recurse=True))
    except Exception as error:
        raise SettingError(
            f"learner {spec.learner.__name__} cannot be sent to other processes ({error}): move it into a module of "
            "its own, or take engine=inline"
        ) from error

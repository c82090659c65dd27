"""What is in no file, such as a class of a script or a notebook, as bytes for another process."""

from __future__ import annotations

import io
from typing import Any

import dill


def dumps(value: Any) -> bytes:
    """For ``dill.loads``. Raises whatever anybody's objects raise."""
    buffer = io.BytesIO()
    # recurse: a class of __main__ takes along just those globals that it uses.
    _Pickler(buffer, recurse=True).dump(value)
    return buffer.getvalue()


class _Pickler(dill.Pickler):
    """dill takes ``__orig_bases__`` for the bases of a class, also where it is inherited, as from ``gymnasium.Env``:
    what is made of these bytes would then derive from ``typing.Generic`` alone."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        inherits = isinstance(obj, type) and "__orig_bases__" not in vars(obj) and hasattr(obj, "__orig_bases__")
        if inherits and (obj.__module__ == "__main__" or "<locals>" in obj.__qualname__):  # others go by their names
            obj.__orig_bases__ = obj.__bases__
        super().save(obj, save_persistent_id)

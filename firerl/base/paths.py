"""Paths as people type them: ``~`` is the home folder, and what is relative is so to where the command was typed.

A learner, or a library that it loads, may change the current directory: whatever is used after learners were built is
made absolute before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from firerl.errors import SettingError


def expanded(path: str | Path, name: str = "") -> str:
    """``path`` with the home folder for a ``~`` at its start; an address (``s3://...``) as it is.

    Raises SettingError, naming the setting, on the home folder of nobody (``~nosuch/x``).
    """
    text = os.fspath(path)
    try:
        return text if "://" in text else str(Path(text).expanduser())
    except RuntimeError:
        where = f"{name}={text}" if name else text
        raise SettingError(f"{where}: there is no such home folder; ./{text} is a file of that name") from None


def absolute(path: str | Path, name: str = "") -> Path:
    """``path`` from the root on, ``~`` expanded. Raises as ``expanded``."""
    return Path(expanded(path, name)).absolute()


def at_home(value: Any) -> Any:
    """Settings, nested, in which every text that begins with ``~/`` begins with the home folder, as a shell has it."""
    if isinstance(value, Mapping):
        return {key: at_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [at_home(item) for item in value]
    return expanded(value) if isinstance(value, str) and value.startswith("~/") else value


def anchored(value: Any) -> Any:
    """Settings, nested, in which every text that begins with ``./`` or ``../`` is an absolute path."""
    if isinstance(value, Mapping):
        return {key: anchored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [anchored(item) for item in value]
    return os.path.abspath(value) if isinstance(value, str) and value.startswith(("./", "../")) else value


@contextmanager
def back_here() -> Iterator[None]:
    """What follows may change the current directory; afterwards it is what it was."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed
        here = None
    try:
        yield
    finally:
        if here is not None:
            with suppress(OSError):
                os.chdir(here)

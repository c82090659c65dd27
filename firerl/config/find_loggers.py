"""Find a logger by its short name, or anybody's by dotted path."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Sequence
from pathlib import Path

from firerl.base.code_names import module_of, spelled
from firerl.config.named_code import may_import, put_here_on_path, without_here
from firerl.errors import SettingError, unknown
from firerl.logger import Logger

SHORT_NAMES = {"tensorboard": "firerl.loggers.tensorboard.TensorBoard", "wandb": "firerl.loggers.wandb_logger.WandB"}
NEEDS = {"wandb": "wandb"}  # the library, which the extra of the same name installs
NOBODY = "none"
OWN = "<package>.<module>.<Class>"


def check_loggers(names: Sequence[str]) -> tuple[str, ...]:
    """The loggers that a person has named; none for ``none``. A class of theirs may lie in the current directory.

    Raises SettingError on one that cannot work here.
    """
    if list(names) == [NOBODY]:
        return ()
    names = [spelled("logger", name) for name in names]
    if NOBODY in names or len(set(names)) < len(names):
        raise SettingError(f"logger=[{', '.join(names)}]: must be different loggers, or {NOBODY} alone")
    for name in names:
        _check_name(name)
        if name not in SHORT_NAMES:
            put_here_on_path()
            _load(name)
    return tuple(names)


def find_loggers(names: Sequence[str]) -> dict[str, type[Logger]]:
    """The classes of a run's loggers, by name: none that a person has not named and that is no installed package's.

    Raises SettingError, naming what to type.
    """
    for name in names:
        _check_name(name)
        if name not in SHORT_NAMES and not may_import(str(module_of("logger", name))):
            again = names[0] if len(names) == 1 else f"[{','.join(names)}]"
            raise SettingError(
                f"logger={name}: the run names code that is neither firerl's nor an installed package's, and a file "
                f"may not name that; if you trust it, give it again: logger={again}; else logger={NOBODY}"
            )
    with without_here():
        return {name: _load(name) for name in names}


def _check_name(name: str) -> None:
    """Raise SettingError on a name that can lead nowhere, and where its library is not installed."""
    if "." not in name and name not in SHORT_NAMES:
        raise unknown("logger", name, [*SHORT_NAMES, NOBODY, OWN])
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingError(f"logger={name}: must be one of {', '.join(SHORT_NAMES)} or {OWN}")
    if name in NEEDS and not _is_installed(NEEDS[name]):
        extra = f"pip install 'firerl[{name}]', or logger=tensorboard"
        raise SettingError(f"logger={name}: the library {NEEDS[name]} is not installed: {extra}")


def _load(name: str) -> type[Logger]:
    module_name, _, attribute = SHORT_NAMES.get(name, name).rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # anybody's code runs here
        what = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise SettingError(f"logger={name}: cannot import {module_name!r}: {what}{error}") from error
    found = getattr(module, attribute, None)
    if not inspect.isclass(found) or not issubclass(found, Logger):
        raise SettingError(f"logger={name}: must be a subclass of firerl.logger.Logger")
    return found


def folder_of(run_dir: Path, name: str) -> Path:
    """Where a logger keeps its files."""
    return run_dir / name if name in SHORT_NAMES else run_dir / "loggers" / name


def _is_installed(library: str) -> bool:
    spec = importlib.util.find_spec(library)
    return spec is not None and spec.origin is not None  # a folder of that name, which W&B leaves behind, is none

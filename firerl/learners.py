"""Find a learner by its short name, or anybody's by dotted path."""

from __future__ import annotations

import importlib
import inspect
import os
import sys

from firerl.errors import SettingError, unknown
from firerl.learner import Learner

SHORT_NAMES = {
    "vmpo": "firerl.agents.vmpo.learner.VMPO",
    "classifier": "firerl.agents.classifier.learner.Classifier",
    "quadratic": "firerl.agents.quadratic.learner.Quadratic",
    "modelled": "firerl.agents.modelled.learner.Modelled",
}
METHODS = ("__init__", "set_hyperparameters", "train", "evaluate", "state", "load")  # what a learner brings itself


def find_learner(name: str) -> type[Learner]:
    """The learner called ``name``, imported now. Raises SettingError, naming what is missing."""
    if "." not in name and name not in SHORT_NAMES:
        raise unknown("learner", name, [*SHORT_NAMES, "<package>.<module>.<Class>"])
    return check_learner(name, _load(name, SHORT_NAMES.get(name, name)))


def check_learner(name: str, found: object) -> type[Learner]:
    """``found`` as the learner called ``name``. Raises SettingError if it is none, or lacks a method."""
    if not inspect.isclass(found) or not issubclass(found, Learner):
        raise SettingError(f"learner={name}: must be a subclass of firerl.Learner")
    lacking = [method for method in METHODS if getattr(found, method) is getattr(Learner, method)]
    if lacking:
        raise SettingError(f"learner={name}: the class lacks {', '.join(method + '()' for method in lacking)}")
    return found


def _load(name: str, path: str) -> object:
    """The object at a dotted path. A user's own module may lie in the current directory."""
    module_name, _, attribute = path.rpartition(".")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # anybody's code runs here
        what = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise SettingError(f"learner={name}: cannot import {module_name!r}: {what}{error}") from error
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, Learner)]
        raise unknown(f"class in module {module_name}", attribute, [key for key in classes if key != "Learner"])
    return getattr(module, attribute)

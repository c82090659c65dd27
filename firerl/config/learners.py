"""Find a learner by its short name, or anybody's by dotted path."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from firerl.base.code_names import spelled
from firerl.base.terminal import say
from firerl.config.named_code import may_import, put_here_on_path, without_here
from firerl.errors import SettingError, unknown
from firerl.learner import Learner

SHORT_NAMES = {
    "vmpo": "firerl.agents.vmpo.learner.VMPO",
    "ppo": "firerl.agents.ppo.learner.PPO",
    "classifier": "firerl.agents.classifier.learner.Classifier",
    "sb3": "firerl.agents.adapters.sb3_learner.SB3",
    "lightning": "firerl.agents.adapters.lightning_learner.Lightning",
    "quadratic": "firerl.agents.quadratic.learner.Quadratic",
    "modelled": "firerl.engine.simulated.modelled_learner.Modelled",
}
METHODS = ("__init__", "set_hyperparameters", "train", "evaluate", "state", "load")  # what a learner brings itself


def find_learner(name: str) -> type[Learner]:
    """The learner called ``name``, imported now. Raises SettingError, naming what is missing."""
    name = spelled("learner", name)
    if "." not in name and name not in SHORT_NAMES:
        raise unknown("learner", name, [*SHORT_NAMES, "<package>.<module>.<Class>"])
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingError(f"learner={name}: must be one of {', '.join(SHORT_NAMES)} or <package>.<module>.<Class>")
    if name not in SHORT_NAMES:
        put_here_on_path()  # a user's own module may lie in the current directory
    return check_learner(name, _load(name, SHORT_NAMES.get(name, name)))


def find_named(name: str) -> type[Learner]:
    """The learner that a file names. Raises SettingError, also where it is code that no file may name."""
    with without_here():
        if "." in name and not may_import(name.rpartition(".")[0]):
            raise SettingError(f"learner={name} is neither firerl's nor an installed package's: no file may name it")
        if "." not in name and name not in SHORT_NAMES:
            raise unknown("learner", name, [*SHORT_NAMES, "<package>.<module>.<Class>"])
        if not all(part.isidentifier() for part in name.split(".")):
            raise SettingError(f"learner={name[:80]}: must be {', '.join(SHORT_NAMES)} or <package>.<module>.<Class>")
        return check_learner(name, _load(name, SHORT_NAMES.get(name, name)))


def find_again(name: str, call: str, own: type[Learner] | None = None) -> type[Learner]:
    """The learner of a run that was made before: ``own`` where it was handed in, else found by its name.

    ``call`` is what to type to hand it in, ``<class>`` for its own name. Raises SettingError.
    """
    if own is not None:
        return check_learner(name, own)
    mend = f"hand the class in: {call.replace('<class>', name.rpartition('.')[2])}"
    if is_homeless(name):
        raise SettingError(f"learner={name} was made in a script or a notebook and is in no file: {mend}")
    try:
        return find_named(name)
    except SettingError as error:
        raise SettingError(f"{error}; {mend}") from error


def name_of(learner: type[Learner]) -> str:
    """What a run calls this class: its short name, else its dotted path."""
    path = f"{learner.__module__}.{learner.__qualname__}"
    return next((short for short, known in SHORT_NAMES.items() if known == path), path)


def warn_of_main(learner: type[Learner], run_dir: str) -> None:
    """Say, in one line, that a resume will need this class again, where no name leads to it."""
    if is_homeless(name_of(learner)):
        again = f"firerl.resume({run_dir!r}, learner={learner.__name__})"
        say(f"firerl: {learner.__name__} is in no module: to resume this run, type {again}", error=True)


def completed(learner: type[Learner], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The complete settings of a run made before, with those that the learner has got since then at their defaults.

    Raises SettingError where the learner refuses the old ones.
    """
    settings = without_windows(settings)
    missing = [name for name in learner.settings if name not in settings]
    if not missing:
        return dict(settings)
    now = learner.resolve(settings)
    return {**settings, **{name: now[name] for name in missing if name in now}}


def without_windows(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without ``env.kwargs.render_mode=human``: a person may type it, but no file opens windows on a screen."""
    env = settings.get("env")
    kwargs = env.get("kwargs") if isinstance(env, Mapping) else None
    if not isinstance(env, Mapping) or not isinstance(kwargs, Mapping) or kwargs.get("render_mode") != "human":
        return dict(settings)
    kept = {name: value for name, value in kwargs.items() if name != "render_mode"}
    return {**settings, "env": {**env, "kwargs": kept}}


def is_homeless(name: str) -> bool:
    """Whether a class was made in a script or a notebook, so that no name leads to it."""
    return name.startswith("__main__.") or "<locals>" in name


def check_learner(name: str, found: object) -> type[Learner]:
    """``found`` as the learner called ``name``. Raises SettingError if it is none, or lacks a method."""
    if not inspect.isclass(found) or not issubclass(found, Learner):
        raise SettingError(f"learner={name}: must be a subclass of firerl.Learner")
    lacking = [method for method in METHODS if getattr(found, method) is getattr(Learner, method)]
    if lacking:
        raise SettingError(f"learner={name}: the class lacks {', '.join(method + '()' for method in lacking)}")
    return found


def _load(name: str, path: str) -> object:
    """The object at a dotted path."""
    module_name, _, attribute = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # anybody's code runs here
        what = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise SettingError(f"learner={name}: cannot import {module_name!r}: {what}{error}") from error
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, Learner)]
        raise unknown(f"class in module {module_name}", attribute, [key for key in classes if key != "Learner"])
    return getattr(module, attribute)

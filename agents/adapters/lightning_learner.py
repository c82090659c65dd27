"""Lightning's modules as learners of firerl. Importing it does not import lightning."""

from __future__ import annotations

import importlib.util
import inspect
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch

from firerl.agents.actor_critic.settings import around
from firerl.agents.torch_learner import TorchLearner, hyperparameter_places
from firerl.base.code_names import load, spelled
from firerl.base.settings import build, plain, setting, show
from firerl.errors import FirerlError, SettingError, unknown
from firerl.learner import Hyperparameters, Survey

RATES = ("learning_rate", "lr")
RANGE = {"log_uniform": [1e-6, 10.0]}  # of a learning rate


@dataclass(frozen=True)
class Settings:
    """Beside them the module's own hyperparameters are settings, too."""

    module: str = setting("", "the LightningModule, as my_pkg:Net")
    data: dict[str, Any] = setting(
        {"name": ""}, "the LightningDataModule, as my_pkg:Data; data.<argument> is for its constructor"
    )
    arguments: dict[str, Any] = setting({}, "arguments of the module's constructor")
    monitor: str = setting("val_loss", "the objective, by the name under which validation_step logs it")
    mode: str = setting("min", "whether it is better when it is small or large", choices=("min", "max"))
    gradient_clip_val: float | None = setting(None, "largest norm of a gradient", above=0, tunable=True)
    eval_interval: int | None = setting(None, "steps between two evaluations; null: an epoch", "steps", minimum=1)


class Lightning(TorchLearner):
    """One LightningModule in automatic optimisation, on the map-style data of a LightningDataModule.

    weights: the module's parameters and buffers, the optimiser, schedulers.
    stream: the order of the data and the place in it, the module's plain attributes.
    """

    Settings: ClassVar[type] = Settings
    given: ClassVar[Mapping[str, Any]] = {}  # settings that somebody gave in Python
    classes: ClassVar[Mapping[str, type]] = {}  # and the classes, by name
    uses_gpu: ClassVar[bool] = True
    left_out: ClassVar[tuple[str, ...]] = (
        "config", "trainer", "configs", "batches", "log", "values", "device", "fixed", "data",
    )  # fmt: skip

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str = "cpu"):
        with _untouched():
            from firerl.agents.adapters import lightning_data, lightning_module

            for part, name in (("module", settings["module"]), ("data", settings["data"]["name"])):
                self._class(name, part)
        self.config, self.device = dict(settings), torch.device(device)
        self.data = self._data_module(settings)
        self.module, self.trainer, self.log = self._new_module(settings, self.data)
        own = lightning_module.hyperparameters(self.module)
        self.fixed = {name: settings[name] for name in own if settings.get(name, own[name]) != own[name]}
        self.module.to(self.device)
        self.optimizer, self.configs = lightning_module.optimiser(self.module)
        self.schedulers = [config.scheduler for config in self.configs]
        self.trainer.optimizers, self.trainer.lr_scheduler_configs = [self.optimizer], self.configs
        self.progress = self.trainer.progress
        self.batches = lightning_data.Batches(self.data.train_dataloader(), "train_dataloader")
        self.sampler = self.batches.sampler
        self.rows, self.ends = torch.empty(0, dtype=torch.int64), [0]  # of this epoch, and where its batches end
        self.set_hyperparameters(hyperparameters)

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """With the module's own hyperparameters, once the module is named."""
        both = {**cls.given, **settings}
        both["arguments"] = {**cls.given.get("arguments", {}), **_group("arguments", both.get("arguments", {}))}
        data = both.get("data", {"name": ""})
        both["data"] = {"name": data} if isinstance(data, str) else dict(_group("data", data))
        declared = {name: value for name, value in both.items() if name in cls.settings}
        found: dict[str, Any] = plain(build(Settings, declared, "learner.", "setting of learner Lightning"))
        found["module"] = spelled("learner", found["module"])
        found["data"]["name"] = spelled("learner", str(found["data"].get("name", "")))
        own = cls._own(found) if found["module"] else {}
        given = {name: both[name] for name in own if name in both}
        own = cls._own({**found, **given}) if given else own
        for name in both:
            if name not in {**declared, **own}:
                known = [f"learner.{one}" for one in (*cls.settings, *own)]
                raise unknown("setting of learner Lightning", f"learner.{name}", known)
        return {**own, **given, **found}

    @classmethod
    def tunable_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return (*(name for name in settings if name not in cls.settings), "gradient_clip_val")

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The learning rate, around the module's own."""
        return {name: around(RANGE, settings[name]) for name in [name for name in RATES if name in settings][:1]}

    @classmethod
    def eval_interval_of(cls, settings: Mapping[str, Any]) -> int:
        from firerl.agents.adapters.lightning_data import Batches

        cls._class(settings["module"], "module")
        loader = cls._data_module(settings).train_dataloader()
        return settings["eval_interval"] or len(Batches(loader, "train_dataloader"))

    @classmethod
    def survey(cls, settings: Mapping[str, Any], say: Callable[[str], None]) -> Survey | None:
        """Two batches of validation, as a Trainer begins. Raises SettingError, also where nobody logs ``monitor``."""
        from firerl.agents.adapters import lightning_loop

        with torch.random.fork_rng(devices=[]):
            one = cls(settings, {}, 0, "cpu")
            one.trainer.sanity_checking = True
            try:
                figures = lightning_loop.whole(one, "validation", one.data, one.data.val_dataloader(), 2)
            except FirerlError:
                raise
            except Exception as error:  # anybody's code
                told = " ".join(str(error).split())[:200]
                raise SettingError(
                    f"learner.module={settings['module']} in validation: {type(error).__name__}: {told}"
                ) from error
            one._objective(figures)
        return None

    @classmethod
    def task_of(cls, settings: Mapping[str, Any]) -> str:
        return str(settings["module"]).rpartition(".")[2]

    @classmethod
    def facts_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Shape and type of one input, the first tensor of a batch."""
        from firerl.agents.adapters.lightning_data import Batches

        batch = Batches(cls._data_module(settings).train_dataloader(), "train_dataloader").batch([0])
        first = batch[0] if isinstance(batch, list | tuple) else batch
        if not isinstance(first, torch.Tensor):
            return {}
        return {"shape": list(first.shape[1:]), "dtype": str(first.dtype).removeprefix("torch.")}

    @classmethod
    def module_of(cls, settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any]) -> torch.nn.Module:
        """The module itself, whose ``forward`` takes a batch of inputs."""
        if not facts:
            raise FirerlError(f"learner {cls.__name__}: a batch does not begin with a tensor, so no policy can be made")
        module, _, _ = cls._new_module(settings, None)
        module.load_state_dict(weights["parts"]["module"])
        module.names, module.input_shape = ("inputs", "outputs"), tuple(facts["shape"])
        module.input_dtype = getattr(torch, facts["dtype"])
        found: torch.nn.Module = module
        return found

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        """In the module's own attributes and ``hparams``, and in all that ``configure_optimizers`` makes of them."""
        self.values = {**self.fixed, **values}
        groups = self._set_own()
        parts = self._attributes().parts.values()
        hyperparameter_places.put(self, {path: path for path in groups}, parts, groups)

    def _set_own(self) -> dict[str, Any]:
        """Set what the module keeps itself; returns what the optimiser's groups should have, by path."""
        from firerl.agents.adapters import lightning_module

        values = {name: value for name, value in self.values.items() if name not in Lightning.settings}
        kept = [name for name, value in values.items() if lightning_module.set_own(self.module, name, value)]
        groups = lightning_module.groups(self.module)
        for name in [name for name in values if name not in kept]:
            places = [path for path in groups if path.rpartition(".")[2] == name]
            if not places:
                raise unknown("hyperparameter", name, self.tunable_of(self.config))
            groups |= dict.fromkeys(places, values[name])
        return groups

    def train(self, steps: int) -> dict[str, float]:
        """One step is one batch. Metrics are means of what ``training_step`` logs."""
        from firerl.agents.adapters import lightning_loop

        self.log.begin()
        for _ in range(steps):
            lightning_loop.step(self)
        return self.log.means()

    def evaluate(self, seed: int) -> float | None:
        """What ``monitor`` names, over all of the validation data; turned round where smaller is better."""
        from firerl.agents.adapters import lightning_loop

        return self._objective(lightning_loop.whole(self, "validation", self.data, self.data.val_dataloader()))

    def _objective(self, figures: Mapping[str, float]) -> float:
        name = self.config["monitor"]
        if name not in figures:
            raise unknown("learner.monitor", name, figures)
        return figures[name] if self.config["mode"] == "max" else -figures[name]

    def report(self, seed: int) -> dict[str, float]:
        """What ``test_step`` logs, where there is one."""
        from lightning.pytorch.utilities.model_helpers import is_overridden

        from firerl.agents.adapters import lightning_loop

        if not is_overridden("test_step", self.module) or not is_overridden("test_dataloader", self.data):
            return {}
        data = self._data_module(self.config, "test")
        return lightning_loop.whole(self, "test", data, data.test_dataloader())

    def state(self) -> dict[str, Any]:
        from firerl.agents.adapters import lightning_module

        found = super().state()
        found["stream"]["attributes"] = lightning_module.attributes(self.module)
        return found

    def load(self, weights: Any = None, stream: Any = None) -> str | None:
        from firerl.agents.adapters import lightning_module

        told = super().load(weights, stream)
        if stream is not None:
            lightning_module.set_attributes(self.module, stream["attributes"], self.device)
            self._set_own()
        return told

    @classmethod
    def _own(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The module's hyperparameters and their values."""
        from firerl.agents.adapters.lightning_module import hyperparameters

        with torch.random.fork_rng(devices=[]):
            found = hyperparameters(cls._new_module(settings, None)[0])
        return {name: value for name, value in found.items() if name not in cls.settings}

    @classmethod
    def _new_module(cls, settings: Mapping[str, Any], data: Any) -> tuple[Any, Any, Any]:
        """The module, its stand-in for a Trainer, and its log. Fixed values of the constructor's arguments go there."""
        from firerl.agents.adapters import lightning_module
        from firerl.agents.adapters.lightning_trainer import Log, StandIn

        kind, trainer, log = cls._class(settings["module"], "module"), StandIn(data), Log()
        taken = inspect.signature(kind).parameters
        own = {name: settings[name] for name in settings if name in taken and name not in cls.settings}
        return lightning_module.build(kind, {**settings["arguments"], **own}, trainer, log), trainer, log

    @classmethod
    def _data_module(cls, settings: Mapping[str, Any], stage: str = "fit") -> Any:
        from firerl.agents.adapters.lightning_data import data_module

        arguments = {name: value for name, value in settings["data"].items() if name != "name"}
        return data_module(cls._class(settings["data"]["name"], "data"), json.dumps(arguments, sort_keys=True), stage)

    @classmethod
    def _class(cls, name: str, setting: str) -> Any:
        """The class called ``my_pkg:Net``. Raises SettingError."""
        if name in cls.classes:
            return cls.classes[name]
        if importlib.util.find_spec("lightning") is None:
            raise SettingError("learner=lightning needs lightning: pip install 'firerl[lightning]'")
        if not re.fullmatch(r"\w+(\.\w+)+", name):
            raise SettingError(f"learner.{setting}={show(name)}: must be a class by its name, as my_pkg:Net")
        return load(f"learner.{setting}", name)


def bound(module: Any, data: Any, data_arguments: Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> Any:
    """Lightning with settings that somebody gave in Python; see ``firerl.adapters.lightning``."""
    for name, one in (("module", module), ("data", data)):
        if not isinstance(one, type):
            raise SettingError(f"{name}={show(one)}: must be a class, not an instance of it: each worker makes its own")
    names = [f"{one.__module__}.{one.__qualname__}" for one in (module, data)]
    known = {declared.name for declared in fields(Settings)}
    given = {
        "module": names[0],
        "data": {"name": names[1], **(data_arguments or {})},
        "arguments": {name: value for name, value in arguments.items() if name not in known},
        **{name: value for name, value in arguments.items() if name in known},
    }
    home, title = Lightning.__module__, Lightning.__name__
    if any(one.__module__ == "__main__" or "." in one.__qualname__ for one in (module, data)):  # no name leads there
        home, title = "__main__", f"lightning({module.__name__}, {data.__name__})"
    return type(
        title,
        (Lightning,),
        {"__module__": home, "given": given, "classes": dict(zip(names, (module, data), strict=True))},
    )


@contextmanager
def _untouched() -> Iterator[None]:
    """For imports: what modules draw meanwhile comes from no worker's generators."""
    drawn, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(drawn)
    np.random.set_state(numbers)  # noqa: NPY002


def _group(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(f"learner.{name}={show(value)}: must be a group, as in learner.{name}.<argument>=<value>")
    return value

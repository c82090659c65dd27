"""The Learner interface: all that firerl knows of a workload.

A learner trains one network with hyperparameters that may change between two calls. See
``docs/how-to/your-own-learner.md`` for one in 30 lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from firerl.base.settings import build, convert_field, defaults, plain
from firerl.errors import FirerlError, SettingError, unknown

if TYPE_CHECKING:
    from torch import nn

Hyperparameters = Mapping[str, Any]  # name -> float, int, str or bool


class Survey(NamedTuple):
    """What a look at the data has found, before a run begins (``Learner.survey``)."""

    unused_count: int  # files that are not used
    unused: Sequence[str]  # "<name>: <why>", in order; of very many the first ones
    contents: Any = None  # plain data, with which ``Learner.check_data`` can say what has changed


@dataclass(frozen=True)
class Continuation:
    """How a worker goes on that has been saved and loaded again, in this process or in another."""

    lost: str = ""  # what of its state cannot be saved, and why; "": it goes on as if nothing had happened
    stays: str = ""  # why it must not be loaded while all is well, though it is only seldom that something is lost
    how: str = ""  # that is known, for people

    @property
    def moves(self) -> bool:
        """Whether it may change its process, or wait while others compute."""
        return not self.lost and not self.stays


class Growth(NamedTuple):
    """Bytes that a learner gains as it trains, such as the rows of a replay buffer."""

    memory: int = 0
    state: int = 0  # what ``state()`` holds


class Learner:
    """One network in training.

    Bit for bit, for steps that are multiples of ``granularity``: ``train(a); train(b)`` equals ``train(a + b)``,
    and equals ``train(a)``, ``state()``, ``load()`` in a new process, ``train(b)``. Global random generators are kept
    for each worker (``firerl.engine.host.global_generators``); generators of its own are better.

    The state has two halves. *weights* are what exploit copies to another worker: networks, optimisers,
    normalisers, everything that makes the network go on as its donor would. *stream* stays with the worker:
    environment states, random generators, data order.
    """

    space: ClassVar[Mapping[str, Any]] = {}  # default search space, e.g. {"lr": {"log_uniform": [1e-4, 1.0]}}
    settings: ClassVar[Mapping[str, Any]] = {}  # the workload's fixed settings and their defaults
    # The same with help, units and limits, for whoever wants them: a dataclass of ``firerl.base.settings.setting``
    # fields, which gives ``settings`` and ``tunable``, what of them a search space may hold.
    Settings: ClassVar[type | None] = None
    tunable: ClassVar[tuple[str, ...]] = ()  # (), and no Settings: all of them may be tuned
    granularity: ClassVar[int] = 1  # train() takes multiples of it, in steps
    eval_interval: ClassVar[int] = 100  # default distance of two evaluations, in steps
    reshaping: ClassVar[tuple[str, ...]] = ()  # hyperparameters that change shapes: not tuned with learner.stacked
    # Settings, as "name" or "group.name", that change nothing of the result, such as paths of data and who reads them:
    # the journal's hash does not hold them, and a resume may change them.
    aside: ClassVar[tuple[str, ...]] = ()
    _declared: ClassVar[bool] = True  # what follows from the lines of the class has been filled in
    uses_gpu: ClassVar[bool] = False  # whether engine.devices=auto takes GPUs for it, where there are any

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "_declared" in cls.__dict__:
            return  # a class of another process, made again of all that it had there
        cls._declared = True
        if own := cls.__dict__.get("Settings"):
            cls.settings = defaults(own)
            cls.tunable = tuple(f.name for f in fields(own) if f.metadata.get("tunable"))
        elif "settings" in cls.__dict__:  # a mapping of its own goes over the fields that it inherits
            cls.Settings = None

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Hyperparameters, seed: int, device: str):
        """``settings`` are complete (from ``resolve``); ``seed`` decides first weights and stream.

        ``device`` is torch's name of the device to compute on, "cpu" or "cuda:1".
        """
        raise NotImplementedError(f"{type(self).__name__} lacks __init__(settings, hyperparameters, seed, device)")

    @classmethod
    def resolve(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Complete settings from the ones a user gave. Raises SettingError on what cannot work.

        The default takes missing values from ``cls.settings`` and refuses unknown names, and values outside the limits
        of ``cls.Settings``. Override it to check more or to draw defaults from the task.
        """
        if cls.Settings is not None:
            built: Any = build(cls.Settings, settings, "learner.", f"setting of learner {cls.__name__}")
            return dict(plain(built))
        for name in settings:
            if name not in cls.settings:
                raise unknown(f"setting of learner {cls.__name__}", name, cls.settings)
        return {**cls.settings, **settings}

    @classmethod
    def defaults_of(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The defaults, where complete ``settings`` decide them. The journal's hash holds what differs from them."""
        return cls.settings

    @classmethod
    def space_of(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Default search space, where complete ``settings`` decide it."""
        return cls.space

    @classmethod
    def tunable_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """What a search space may hold, where complete ``settings`` decide it."""
        return cls.tunable

    @classmethod
    def check_hyperparameter(cls, name: str, value: Any) -> None:
        """Raise SettingError where the learner cannot train with this value; asked of a space's ends before a run.

        The default asks the limits of ``cls.Settings``.
        """
        if cls.Settings is not None and name in cls.settings:
            convert_field(cls.Settings, name, value, "space.")

    @classmethod
    def checked(cls, values: Hyperparameters) -> dict[str, Any]:
        """``values`` of ``tunable`` settings within the limits of ``cls.Settings``, in their types.

        Raises SettingError.
        """
        assert cls.Settings is not None
        for name in values:
            if name not in cls.tunable:
                raise unknown(f"hyperparameter of learner {cls.__name__}", name, cls.tunable)
        return {name: convert_field(cls.Settings, name, value, "hyperparameters.") for name, value in values.items()}

    @classmethod
    def granularity_of(cls, settings: Mapping[str, Any]) -> int:
        """Steps that train() takes multiples of, where complete ``settings`` decide it."""
        return cls.granularity

    @classmethod
    def eval_interval_of(cls, settings: Mapping[str, Any]) -> int:
        """Default distance of two evaluations in steps, where complete ``settings`` decide it."""
        return cls.eval_interval

    @classmethod
    def uses_gpu_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether it is worth a GPU, where complete ``settings`` decide it."""
        return cls.uses_gpu

    @classmethod
    def continuation_of(cls, settings: Mapping[str, Any]) -> Continuation:
        """What to expect of ``load(**state())``, where complete ``settings`` decide it; asked once before a run."""
        return Continuation()

    @classmethod
    def growth_of(cls, settings: Mapping[str, Any], steps: int) -> Growth:
        """What so many steps of training add to a new learner, where complete ``settings`` decide it."""
        return Growth()

    @classmethod
    def cost_of(cls, settings: Mapping[str, Any], steps: int) -> float:
        """Mean time of a step in the first so many, in the time of a fresh network's; the estimates of a run's time."""
        return 1.0

    @classmethod
    def stacked_of(cls, settings: Mapping[str, Any]) -> int:
        """How many workers with consecutive ids train as one (see ``stack``), where complete ``settings`` decide it."""
        return settings.get("stacked") or 1

    @classmethod
    def stack(cls, settings: Mapping[str, Any], slots: int, device: str) -> Stack:
        """What trains ``slots`` learners as one computation; optional, for learners with a setting ``stacked``."""
        raise FirerlError(f"learner {cls.__name__} has no stack(): its members train one by one")

    @classmethod
    def survey(cls, settings: Mapping[str, Any], say: Callable[[str], None]) -> Survey | None:
        """Look at the data of complete ``settings`` before a run begins; optional. ``say`` tells how far it has come.

        Raises SettingError where it cannot be trained on. What is found is kept in the run folder.
        """
        return None

    @classmethod
    def check_data(cls, settings: Mapping[str, Any], contents: Any) -> None:
        """Raise SettingError where the data are not those that the run began with; asked before it goes on.

        ``contents`` are the survey's; None: they are lost, as they may be.
        """

    @classmethod
    def task_of(cls, settings: Mapping[str, Any]) -> str:
        """The name of what is learned, for run folders and tables."""
        return cls.__name__

    @classmethod
    def facts_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What ``module_of`` must know of the task besides settings and weights, such as bounds of actions.

        Plain data as in ``state()``; kept in ``best.pt``.
        """
        return {}

    @classmethod
    def module_of(cls, settings: Mapping[str, Any], weights: Any, facts: Mapping[str, Any]) -> nn.Module:
        """The trained network alone, for ``firerl.load_policy`` and ``firerl.export``; optional.

        It takes a batch in the task's own units (observations, images), [B, *module.input_shape] of
        ``module.input_dtype``, to actions or logits, [B, ...]: normalising and rescaling are inside. On the CPU, and
        without environments or data: ``weights`` are one half of ``state()``, ``facts`` come from ``facts_of``.
        ``module.names`` are the names of its input and its output, such as ("observations", "actions"). Optional:
        ``module.classes`` (what each logit stands for) and ``module.input_range`` (lowest and highest input).

        Where the module has ``act(batch, generator)``, from array to array, ``load_policy`` calls that instead, with a
        torch.Generator to sample actions from, or None. Without it there is nothing to sample.
        """
        raise FirerlError(f"learner {cls.__name__} has no module_of(): no policy can be loaded or exported")

    def set_hyperparameters(self, values: Hyperparameters) -> None:
        """Train with other hyperparameters from now on, without a rebuild."""
        raise NotImplementedError(f"{type(self).__name__} lacks set_hyperparameters(values)")

    def train(self, steps: int) -> dict[str, float]:
        """Train exactly ``steps`` steps, a multiple of the granularity; returns plain, deterministic metrics."""
        raise NotImplementedError(f"{type(self).__name__} lacks train(steps)")

    def evaluate(self, seed: int) -> float | None:
        """The objective, higher is better; None: nothing to report yet; NaN: a failure.

        Changes nothing that training sees.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks evaluate(seed)")

    def report(self, seed: int) -> dict[str, float]:
        """Figures about the loaded weights on data that the search did not see, for the winner of a run; the first one
        is told as what the winner is worth."""
        return {}

    def state(self) -> dict[str, Any]:
        """``{"weights": ..., "stream": ...}``: nested dicts and lists of tensors, numpy arrays, numbers, strings."""
        raise NotImplementedError(f"{type(self).__name__} lacks state()")

    def load(self, weights: Any = None, stream: Any = None) -> str | None:
        """Take over either half of a state, or both. Copies what it is given.

        Returns what has been lost on the way, in words, where ``continuation_of`` could not know it; else nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks load(weights, stream)")


class Stack(Protocol):
    """The training of a group of learners as one computation; made by ``Learner.stack``."""

    def train(self, members: Sequence[Any], steps: int) -> Sequence[Mapping[str, float] | Exception | None]:
        """Train the ``members`` [slots] so many steps: what their own ``train`` would do, but for rounding.

        A worker has the same slot all its life. None in it: there is no such worker, or it does not train now.
        Returns by slot what ``train`` returns, or the exception of a member that has failed; None for None. What
        becomes of a member, bit for bit, is a function of its own state, its slot and the number of slots, never of
        who else trains. If it raises, all members are put back and each trains for itself.
        """
        ...


def check_multiple(name: str, value: int, unit: int, unit_name: str) -> None:
    """Refuse a number of steps that is no positive multiple of ``unit``, naming the two nearest that are."""
    if value <= 0 or value % unit:
        below = max(value // unit, 1) * unit
        raise SettingError(
            f"{name}={value} is no multiple of {unit_name}={unit}: the nearest are {below} and {below + unit}"
        )

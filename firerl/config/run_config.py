"""The complete description of a run: plain data, the same on every machine, so that a run folder needs nothing else to
go on. ``firerl.config.request`` makes it from what a person typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from firerl.base.settings import build, plain, setting, show
from firerl.config.engine_options import ENGINES, RayOptions, check_names
from firerl.config.learners import find_learner
from firerl.errors import SettingError
from firerl.evolution.population import Setup
from firerl.evolution.space import Space

# What engine=simulated alone takes.
SIMULATED = ("speed_spread", "seconds_per_step", "seconds_per_evaluation", "seconds_per_copy", "seconds_per_save")
USUAL_LOGGERS = ("tensorboard",)
LONGEST_NAME = 300  # characters, of a module and what is in it
MOST_KEPT = 1_000_000  # generations; more than any run has
MAX_SEED = 2**63 - 1  # fits SQLite's and TOML's integers


@dataclass(frozen=True)
class AlgoConfig:
    """The algorithm of ``firerl/evolution/algorithms`` and its complete settings."""

    name: str = setting("fire", "a file of firerl/evolution/algorithms, or a dotted path to a module of your own")
    settings: dict[str, Any] = setting({}, "the algorithm's own settings")


@dataclass(frozen=True)
class EngineConfig:
    """Where the learners run. Nothing here changes the result of a run."""

    name: str = setting(
        "local",
        "where learners run: inline, in this process; local, in processes of this machine; ray, on a cluster; "
        "simulated, in virtual time",
        choices=ENGINES,
    )
    processes: int | None = setting(
        None, "how many processes host the workers; null: one for each core or GPU", minimum=1
    )
    timeout: float | None = setting(
        None, "a process that is silent for so long counts as dead; null: never", "seconds", above=0
    )
    devices: tuple[str, ...] = setting(
        ("auto",),
        "where torch computes, such as cpu or [cuda:0,cuda:1]; auto: on GPUs if the learner gains by them",
        shortest=1,
    )
    workers_per_device: int | None = setting(
        None,
        "how many learners a process keeps on its device while the others wait in host memory; null: all of them",
        minimum=1,
    )
    deterministic: bool = setting(True, "GPUs give the same numbers to the bit every time; false: they are faster")
    speed_spread: float = setting(
        0.0,
        "simulated: the speed of the fastest worker minus that of the slowest, as a share of the mean speed",
        "share",
        minimum=0,
        below=2,
    )
    seconds_per_step: float | None = setting(
        None,
        "simulated: what a training step takes at mean speed; null: it is measured on this machine",
        "s",
        minimum=0,
    )
    seconds_per_evaluation: float | None = setting(
        None, "simulated: what an evaluation takes at mean speed; null: it is measured on this machine", "s", minimum=0
    )
    seconds_per_copy: float | None = setting(
        None,
        "simulated: what a copy of one worker's weights takes; null: it is measured on this machine",
        "s",
        minimum=0,
    )
    seconds_per_save: float | None = setting(
        None, "simulated: what saving one worker's state takes; null: it is measured on this machine", "s", minimum=0
    )

    address: str | None = setting(
        None, "ray: the address of a cluster, or auto for the cluster of this machine; null: start a cluster here"
    )
    workers_per_actor: int | None = setting(
        None,
        "ray: how many workers live in one actor; null: engine.processes or the room of the cluster decides",
        minimum=1,
    )
    cpus_per_actor: float = setting(1.0, "ray: what an actor asks for on its node", "cores", above=0)
    gpus_per_actor: float = setting(
        0.0, "ray: what an actor asks for on its node; with 0.25 four actors share a GPU", "GPUs", minimum=0
    )
    wait_for_resources: bool = setting(
        False, "ray: wait until the cluster has what the actors ask for; false: refuse to start"
    )

    def __post_init__(self) -> None:
        for name in SIMULATED:
            if self.name != "simulated" and getattr(self, name):
                raise SettingError(
                    f"engine.{name}={show(getattr(self, name))}: engine={self.name} runs in real time; only "
                    "engine=simulated takes it"
                )
        for option in fields(RayOptions):
            if self.name != "ray" and getattr(self, option.name) != option.default:
                raise SettingError(
                    f"engine.{option.name}={show(getattr(self, option.name))}: only engine=ray takes it, this is "
                    f"engine={self.name}"
                )
        check_names(self.devices)


@dataclass(frozen=True)
class StopConfig:
    """What ends a run at the next ready, before its last step."""

    hours: float | None = setting(None, "end at the first ready after this time; null: never", "hours", above=0)
    objective: float | None = setting(
        None, "end at the first ready at which a member of P1 has this objective; null: never", "objective"
    )


@dataclass(frozen=True)
class CheckpointsConfig:
    """What of a run is kept while it goes on. Nothing here changes its result."""

    keep_history: int = setting(
        1,
        "how many generations are kept besides the last; firerl.doctor can go back to them",
        "generations",
        minimum=0,
        maximum=MOST_KEPT,
    )


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run. Runs that differ in run_dir, engine, checkpoints and logger alone have equal journals."""

    task: str = setting(help="what is learned: the environment, else the learner's name")
    learner: str = setting(help="vmpo, ppo, quadratic, or the dotted path of a Learner class")
    settings: dict[str, Any] = setting(help="the learner's complete settings")
    space: dict[str, Any] = setting(help="the complete search space, by hyperparameter")
    algo: AlgoConfig = setting(help="the algorithm and its settings")
    sizes: tuple[int, ...] = setting(
        help="members of P1, P2, ...", unit="workers", minimum=1, shortest=1, name="population.sizes"
    )
    evaluators: int = setting(help="evaluators in all", unit="workers", minimum=0, name="population.evaluators")
    steps: int = setting(help="length of the run", unit="steps per worker", minimum=1)
    eval_interval: int = setting(help="distance of two evaluations of a worker", unit="steps", minimum=1)
    ready_interval: int = setting(help="distance of two exploit/explore of a member", unit="steps", minimum=1)
    run_dir: str = setting(help="the folder of the run, or its address")
    init: str | None = setting(None, "whose weights all members start from: a run folder or a best.pt")
    init_sha256: str | None = setting(None, "digest of these weights")
    seed: int = setting(0, "decides every random number", minimum=0, maximum=MAX_SEED)
    engine: EngineConfig = field(default_factory=EngineConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    logger: tuple[str, ...] = setting(USUAL_LOGGERS, "who else is told")  # checked when a run starts or goes on
    local_dir: str | None = setting(None, "below which a run at an address works; of this machine, kept nowhere")
    sync: bool = setting(True, "workers wait for each other at every evaluation")
    chunk: int | None = setting(None, "steps of one call of train(); null: the whole eval_interval", minimum=1)


def to_plain(config: RunConfig) -> dict[str, Any]:
    """The config as data that YAML and JSON hold; ``from_plain`` reads it back equal."""
    result: dict[str, Any] = plain(config)
    del result["local_dir"]
    if config.init is None:  # a run from new weights says nothing of others
        del result["init"], result["init_sha256"]
    if config.sync:  # the hash begins with what is unusual of a run
        del result["sync"]
    if config.chunk is None:
        del result["chunk"]
    return result


def from_plain(data: Mapping[str, Any]) -> RunConfig:
    """A config from plain data. Raises SettingError, naming the field."""
    return build(RunConfig, data)


def modelled(config: RunConfig, **settings: Any) -> RunConfig:
    """The same run with a learner that trains nothing, ``firerl.engine.simulated.modelled_learner``.

    ``settings`` are the modelled learner's (``noise``, ``failure_rate``, ...); what it stands for is as ``config``
    says. Raises SettingError.
    """
    learner = find_learner("modelled")
    stands_for = {
        "of": config.learner,
        "env": config.settings.get("env"),
        "space": config.space,
        "granularity": 1,  # the intervals are whole already
        "eval_interval": config.eval_interval,
        "stacked": config.settings.get("stacked"),
    }
    complete = dict(plain(learner.resolve({**stands_for, **settings})))
    return replace(config, task=learner.task_of(complete), learner="modelled", settings=complete, init=None)


def setup_of(config: RunConfig) -> Setup:
    """What the algorithm of this run is given."""
    return Setup(
        sizes=config.sizes,
        evaluators=config.evaluators,
        space=Space.parse(config.space),
        seed=config.seed,
        eval_interval=config.eval_interval,
        ready_interval=config.ready_interval,
    )


def window_of(config: RunConfig) -> int:
    """How many last objectives the fitness of P1 averages."""
    return int(config.algo.settings.get("fitness_window", 1))

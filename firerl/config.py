"""The complete description of a run, and how it is made from what a person typed.

``resolve`` checks everything that can be checked before anything is written; a ``RunConfig`` is complete, plain and
the same on every machine, so that a run folder needs nothing else to go on.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from firerl import __version__
from firerl.configured_learner import check_stacked, learner_settings, merged, named, space_of, usual_values
from firerl.engine import ENGINES
from firerl.engine.devices import check_names
from firerl.engine.ray_cluster import RayOptions
from firerl.errors import RunFolderError, SettingError, unknown
from firerl.evolution import find
from firerl.evolution.population import Setup
from firerl.learner import Learner, check_multiple
from firerl.learners import check_learner, find_learner
from firerl.loggers import check_loggers
from firerl.settings import build, convert, plain, setting, show
from firerl.space import Space

if TYPE_CHECKING:
    from firerl.journal_db import Journal

# What engine=simulated alone takes.
SIMULATED = ("speed_spread", "seconds_per_step", "seconds_per_evaluation", "seconds_per_copy", "seconds_per_save")
ASYNCHRONOUS = ("inline", "local", "simulated")  # engines that sync=false can run on
USUAL_LOGGERS = ("tensorboard",)
LONGEST_NAME = 300  # characters, of a module and what is in it
MOST_KEPT = 1_000_000  # generations; more than any run has
MAX_SEED = 2**63 - 1  # fits SQLite's and TOML's integers


@dataclass(frozen=True)
class AlgoConfig:
    """The algorithm of ``firerl/evolution`` and its complete settings."""

    name: str = setting("fire", "a file of firerl/evolution, or a dotted path to a module of your own")
    settings: dict[str, Any] = setting({}, "the algorithm's own settings")


@dataclass(frozen=True)
class EngineConfig:
    """Where the learners run. Nothing here changes the result of a run."""

    name: str = setting(
        "local",
        "inline: in this process; local: in processes of this machine; ray: on a cluster; simulated: virtual time",
        choices=ENGINES,
    )
    processes: int | None = setting(None, "processes that host the workers; null: one a core or GPU", minimum=1)
    timeout: float | None = setting(None, "a silent process counts as dead after this; null: never", "seconds", above=0)
    devices: tuple[str, ...] = setting(
        ("auto",), "where torch computes: cpu, [cuda:0,cuda:1]; auto: GPUs for learners that gain by them", shortest=1
    )
    workers_per_device: int | None = setting(
        None, "learners that a process keeps on its device, the others wait in host memory; null: all", minimum=1
    )
    deterministic: bool = setting(True, "GPUs compute the same to the bit every time; false: faster")
    speed_spread: float = setting(
        0.0, "simulated: fastest minus slowest worker, in mean speeds: 0.2 is 20 %", "share", minimum=0, below=2
    )
    seconds_per_step: float | None = setting(
        None, "simulated: of training at mean speed; this and the next three null: what it takes here", "s", minimum=0
    )
    seconds_per_evaluation: float | None = setting(None, "simulated: of one worker at mean speed", "s", minimum=0)
    seconds_per_copy: float | None = setting(None, "simulated: of one worker's weights", "s", minimum=0)
    seconds_per_save: float | None = setting(None, "simulated: of one worker's state", "s", minimum=0)

    address: str | None = setting(
        None, "ray: a cluster's address, or auto for the one around; null: start one on this machine"
    )
    workers_per_actor: int | None = setting(
        None, "ray: null: as many actors as the cluster has room for, or engine.processes", minimum=1
    )
    cpus_per_actor: float = setting(1.0, "ray: what an actor asks of its node", "cores", above=0)
    gpus_per_actor: float = setting(0.0, "ray: what an actor asks of its node; 0.25: four share one", "GPUs", minimum=0)
    wait_for_resources: bool = setting(False, "ray: wait until the cluster has what the actors ask for")

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

    hours: float | None = setting(None, "end after this time; null: never", "hours", above=0)
    objective: float | None = setting(None, "end once a member of P1 has reached this; null: never", "objective")


@dataclass(frozen=True)
class CheckpointsConfig:
    """What of a run is kept while it goes on. Nothing here changes its result."""

    keep_history: int = setting(
        1,
        "generations kept besides the last, for firerl.doctor to go back to",
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


@dataclass(frozen=True)
class PopulationConfig:
    """Who takes part; null: as the preset says."""

    sizes: tuple[int, ...] | None = setting(None, "members of P1, P2, ...", "workers", minimum=1, shortest=1)
    evaluators: int | None = setting(None, "evaluators in all", "workers", minimum=0)


@dataclass(frozen=True)
class ExploreConfig:
    """Short names for two settings of the algorithms that explore; null: the algorithm's default."""

    factors: tuple[float, ...] | None = setting(None, "a value is multiplied by one of these", above=0, shortest=1)
    resample_probability: float | None = setting(
        None, "chance to draw a value anew instead", "fraction", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class Preset:
    """The size of a run counted in evaluations, so that it fits every learner."""

    name: str = setting(help="of the preset")
    evaluations: int = setting(help="a run", unit="evaluations", minimum=1)
    evaluations_per_ready: int = setting(help="between two exploit/explore", unit="evaluations", minimum=1)
    max_eval_evaluations: int = setting(help="an evaluator's time", unit="evaluations", minimum=1)
    sizes: tuple[int, ...] = setting(help="members of P1, P2, ...", unit="workers", minimum=1, shortest=1)
    evaluators: int = setting(help="evaluators in all", unit="workers", minimum=0)
    fitness_window: int = setting(1, "that P1 ranks by the mean of", "evaluations", minimum=1)
    eval_interval_scale: float = setting(1.0, "of the learner's own evaluation interval", "fraction", above=0)


@dataclass(frozen=True)
class Request:
    """The run's own settings as a person types them; null: as the preset and the learner say."""

    steps: int | None = setting(None, "length of the run", "steps per worker", minimum=1)
    eval_interval: int | None = setting(None, "distance of two evaluations of a worker", "steps", minimum=1)
    ready_interval: int | None = setting(None, "distance of two exploit/explore of a member", "steps", minimum=1)
    seed: int = setting(0, "decides every random number; a list runs one after another", minimum=0, maximum=MAX_SEED)
    run_dir: str | None = setting(
        None,
        "the folder of the run; null: runs/<task>-<algo>-<date>; an address (s3://bucket/runs/x, file:///mnt/share/x) "
        "keeps it there",
    )
    local_dir: str | None = setting(
        None,
        "a folder on a local disk, below which a run at an address works; null: ~/.cache/firerl/runs",
    )
    init: str | None = setting(None, "start all members from these weights: a run folder or a best.pt; null: from new")
    logger: tuple[str, ...] = setting(
        USUAL_LOGGERS, "who else is told: tensorboard, wandb, <package>.<module>.<Class>, or a list; none: nobody"
    )
    sync: bool = setting(
        True, "workers wait for each other at every evaluation; false: nobody waits, reports are decided as they come"
    )
    population: PopulationConfig = field(default_factory=PopulationConfig)
    explore: ExploreConfig = field(default_factory=ExploreConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)


SECTIONS = ("env", "data", "algo", "learner", "preset", "space", *(f.name for f in fields(Request)))
MAY_CHANGE = ("steps", "stop", "checkpoints", "engine", "logger")  # on resume: none changes what has happened


def to_plain(config: RunConfig) -> dict[str, Any]:
    """The config as data that YAML and JSON hold; ``from_plain`` reads it back equal."""
    result: dict[str, Any] = plain(config)
    del result["local_dir"]
    if config.init is None:  # a run from new weights says nothing of others
        del result["init"], result["init_sha256"]
    if config.sync:  # as every run before there was another
        del result["sync"]
    return result


def from_plain(data: Mapping[str, Any]) -> RunConfig:
    """A config from plain data. Raises SettingError, naming the field."""
    engine = data.get("engine")
    if isinstance(engine, Mapping) and "device" in engine:  # of a run from before engine.devices
        rest = {name: value for name, value in engine.items() if name != "device"}
        data = {**data, "engine": {**rest, "devices": [engine["device"]]}}
    return build(RunConfig, data)


def config_of(journal: Journal) -> RunConfig:
    """The settings of a run. Raises RunFolderError where this firerl cannot read them."""
    path, writer = journal.run_dir / "journal.sqlite", journal.writer()
    try:
        config = from_plain(journal.config())
        for name in (config.learner, config.algo.name):
            if len(name) > LONGEST_NAME:
                raise ValueError(f"{name:.40}... is no name of a learner or an algorithm")
        _check_population(config, journal)
        return config
    except (SettingError, ValueError, TypeError) as error:
        if writer in (None, __version__):
            raise RunFolderError(f"{path} is damaged: {error}") from error
        told = f"it was written by firerl {writer}, which reads it; this is firerl {__version__}"
        raise RunFolderError(f"{path} cannot be read: {error}; {told}") from error


def _check_population(config: RunConfig, journal: Journal) -> None:
    """Raise ValueError, SettingError where the settings are of another population than the one that is there: whoever
    makes it again, or draws it, would take time and memory for what they say."""
    there = len(journal.initial_state().workers)
    if (wanted := sum(config.sizes) + config.evaluators) != there:
        raise ValueError(f"its settings are of {wanted:,} workers, and it has {there:,}")
    Space.parse(config.space)


def resolve(raw: Mapping[str, Any], own: type[Learner] | None = None) -> RunConfig:
    """The run that a composed tree of settings (``firerl.compose``) asks for. Writes nothing.

    ``own`` is a learner's class that need not be found by its name. Raises SettingError on anything that cannot work.
    """
    for name in raw:
        if name not in SECTIONS:
            raise unknown("setting", name, SECTIONS)
    _refuse_old_names(raw)
    request = build(Request, {f.name: raw[f.name] for f in fields(Request) if f.name in raw})
    preset = build(Preset, raw.get("preset") or {}, "preset.")
    algo_name, algo_given = named("algo", raw.get("algo"), "fire")
    algorithm = find.algorithm(algo_name)
    learner_name, learner_given = named("learner", raw.get("learner"), "vmpo")
    learner = find_learner(learner_name) if own is None else check_learner(learner_name, own)

    settings = learner_settings(learner, learner_name, learner_given, raw.get("env"), raw.get("data"))
    eval_interval, ready_interval, steps = _intervals(request, preset, learner, settings)
    space = Space.parse(space_of(learner, settings, raw.get("space") or {}))
    check_stacked(learner, learner_name, settings, space)
    offered = {
        "max_eval_steps": preset.max_eval_evaluations * eval_interval,
        "fitness_window": preset.fitness_window,
        "explore_factors": request.explore.factors,
        "resample_probability": request.explore.resample_probability,
        "anneal_steps": steps,
        "hyperparameters": usual_values(space, settings),
    }
    algo_settings = _algo_settings(algorithm, algo_given, offered)
    sizes, evaluators = algorithm.arrange(*_workers(request.population, preset))
    config = RunConfig(
        task=learner.task_of(settings),
        learner=learner_name,
        settings=settings,
        space=space.to_plain(),
        algo=AlgoConfig(algo_name, plain(algo_settings)),
        sizes=tuple(sizes),
        evaluators=evaluators,
        steps=steps,
        eval_interval=eval_interval,
        ready_interval=ready_interval,
        run_dir=request.run_dir or "",
        local_dir=request.local_dir,
        init=request.init,
        seed=request.seed,
        engine=request.engine,
        stop=request.stop,
        checkpoints=request.checkpoints,
        logger=check_loggers(request.logger),
        sync=request.sync,
    )
    _check_sync(config, learner)
    algorithm.validate(setup_of(config), algo_settings)
    return replace(config, run_dir=config.run_dir or default_run_dir(config))


def changed(old: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The config of a resumed run. Raises SettingError on a change that would make it another run."""
    for name in changes:
        if name not in SECTIONS:
            raise unknown("setting", name, SECTIONS)
        if name not in MAY_CHANGE:
            allowed = "steps, stop.*, checkpoints.*, engine.* and logger"
            raise SettingError(
                f"{name} cannot change when a run is resumed: only {allowed} can; start a new run for it"
            )
    _refuse_old_names(changes)
    engine = changes.get("engine", {})
    engine = {"name": engine} if isinstance(engine, str) else engine
    kept = plain(old.engine)
    if isinstance(engine, Mapping) and engine.get("name", old.engine.name) != old.engine.name:
        if "simulated" in (engine["name"], old.engine.name):
            raise SettingError(
                f"engine={show(engine['name'])}: this run began with engine={old.engine.name}, and a run's times are "
                "simulated from its start to its end or not at all"
            )
        kept["processes"] = None  # another engine has its own default
    result = {**to_plain(old), **changes, "engine": merged("engine", kept, engine)}
    for group in ("stop", "checkpoints"):
        result[group] = merged(group, plain(getattr(old, group)), changes.get(group, {}))
    config = from_plain(result)
    if "logger" in changes:
        config = replace(config, logger=check_loggers(config.logger))
    check_multiple("steps", config.steps, config.ready_interval, "ready_interval")
    _check_sync(config)
    return config


def _check_sync(config: RunConfig, learner: type[Learner] | None = None) -> None:
    """Raise SettingError where nobody waits and something of the run needs that they do."""
    if not config.sync and config.engine.name not in ASYNCHRONOUS:
        raise SettingError(f"engine={config.engine.name}: sync=false needs one of {', '.join(ASYNCHRONOUS)}")
    stacked = 1 if learner is None or config.sync else learner.stacked_of(config.settings)
    if stacked > 1:
        raise SettingError(f"learner.stacked={stacked}: must be null with sync=false, where nobody trains together")


def _refuse_old_names(tree: Mapping[str, Any]) -> None:
    engine = tree.get("engine")
    if isinstance(engine, Mapping) and "device" in engine:
        device = show(engine["device"])
        raise SettingError(f"engine.device={device}: it is engine.devices={device} now, which also takes a list")


def modelled(config: RunConfig, **settings: Any) -> RunConfig:
    """The same run with a learner that trains nothing (``firerl.agents.modelled``) in place of its own.

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


def default_run_dir(config: RunConfig) -> str:
    """``runs/<task>-<algo>-<date>``."""
    name = re.sub(r"[^\w.-]+", "-", f"{config.task}-{config.algo.name}")  # my_pkg:MyEnv-v0, ALE/Pong-v5
    return f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _intervals(
    request: Request, preset: Preset, learner: type[Learner], settings: Mapping[str, Any]
) -> tuple[int, int, int]:
    """eval_interval, ready_interval and steps: as asked for, else as the preset counts them in evaluations."""
    who = learner.__name__
    granularity = convert(f"{who}.granularity", learner.granularity_of(settings), int, {"min": 1})
    usual = convert(f"{who}.eval_interval", learner.eval_interval_of(settings), int, {"min": 1})
    scaled = max(1, round(preset.eval_interval_scale * usual / granularity)) * granularity
    eval_interval = request.eval_interval or scaled
    check_multiple("eval_interval", eval_interval, granularity, "the learner's granularity")
    ready_interval = request.ready_interval or preset.evaluations_per_ready * eval_interval
    check_multiple("ready_interval", ready_interval, eval_interval, "eval_interval")
    steps = request.steps or math.ceil(preset.evaluations * eval_interval / ready_interval) * ready_interval
    check_multiple("steps", steps, ready_interval, "ready_interval")
    return eval_interval, ready_interval, steps


def _workers(population: PopulationConfig, preset: Preset) -> tuple[tuple[int, ...], int]:
    """Sizes and evaluators. Own sizes bring the paper's share of evaluators, 3/4 of the largest parent's size for each
    parent, at least two: a single one ranks nobody."""
    if population.sizes is None:
        return preset.sizes, preset.evaluators if population.evaluators is None else population.evaluators
    if population.evaluators is not None:
        return population.sizes, population.evaluators
    parents = population.sizes[1:]  # served evenly, whatever their sizes
    return population.sizes, len(parents) * max((max(2, size * 3 // 4) for size in parents), default=0)


def _algo_settings(algorithm: ModuleType, given: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """The algorithm's Settings: what is ``given``, over what the run offers to an algorithm that has such a setting."""
    known = {f.name for f in fields(algorithm.Settings)}
    settings = {name: value for name, value in offered.items() if name in known and value is not None}
    for name, value in given.items():
        both = isinstance(value, Mapping) and isinstance(settings.get(name), Mapping)
        settings[name] = {**settings[name], **value} if both else value
    built = build(algorithm.Settings, settings, "algo.")
    if getattr(built, "schedule", "") is None and "anneal_steps" not in given:
        built = replace(built, anneal_steps=None)  # no schedule: the run's length is no part of the algorithm
    return built

"""What a person asks for, and the complete run that is made of it.

``resolve`` checks everything that can be checked before anything is written; ``changed`` does so for a resume.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import ModuleType
from typing import Any

from firerl.base.settings import build, convert, plain, setting, show
from firerl.config.configured_learner import check_stacked, learner_settings, merged, named, space_of, usual_values
from firerl.config.engine_options import RayOptions
from firerl.config.find_loggers import check_loggers
from firerl.config.learners import check_learner, find_learner
from firerl.config.run_config import (
    MAX_SEED,
    USUAL_LOGGERS,
    AlgoConfig,
    CheckpointsConfig,
    EngineConfig,
    RunConfig,
    StopConfig,
    from_plain,
    setup_of,
    to_plain,
)
from firerl.errors import SettingError, unknown
from firerl.evolution import find
from firerl.evolution.schedule import USUAL, ScheduleSettings
from firerl.evolution.space import Space
from firerl.learner import Learner, check_multiple


@dataclass(frozen=True)
class PopulationConfig:
    """Who takes part; null: as the preset says."""

    sizes: tuple[int, ...] | None = setting(None, "members of P1, P2, ...", "workers", minimum=1, shortest=1)
    evaluators: int | None = setting(None, "how many evaluators there are in all", "workers", minimum=0)


@dataclass(frozen=True)
class ExploreConfig:
    """Short names for two settings of the algorithms that explore; null: the algorithm's default."""

    factors: tuple[float, ...] | None = setting(
        None, "explore multiplies a value by one of these factors", above=0, shortest=1
    )
    resample_probability: float | None = setting(
        None, "chance that explore draws a value anew instead", "fraction", minimum=0, maximum=1
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

    steps: int | None = setting(None, "how long the run is", "steps per worker", minimum=1)
    eval_interval: int | None = setting(None, "steps from one evaluation of a worker to the next", "steps", minimum=1)
    ready_interval: int | None = setting(
        None, "steps from one exploit and explore of a member to the next", "steps", minimum=1
    )
    chunk: int | None = setting(
        None,
        "a part of eval_interval, after which a worker may move to a process that has time; null: no worker moves",
        "steps",
        minimum=1,
    )
    seed: int = setting(
        0,
        "decides every random number; with a list one run for each seed follows the other",
        minimum=0,
        maximum=MAX_SEED,
    )
    run_dir: str | None = setting(
        None,
        "the folder of the run; null: runs/<task>-<algo>-<date>; the run may also lie at an address, such as "
        "s3://bucket/runs/x or file:///mnt/share/x",
    )
    local_dir: str | None = setting(
        None,
        "a run at an address works below this folder of a local disk; null: ~/.cache/firerl/runs",
    )
    init: str | None = setting(
        None, "all members start from the weights of this run folder or best.pt; null: from new weights"
    )
    logger: tuple[str, ...] = setting(
        USUAL_LOGGERS,
        "who else is told of the run: tensorboard, wandb, <package>.<module>:<Class>, or a list of these; none: nobody",
    )
    sync: bool = setting(
        True,
        "workers wait for each other at every evaluation; false: no worker waits, each report is decided when it comes",
    )
    population: PopulationConfig = field(default_factory=PopulationConfig)
    explore: ExploreConfig = field(default_factory=ExploreConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)


SECTIONS = ("env", "data", "algo", "learner", "preset", "space", *(f.name for f in fields(Request)))
MAY_CHANGE = ("steps", "stop", "checkpoints", "engine", "logger")  # on resume: none changes what has happened


def resolve(raw: Mapping[str, Any], own: type[Learner] | None = None) -> RunConfig:
    """The run that a composed tree of settings (``firerl.config.compose``) asks for. Writes nothing.

    ``own`` is a learner's class that need not be found by its name. Raises SettingError on anything that cannot work.
    """
    for name in raw:
        if name not in SECTIONS:
            raise unknown("setting", name, SECTIONS)
    request = build(Request, {f.name: raw[f.name] for f in fields(Request) if f.name in raw})
    preset = build(Preset, raw.get("preset") or {}, "preset.")
    algo_name, algo_given = named("algo", raw.get("algo"), "fire")
    algorithm = find.algorithm(algo_name)
    learner_name, learner_given = named("learner", raw.get("learner"), "vmpo")
    learner = find_learner(learner_name) if own is None else check_learner(learner_name, own)

    settings = learner_settings(learner, learner_name, learner_given, raw.get("env"), raw.get("data"))
    eval_interval, ready_interval, steps = _intervals(request, preset, learner, settings)
    _check_chunk(request, eval_interval, learner.granularity_of(settings))
    space = Space.parse(space_of(learner, settings, raw.get("space") or {}, learner_given))
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
    _check_annealed(algo_settings, learner_given, space)
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
        chunk=request.chunk,
    )
    _check_sync(config, learner)
    _check_memory(config, learner)
    algorithm.validate(setup_of(config), algo_settings)
    return replace(config, run_dir=config.run_dir or default_run_dir(config))


def changed(old: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The config of a resumed run. Raises SettingError on a change that would make it another run."""
    changes = plain(changes)
    for name in changes:
        if name not in SECTIONS:
            raise unknown("setting", name, SECTIONS)
        if name not in MAY_CHANGE:
            allowed = "steps, stop.*, checkpoints.*, engine.* and logger"
            raise SettingError(
                f"{name} cannot change when a run is resumed: only {allowed} can; start a new run for it"
            )
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
        kept |= {option.name: option.default for option in fields(RayOptions)}  # and Ray's are Ray's alone
    result = {**to_plain(old), **changes, "engine": merged("engine", kept, engine)}
    for group in ("stop", "checkpoints"):
        result[group] = merged(group, plain(getattr(old, group)), changes.get(group, {}))
    config = from_plain(result)
    if "logger" in changes:
        config = replace(config, logger=check_loggers(config.logger))
    config = replace(config, steps=_up_to_ready(config.steps, config.ready_interval))
    _check_sync(config)
    return config


def rounded_line(asked: Any, config: RunConfig) -> str | None:
    """What to say where the steps that were ``asked`` for, None: nobody has, are not those of the run."""
    if asked is None or asked == config.steps:
        return None
    return (
        f"steps={int(asked)} is not at a ready: the run goes on to the next one, at steps={config.steps} "
        f"(ready_interval={config.ready_interval})"
    )


def _check_annealed(algo_settings: Any, typed: Mapping[str, Any], space: Space) -> None:
    """Raise SettingError where a schedule would pass over the hyperparameter that a person has fixed, and take another
    or none."""
    if not isinstance(algo_settings, ScheduleSettings) or algo_settings.schedule is None:
        return
    asked = (algo_settings.anneal,) if algo_settings.anneal else USUAL
    searched = [d.name for d in space.dimensions if len(d.choices) != 1]
    for name in asked:
        if typed.get(name) is not None and name not in searched:
            value = show(typed[name])
            raise SettingError(
                f"learner.{name}={value} fixes what algo.schedule={algo_settings.schedule} is to change: give it the "
                f"first value by algo.hyperparameters.{name}={value}"
            )


def going_on(old: RunConfig, changes: Mapping[str, Any], finished: Mapping[str, Any] | None, reached: int) -> RunConfig:
    """The config of a run that goes on from step ``reached``; ``finished`` is its result, if it has ended.

    Raises SettingError as ``changed``, and where the run is there already or would end at once.
    """
    config = changed(old, changes)
    if config.steps < reached:
        raise SettingError(f"steps={config.steps}: the run is already at step {reached}")
    if finished is not None and config.steps != old.steps:
        _check_that_it_goes_on(config, old, finished)
    return config


def _check_that_it_goes_on(config: RunConfig, old: RunConfig, finished: Mapping[str, Any]) -> None:
    """Raise SettingError where more steps are asked for, and what has ended the run would end it again at once."""
    stopped = str(finished["stopped"])
    name = stopped.removeprefix("stop.")
    if name != stopped and getattr(config.stop, name, None) == getattr(old.stop, name, None):
        raise SettingError(
            f"steps={config.steps}: {stopped}={show(getattr(old.stop, name, None))} has ended this run at step "
            f"{finished['steps']} and would end it again; give {stopped}=<more> (or null) as well"
        )


def _check_sync(config: RunConfig, learner: type[Learner] | None = None) -> None:
    """Raise SettingError where nobody waits and something of the run needs that they do."""
    stacked = 1 if learner is None or config.sync else learner.stacked_of(config.settings)
    if stacked > 1:
        raise SettingError(f"learner.stacked={stacked}: must be null with sync=false, where nobody trains together")


def _check_memory(config: RunConfig, learner: type[Learner]) -> None:
    """Raise SettingError where what the workers gather as they train does not fit into this machine."""
    workers, grown = sum(config.sizes) + config.evaluators, learner.growth_of(config.settings, config.steps).memory
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if config.engine.name in ("inline", "local") and workers * grown > memory:
        raise SettingError(
            f"learner={config.learner}: {workers} workers gather {grown / 1e9:.3g} GB each, "
            f"{workers * grown / 1e9:,.4g} GB together, and this machine has {memory / 1e9:,.4g} GB; take fewer "
            "workers, a smaller buffer, or engine=ray on more machines"
        )


def default_run_dir(config: RunConfig) -> str:
    """``runs/<task>-<algo>-<date>``."""
    name = re.sub(r"[^\w.-]+", "-", f"{config.task}-{config.algo.name}")  # my_pkg:MyEnv-v0, ALE/Pong-v5
    return f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _intervals(
    request: Request, preset: Preset, learner: type[Learner], settings: Mapping[str, Any]
) -> tuple[int, int, int]:
    """eval_interval, ready_interval and steps: as asked for, else so that they fit what is asked for, counted in the
    preset's evaluations. A run ends at a ready: its steps go on to the next one."""
    who = learner.__name__
    granularity = convert(f"{who}.granularity", learner.granularity_of(settings), int, {"min": 1})
    usual = convert(f"{who}.eval_interval", learner.eval_interval_of(settings), int, {"min": 1})
    scaled = max(1, round(preset.eval_interval_scale * usual / granularity)) * granularity
    if request.ready_interval is not None and request.eval_interval is None:
        check_multiple("ready_interval", request.ready_interval, granularity, "the learner's granularity")
        if request.ready_interval % scaled:
            units = request.ready_interval // granularity
            scaled = units // _evaluations(units, preset.evaluations_per_ready) * granularity
    eval_interval = request.eval_interval or scaled
    check_multiple("eval_interval", eval_interval, granularity, "the learner's granularity")
    ready_interval = request.ready_interval or preset.evaluations_per_ready * eval_interval
    check_multiple("ready_interval", ready_interval, eval_interval, "eval_interval")
    steps = _up_to_ready(request.steps or preset.evaluations * eval_interval, ready_interval)
    return eval_interval, ready_interval, steps


def _evaluations(units: int, usual: int) -> int:
    """Into how many equal evaluations so many units of steps can be parted: nearly as many as is ``usual``."""
    whole = [count for count in range(1, 2 * usual + 1) if units % count == 0]
    return min(whole, key=lambda count: abs(math.log(count / usual)))


def _up_to_ready(steps: int, ready_interval: int) -> int:
    """``steps``, or the next ready where they end between two. Raises SettingError on more than a run may have."""
    return int(convert("steps", -(-steps // ready_interval) * ready_interval, int))


def _check_chunk(request: Request, eval_interval: int, granularity: int) -> None:
    """Raise SettingError unless two processes can share an interval in such parts."""
    if (chunk := request.chunk) is None:
        return
    if not request.sync:
        raise SettingError(f"chunk={chunk}: must be null with sync=false, where no process waits for another")
    check_multiple("chunk", chunk, granularity, "the learner's granularity")
    check_multiple("eval_interval", eval_interval, chunk, "chunk")
    if chunk == eval_interval:
        raise SettingError(f"chunk={chunk}: must be a part of eval_interval={eval_interval}, a half of it or less")


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

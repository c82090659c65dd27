"""What of a run depends on the machine that it goes on: devices, a cluster, and whose states can be kept there."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from firerl.base.paths import anchored
from firerl.config.engine_options import RayOptions
from firerl.config.run_config import EngineConfig, RunConfig
from firerl.engine import devices as machine
from firerl.errors import SettingError
from firerl.learner import Continuation, Learner

if TYPE_CHECKING:
    from firerl.storage.store import Store

COMPUTES = "computes on "  # how a note begins that says on what kind of device


def on_this_machine(config: RunConfig, learner: type[Learner]) -> RunConfig:
    """The config with the devices that the run computes on here, and paths that hold wherever a learner goes. The run
    folder keeps what was asked for.

    Raises SettingError where these, or a cluster, are not there.
    """
    engine = config.engine
    if engine.name == "ray":
        from firerl.engine.ray import ray_cluster

        ray_cluster.connect(cluster_of(engine), engine.timeout)
        ray_cluster.actor_count(cluster_of(engine), engine.processes, sum(config.sizes) + config.evaluators)
    devices = machine.of_run(config, learner)
    return replace(config, engine=replace(config.engine, devices=devices), settings=anchored(config.settings))


def cluster_of(engine: EngineConfig) -> RayOptions:
    return RayOptions(**{option.name: getattr(engine, option.name) for option in fields(RayOptions)})


def moved(store: Store, now: str) -> str | None:
    """What to tell where the journal may not be that of a run without a break; keeps what computes from here on."""
    notes = [note.removeprefix(COMPUTES) for note in store.journal().notes() if note.startswith(COMPUTES)]
    before = notes[-1] if notes else None
    if now != before:
        store.note(COMPUTES + now)
    return machine.warning(before, now)


def continuation_of(config: RunConfig, learner: type[Learner]) -> Continuation:
    """How workers go on that are loaded. Raises SettingError where the engine would load them again and again."""
    found, built = learner.continuation_of(config.settings), config.engine.workers_per_device
    if built is not None and not found.moves:
        raise SettingError(f"engine.workers_per_device={built}: must be null, since {found.lost or found.stays}")
    return found

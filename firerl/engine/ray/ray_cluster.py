"""The Ray cluster of a run: found or started, and what it has to give."""

from __future__ import annotations

import atexit
import logging
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from firerl.base.cores import usable_cores
from firerl.base.disk import durable
from firerl.config.engine_options import RayOptions
from firerl.errors import SettingError

_CONNECT_SECONDS = 60.0


def ray_module(alone: bool = False) -> Any:
    """Ray, to be used on this machine ``alone``. Raises SettingError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it announces a change to come
    if alone:
        # By this, which was made for other systems, all of a cluster of one machine listens on loopback only.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise SettingError(
            "engine=ray: Ray is not installed; it comes with firerl's extra: pip install 'firerl[ray]'"
        ) from error
    return ray


def connect(options: RayOptions, timeout: float | None) -> Any:
    """Ray, after this process has joined the cluster, or has started one on this machine that ends with this process
    and listens on loopback only.

    Raises SettingError where there is none at the address within ``timeout`` seconds (a minute, if None).
    """
    ray = ray_module(options.address is None)
    if ray.is_initialized():
        return ray
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if options.address is None:
        # A folder of its own, below /tmp as Ray's usual one: the names of its sockets must be short.
        folder = tempfile.mkdtemp(prefix="firerl-ray-", dir="/tmp")
        atexit.register(_leave_nothing, ray, folder)  # before Ray's own, which stops the cluster, too
        # "local": without it Ray joins whatever cluster it finds on this machine.
        ray.init(address="local", num_cpus=usable_cores(), include_dashboard=False, _temp_dir=folder, **quiet)
        return ray
    seconds = _CONNECT_SECONDS if timeout is None else timeout
    where = f"engine.address={options.address}"
    failed: list[BaseException] = []

    def join() -> None:
        try:
            ray.init(address=options.address, **quiet)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=join, name="firerl-ray", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise SettingError(f"{where}: no Ray cluster has answered there within {seconds:g} s (engine.timeout)")
    if failed:
        said = str(failed[0]).strip().splitlines()
        raise SettingError(f"{where}: no Ray cluster can be joined there: {said[0] if said else failed[0]!r}")
    return ray


def _leave_nothing(ray: Any, folder: str) -> None:
    """Stop the cluster that this process has started, and remove what it kept: logs, sockets, objects."""
    with suppress(Exception):  # anybody may have stopped it
        ray.shutdown()
    durable.remove_folder(Path(folder))


def actor_count(options: RayOptions, processes: int | None, workers: int | None) -> int:
    """How many actors: ``processes``, or as many as hold ``workers_per_actor``, or as many as the cluster has room for.

    Raises SettingError where the cluster has less than they ask for, unless they are to wait for it.
    """
    most = room(options)
    if processes is None and options.workers_per_actor is not None and workers is not None:
        processes = -(-workers // options.workers_per_actor)
    count = max(1, most) if processes is None else processes
    if count > most and not options.wait_for_resources:
        raise SettingError(
            f"engine=ray: {count} actors ask for {asked(options, count)}, the cluster has {_given()}; take fewer "
            "(engine.processes, engine.workers_per_actor), or engine.wait_for_resources=true"
        )
    return count


def room(options: RayOptions) -> int:
    """How many actors the cluster has room for, those of this run among them."""
    resources = ray_module().cluster_resources()
    rooms = [
        int(resources.get(kind, 0.0) / share + 1e-9)
        for kind, share in (("CPU", options.cpus_per_actor), ("GPU", options.gpus_per_actor))
        if share > 0
    ]
    return min(rooms)


def asked(options: RayOptions, count: int) -> str:
    """What so many actors ask for."""
    parts = [f"{count * options.cpus_per_actor:g} CPUs"]
    if options.gpus_per_actor:
        parts.append(f"{count * options.gpus_per_actor:g} GPUs")
    return " and ".join(parts)


def _given() -> str:
    resources = ray_module().cluster_resources()
    nodes = sum(node["Alive"] for node in ray_module().nodes())
    return f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs on {nodes} node{'s' * (nodes != 1)}"

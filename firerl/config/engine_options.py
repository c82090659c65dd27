"""What a person may say of engines: their names, devices by name, what is asked of a Ray cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from firerl.base.settings import show
from firerl.errors import SettingError

ENGINES = ("inline", "local", "ray", "simulated")


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and what an actor asks of it. See ``config.EngineConfig`` for the settings' texts."""

    address: str | None = None
    workers_per_actor: int | None = None
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 0.0
    wait_for_resources: bool = False


def check_names(names: Sequence[str]) -> None:
    """Raise SettingError on names that are none, or that do not go together. Whether they are there is asked later."""
    given = as_typed(names)
    allowed = r"cpu(:\d+)?|mps|cuda(:\d+)?" + ("" if len(names) > 1 else "|auto")
    if not all(re.fullmatch(allowed, name) for name in names):
        raise SettingError(f"{given}: must be auto, cpu, mps, cuda, or a list such as [cuda:0,cuda:1]")
    full = [full_name(name) for name in names]
    if twice := [name for name in full if full.count(name) > 1]:
        raise SettingError(f"{given}: {twice[0]} is there twice; engine.processes puts several processes on a device")
    if len({type_of(name) for name in names}) > 1:
        raise SettingError(f"{given}: devices of one kind only, since a run's numbers depend on the kind")


def as_typed(names: Sequence[str]) -> str:
    """As a person types them."""
    return f"engine.devices={show(names if len(names) > 1 else names[0])}"


def full_name(name: str) -> str:
    """cuda is the first of its kind."""
    return "cuda:0" if name == "cuda" else name


def type_of(name: str) -> str:
    """cpu, cuda or mps."""
    return name.partition(":")[0]

"""Devices: which there are, which a run computes on, and how a process makes ready to compute on one.

Whatever asks torch is a small function that tests put another in place of: no machine of this project has a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from firerl.config.engine_options import as_typed, full_name, type_of
from firerl.errors import SettingError

if TYPE_CHECKING:
    from firerl.config.run_config import RunConfig
    from firerl.learner import Learner

CPU = ("cpu",)
NOT_DETERMINISTIC = "not deterministic"


def available() -> list[str]:
    """The devices that torch sees, by name; cpu comes first."""
    import torch

    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def of_run(config: RunConfig, learner: type[Learner]) -> tuple[str, ...]:
    """The devices that this run computes on here. Raises SettingError where one of them is not there."""
    wanted = config.engine.devices
    if wanted == CPU or (wanted == ("auto",) and not learner.uses_gpu_of(config.settings)):
        return CPU  # without asking torch, whose import takes seconds
    return chosen(wanted, available())


def chosen(wanted: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """Of the devices that are ``there`` those that are ``wanted``; auto: all of CUDA's, else the CPU."""
    if tuple(wanted) == ("auto",):
        return tuple(name for name in there if name.startswith("cuda")) or CPU
    for name in wanted:
        if full_name(name) not in there and type_of(name) != "cpu":
            raise SettingError(f"{as_typed(wanted)}: there is no {name} here, there is {', '.join(there)}{_why(name)}")
    return tuple(full_name(name) for name in wanted)


def _why(name: str) -> str:
    import torch

    without = type_of(name) == "cuda" and torch.version.cuda is None and torch.version.hip is None
    return f" (torch {torch.__version__} is built without CUDA)" if without else ""


def kind(devices: Sequence[str], deterministic: bool) -> str:
    """What the numbers of a run depend on besides its settings: "cpu", "NVIDIA H100, not deterministic"."""
    names = ", ".join(sorted({_model(name) for name in devices}))
    return names if names == "cpu" or deterministic else f"{names}, {NOT_DETERMINISTIC}"


def _model(name: str) -> str:
    if type_of(name) != "cuda":
        return type_of(name)
    import torch

    return torch.cuda.get_device_name(name)


def warning(before: str | None, now: str) -> str | None:
    """What to tell whoever resumes on ``now`` a run that has computed on ``before`` (None: no one kept it)."""
    if before is not None and before != now:
        return f"computed on {before} so far, from here on {now}: the journal may differ from an undisturbed run's"
    if now.endswith(NOT_DETERMINISTIC):
        return "engine.deterministic=false: the journal may differ from an undisturbed run's"
    return None


def prepare(device: str, deterministic: bool) -> None:
    """Make this process ready to compute on ``device``. Nothing to do on the CPU, which always is deterministic.

    Raises SettingError where the device does not work.
    """
    if type_of(device) == "cpu":
        return
    import torch

    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    torch.backends.cudnn.benchmark = not deterministic  # picks algorithms by their speed of the moment
    torch.use_deterministic_algorithms(deterministic, warn_only=True)  # it warns of operations that have no such way
    try:
        if type_of(device) == "cuda":
            torch.cuda.set_device(device)  # for a learner that says cuda and means its own
        torch.zeros(1, device=device)
    except Exception as error:  # torch raises AssertionError, RuntimeError, ... by device
        raise SettingError(f"engine.devices: {device} does not work here: {' '.join(str(error).split())}") from error


def is_out_of_memory(error: BaseException, said: str) -> bool:
    """Whether a device's memory was too small, in the words of PyTorch, cuBLAS or cuDNN; ``said`` is its text."""
    import torch

    alloc_failed = isinstance(error, RuntimeError) and "STATUS_ALLOC_FAILED" in said
    return alloc_failed or isinstance(error, torch.OutOfMemoryError)


def is_broken(error: BaseException, said: str) -> bool:
    """Whether CUDA failed in a way after which nothing works in this process, whoever is to blame; ``said`` is its
    text."""
    return isinstance(error, RuntimeError) and said.startswith("CUDA error")


def memory_advice(built: int, settings: Mapping[str, Any]) -> str:
    """Which setting to lower when a device is full, of which a process with ``built`` learners wanted more."""
    options = [f"engine.workers_per_device={built - 1} or lower"] if built > 1 else []
    options.append("fewer engine.processes where several share it")
    if "micro_batch" in settings:
        options.append(f"in a new run learner.micro_batch below {settings['micro_batch'] or settings['batch_size']}")
    return f"try {', '.join(options)}"

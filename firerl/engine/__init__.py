"""Where learners run: in this process (inline), in processes of this machine (local), on a cluster (ray), in virtual
time (simulated)."""

from __future__ import annotations

from collections.abc import Sequence

from firerl.base.cores import usable_cores
from firerl.config.engine_options import ENGINES, RayOptions
from firerl.engine.interface import Costs, Engine, LearnerSpec
from firerl.engine.placement import group_count, usual_processes
from firerl.errors import SettingError, unknown


def make_engine(
    name: str,
    spec: LearnerSpec,
    processes: int | None = None,
    timeout: float | None = None,
    workers: int | None = None,
    costs: Costs = Costs(),  # noqa: B008 (frozen)
    alone: Sequence[int] = (),
    cluster: RayOptions = RayOptions(),  # noqa: B008 (frozen)
) -> Engine:
    """The engine ``name``, ready for ``create`` or ``load``.

    ``processes`` defaults to one for each GPU of ``spec.devices``, on the CPU to the cores that this process may use,
    and is never more than ``workers``, or their groups, where that is given.
    ``timeout`` is how many seconds a process may work without an answer before it counts as hung; None: for ever.
    ``costs`` are simulated's, ``cluster`` is ray's. Workers that are to be ``alone`` have a process each besides,
    where there are processes.
    Raises SettingError on an unknown name, on values that cannot work, and on a learner that cannot be sent.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if processes is not None and processes < 1:
        raise SettingError(f"engine.processes={processes}: it must be at least 1, or null for one a core or GPU")
    if timeout is not None and not timeout > 0:
        raise SettingError(f"engine.timeout={timeout}: it must be a positive number of seconds, or null for none")
    if name == "inline":
        from firerl.engine.inline import InlineEngine

        return InlineEngine(spec)
    if name == "ray":
        from firerl.engine.ray.ray import RayEngine

        return RayEngine(spec, cluster, processes, timeout, workers, alone)
    wanted = processes or usual_processes(spec.devices, usable_cores())
    wanted = min(wanted, group_count(workers, spec.stacked)) if workers else wanted
    if name == "simulated":
        from firerl.engine.simulated.simulated_engine import SimulatedEngine

        return SimulatedEngine(spec, wanted, costs)
    from firerl.engine.local.local import LocalEngine

    return LocalEngine(spec, wanted, timeout, alone)

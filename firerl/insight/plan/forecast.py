"""What a run will take: the whole of it is played in virtual time, with the real decisions and what a probe measured.

``engine=simulated`` places the workers on the processes, decides, commits and copies; a modelled learner stands for the
real one and returns metrics as long as its, so that journal and TensorBoard files have their size.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from firerl.base.clock import PARTS
from firerl.config.learners import find_learner
from firerl.config.run_config import EngineConfig, RunConfig, StopConfig, modelled
from firerl.insight.plan.probe import Probe, resident
from firerl.learner import Growth, Learner
from firerl.session.watching.progress import Round, Silent
from firerl.storage.store import ROOM

PACE = 0.26  # of a modelled learner with random hyperparameters: exp(-4/3)
STILL = 0.02  # the least rise of an evaluation, in noise, that a modelled run is given


@dataclass(frozen=True)
class Forecast:
    """Of the whole run."""

    seconds: float
    seconds_at_most: float | None  # were every episode as long as the task allows; None: no difference, or not known
    processes: int
    shares: Mapping[str, float]  # of processes x seconds, by part, sum 1
    disk_bytes: int  # at the fullest moment
    state_bytes: int  # of one worker at the end
    memory_bytes: int | None
    evolution: Mapping[str, Any]  # what it did in the modelled run
    played: float  # share of the run that was played; the rest is as that


def forecast(
    config: RunConfig,
    measured: Probe,
    processes: int,
    *,
    readies: int | None = None,
    longest: float = 1.0,
    say: Callable[[str], None] = lambda text: None,
) -> Forecast:
    """Play the run, or its first ``readies`` readies.

    ``longest`` is how many times as long the longest possible evaluation takes as one of the probe.
    """
    evaluations = config.steps // config.eval_interval
    _, evaluate = measured.interval_seconds(evaluations)
    steps = config.steps if readies is None else min(config.steps, readies * config.ready_interval)
    evolution, timings, other = _play(_played(config, measured, processes, steps), measured, say)
    share = steps / config.steps
    hosts = int(timings[-1]["processes"]) if timings else processes
    taken = sum(timing["seconds"] for timing in timings) / share
    by_part = shares(timings)
    workers = sum(config.sizes) + config.evaluators
    busiest = -(-workers // hosts)
    once = 2 * measured.start_seconds + measured.report_seconds  # the controller loads the same libraries, before
    once += busiest * (measured.create_seconds + measured.first_seconds())
    rounds = evaluations * busiest
    growth = _growth(config, measured)
    state_bytes = measured.state_bytes + growth.state
    return Forecast(
        seconds=taken + once,
        seconds_at_most=taken + once + rounds * evaluate * (longest - 1) if longest > 1.01 and evaluate > 0 else None,
        processes=hosts,
        shares=by_part,
        disk_bytes=round(other / share) + most_states(config, state_bytes) * state_bytes,
        state_bytes=state_bytes,
        memory_bytes=_memory(measured, workers, hosts, growth.memory),
        evolution=evolution,
        played=share,
    )


def most_states(config: RunConfig, state_bytes: int) -> int:
    """How many workers' states lie in the run folder at its fullest moment, when a generation is being saved."""
    workers, kept = sum(config.sizes) + config.evaluators, 1 + config.checkpoints.keep_history
    one_more = kept == 1 or workers * state_bytes <= ROOM  # else the oldest goes before the new one is saved
    return (kept + one_more) * (workers + 1) + 1  # each may have a best ever of its own, twice; the first an old one


def _played(config: RunConfig, measured: Probe, processes: int, steps: int) -> RunConfig:
    """The run as it is played: a modelled learner, virtual time, the probe's costs; its folder is yet to be named."""
    train, evaluate = measured.interval_seconds(config.steps // config.eval_interval)
    train *= _dearer(config, measured)
    return replace(
        modelled(config, **_model(config, measured)),
        steps=steps,
        stop=StopConfig(),  # all steps: the plan says that it does not count them
        engine=EngineConfig(
            name="simulated",
            processes=processes,
            speed_spread=measured.speed_spread,
            seconds_per_step=train / config.eval_interval,
            seconds_per_evaluation=evaluate,
            seconds_per_copy=measured.copy_seconds,
            seconds_per_save=measured.save_seconds,
        ),
    )


def _play(
    config: RunConfig, measured: Probe, say: Callable[[str], None]
) -> tuple[dict[str, Any], list[dict[str, float]], int]:
    """Play it in a folder of its own: what evolution did, the timings, the bytes of all but checkpoints."""
    from firerl.session.start import start
    from firerl.storage.journal.journal_db import Journal

    with TemporaryDirectory(prefix="firerl-plan-") as folder:
        run_dir = Path(folder) / "run"
        played = replace(config, run_dir=str(run_dir))
        result = start(played, _stand_in(measured.metrics), observer=_Progress(played.steps, say))
        with closing(Journal.open(run_dir)) as journal:
            timings = journal.timings()
        other = sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file() and path.suffix != ".pt")
    return dict(result.figures["evolution"]), timings, other


def shares(timings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of all process-seconds in a journal's ``timings``, by part; idle is the rest."""
    total = sum(timing["processes"] * timing["seconds"] for timing in timings)
    parts = {part: sum(timing.get(part, 0.0) for timing in timings) / total for part in PARTS}
    return {**parts, "idle": max(0.0, 1.0 - sum(parts.values()))}


def _dearer(config: RunConfig, measured: Probe) -> float:
    """A step of the run, in the time of one of the probe's."""
    learner, probed = find_learner(config.learner), len(measured.rounds) * measured.eval_interval
    whole, early = (learner.cost_of(config.settings, steps) for steps in (config.steps, min(probed, config.steps)))
    return whole / early


def _growth(config: RunConfig, measured: Probe) -> Growth:
    """What a worker gains over the run beyond what it had when the probe measured it."""
    learner = find_learner(config.learner)
    probed = len(measured.rounds) * measured.eval_interval
    whole, had = (learner.growth_of(config.settings, steps) for steps in (config.steps, probed))
    return Growth(*(max(0, a - b) for a, b in zip(whole, had, strict=True)))


def _memory(measured: Probe, workers: int, processes: int, growth: int) -> int | None:
    """Of the controller and all processes, when every worker has its learner, and that has grown so much."""
    own = resident(os.getpid())
    if measured.base_bytes is None or measured.member_bytes is None or own is None:
        return None
    return own + processes * measured.base_bytes + workers * (measured.member_bytes + growth)


def _model(config: RunConfig, measured: Probe) -> dict[str, Any]:
    """A modelled learner that learns over the whole run and is as noisy, against its rise, as the probe's curves."""
    learning_steps = max(config.eval_interval, config.steps / 4)
    noise, rise = measured.noise(), measured.rise()
    if not noise or rise is None:  # nothing to see, or none
        return {"learning_steps": learning_steps, "noise": 0.0 if noise == 0.0 else 0.02}
    gain = PACE * config.eval_interval / learning_steps
    return {"learning_steps": learning_steps, "noise": gain / max(rise / noise, STILL)}


def _stand_in(metrics: Mapping[str, float]) -> type[Learner]:
    """The modelled learner, with another's metrics."""
    from firerl.engine.simulated.modelled_learner import Modelled

    class StandIn(Modelled):
        def train(self, steps: int) -> dict[str, float]:
            return {**super().train(steps), **metrics}

    return StandIn


class _Progress(Silent):
    """Says how far a played run is, a few times a second."""

    def __init__(self, steps: int, say: Callable[[str], None]):
        self.steps, self.say, self.last = steps, say, 0.0

    def round_done(self, round: Round) -> None:
        if time.monotonic() - self.last > 0.2:
            self.last = time.monotonic()
            self.say(f"playing the run, {round.step / self.steps:.0%}")

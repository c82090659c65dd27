"""Some minutes of the real thing: a few of a run's members train in the real engine, and what they take is measured.

All processes are busy at once, as in the run, since a shared machine is slower then. The members are the run's own
first ones, fresh networks: every figure is one of early training.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from firerl.base.disk import untrusted
from firerl.base.settings import build, convert, setting
from firerl.config.run_config import RunConfig
from firerl.engine import devices
from firerl.errors import FirerlError, SettingError
from firerl.evolution import curves
from firerl.learner import Learner

Say = Callable[[str], None]
ROUNDS = 60  # at most: enough for the noise
SEEDS = 8  # evaluations of one network


@dataclass(frozen=True)
class Probe:
    """What was measured; seconds are those of one process, bytes those of one worker unless said otherwise."""

    learner: str
    settings: dict[str, Any]  # the learner's
    device: str  # its type, cpu or cuda
    eval_interval: int = setting(minimum=1)  # steps
    processes: int = setting(minimum=1)
    members: int = setting(minimum=1)
    start_seconds: float = setting(minimum=0)  # until all processes have their libraries, once
    create_seconds: float = setting(minimum=0)  # one learner
    # [round] mean seconds of (training, evaluating) one interval
    rounds: tuple[tuple[float, ...], ...] = setting(minimum=0, shortest=1)
    # of the times of single intervals: fastest minus slowest, in means, if they were uniform
    speed_spread: float = setting(minimum=0, below=2)
    save_seconds: float = setting(minimum=0)  # one state
    copy_seconds: float = setting(minimum=0)  # one copy of weights
    report_seconds: float = setting(minimum=0)  # the figures about the winner at the end
    state_bytes: int = setting(minimum=0)
    base_bytes: int | None = setting(minimum=0)  # of a process without learners; None: cannot be measured here
    member_bytes: int | None = setting(minimum=0)  # of each learner in it
    metrics: dict[str, float] = setting()  # that train() returned last
    curves: tuple[tuple[float, ...], ...] = setting()  # [member] objectives
    same_network: tuple[float, ...] = (
        setting()
    )  # objectives of one network under different seeds; () if all are the same
    failures: int = setting(minimum=0)  # learners that failed

    def noise(self) -> float | None:
        """Standard deviation of one evaluation: of the curves, or where these are short of one network's evaluations.

        From second differences, (y[i-1] - 2 y[i] + y[i+1])^2 / 6 on average (Gasser, Sroka, Jennen-Steinmetz 1986):
        what is straight over three points is no noise. Independent noise is assumed: where one evaluation shares
        episodes with the last it is underrated. The median of the members; None: fewer than 4 points.
        """
        own = [curve_noise(curve) for curve in self.curves if len(curve) >= curves.MIN_POINTS]
        if own:
            return float(np.median(own))
        return float(np.std(self.same_network, ddof=1)) if len(self.same_network) > 1 else None

    def rise(self) -> float | None:
        """What a smooth curve gains an evaluation, over the later half of the probe: the median of the members."""
        gains = []
        for curve in self.curves:
            if len(curve) >= curves.MIN_POINTS:
                half = curves.smooth(curve)[len(curve) // 2 - 1 :]
                gains.append((half[-1] - half[0]) / (len(half) - 1))
        return float(np.median(gains)) if gains else None

    def interval_seconds(self, evaluations: int) -> tuple[float, float]:
        """Mean seconds of (training, evaluating) one interval in a run of so many evaluations.

        The first round, which loads what is loaded lazily, counts where it is the only one. A run longer than the
        probe is as the later half of it.
        """
        times = np.array(self.rounds)
        chosen = times[len(times) // 2 :] if evaluations > len(times) else times[1:evaluations]
        train, evaluate = (chosen if len(chosen) else times).mean(axis=0)
        return float(train), float(evaluate)

    def first_seconds(self) -> float:
        """What the first interval of a worker takes more than the second."""
        return max(0.0, sum(self.rounds[0]) - sum(self.rounds[1])) if len(self.rounds) > 1 else 0.0


def curve_noise(curve: Sequence[float]) -> float:
    """Standard deviation of the noise of a curve [n], n >= 3, by second differences."""
    second = np.diff(np.asarray(curve, dtype=float), n=2)
    return float(np.sqrt(np.mean(second**2) / 6))


def probe(
    config: RunConfig, learner: type[Learner], processes: int, seconds: float, say: Say = lambda text: None
) -> Probe:
    """Measure for about so many ``seconds``, with the engine of ``config`` in so many ``processes``.

    Raises SettingError on a learner that cannot be sent or saved, FirerlError where all members fail.
    """
    from firerl.base.seeding import Purpose, integer_seed
    from firerl.engine import make_engine
    from firerl.engine.interface import Create, LearnerSpec
    from firerl.engine.placement import group_count
    from firerl.session.start import initial_state_of

    stacked = learner.stacked_of(config.settings)
    spec = LearnerSpec(
        learner,
        config.settings,
        devices.of_run(config, learner),
        config.engine.workers_per_device,
        config.engine.deterministic,
        stacked,
        config.chunk,
    )
    began = time.perf_counter()
    say("starting processes")
    members = [w for w in initial_state_of(config).workers if not w.is_evaluator]
    processes = min(processes, group_count(len(members), stacked))  # each has some
    engine = make_engine(config.engine.name, spec, processes, config.engine.timeout)
    started = time.perf_counter() - began
    try:
        chosen = members[: max(4, 2 * processes, stacked * processes)]
        chosen.sort(key=lambda w: (w.id % stacked, w.id))  # the first of each group before all others
        orders = [Create(w.id, w.hyperparameters, integer_seed(config.seed, Purpose.LEARNER, w.id)) for w in chosen]
        run = _Run(config, engine, {order.worker: order.hyperparameters for order in orders})
        cold, warm, memory = run.grow(orders, processes, seconds, say)
        say("saving and copying")
        save, size, copy = run.save_and_copy()
        say("evaluating one network")
        report, same = _one_network(config, learner, run, seconds / 10)
        return Probe(
            learner=config.learner,
            settings=dict(config.settings),
            device=devices.type_of(spec.devices[0]),
            eval_interval=config.eval_interval,
            processes=processes,
            members=len(orders),
            start_seconds=started + max(0.0, cold - warm),
            create_seconds=warm,
            rounds=tuple(map(tuple, run.rounds)),
            speed_spread=run.spread(),
            save_seconds=save,
            copy_seconds=copy,
            report_seconds=report,
            state_bytes=size,
            base_bytes=memory[0],
            member_bytes=memory[1],
            metrics=run.metrics,
            curves=tuple(map(tuple, run.curves.values())),
            same_network=tuple(same),
            failures=len(run.failures),
        )
    finally:
        engine.close()


class _Run:
    """The members of a probe, and what they told."""

    def __init__(self, config: RunConfig, engine: Any, values: Mapping[int, Mapping[str, Any]]):
        self.config, self.engine, self.values = config, engine, values
        self.alive: list[int] = []
        self.failures: list[str] = []  # kinds
        self.step = 0
        self.curves: dict[int, list[float]] = {worker: [] for worker in values}
        self.rounds: list[list[float]] = []
        self.relative: list[float] = []  # times of single intervals, in means of their round
        self.metrics: dict[str, float] = {}

    def create(self, orders: Sequence[Any]) -> float:
        """Build learners; returns the seconds."""
        began = time.perf_counter()
        self.engine.create(orders)
        self.alive += [order.worker for order in orders]
        return time.perf_counter() - began

    def grow(
        self, orders: Sequence[Any], processes: int, seconds: float, say: Say
    ) -> tuple[float, float, tuple[int | None, int | None]]:
        """Build one learner a process, then the others, and train them all.

        Returns the seconds of the first learner and of a later one, and the bytes of a process and of a learner.
        """
        cold = self.create(orders[:processes])
        self.round()
        first = self.memory()
        more = len(orders) - processes
        warm = self.create(orders[processes:]) / max(1, -(-more // processes)) if more else cold
        self.train(time.perf_counter() + seconds, say)
        return cold, warm, _memory(first, self.memory(), processes, more)

    def train(self, deadline: float, say: Say) -> None:
        """Round after round, at least two, until the next would end too late."""
        for done in range(1, ROUNDS + 1):
            say(f"round {done} of at most {ROUNDS}")
            before = time.perf_counter()
            self.round()
            if not self.alive:
                raise FirerlError(
                    f"all {len(self.failures)} members of the probe have failed, the last with {self.failures[-1]}"
                )
            now = time.perf_counter()
            if done >= 2 and now + (now - before) > deadline:
                return

    def round(self) -> None:
        """All train and evaluate one interval."""
        from firerl.base.seeding import Purpose, integer_seed
        from firerl.engine.interface import Advance

        config = self.config
        self.step += config.eval_interval
        orders = [
            Advance(w, config.eval_interval, integer_seed(config.seed, Purpose.EVALUATE, w, self.step))
            for w in self.alive
        ]
        outcomes = self.engine.advance(orders, lambda outcome: None)
        self.failures += [outcome.failure for outcome in outcomes if outcome.failure is not None]
        self.alive = [o.worker for o in outcomes if o.failure is None]
        if not self.alive:
            return
        times = np.array([[o.train_seconds, o.evaluate_seconds] for o in outcomes if o.failure is None])
        self.rounds.append(times.mean(axis=0).tolist())
        totals = times.sum(axis=1)
        if len(self.rounds) > 1 and totals.mean() > 0:
            self.relative += (totals / totals.mean()).tolist()
        for outcome in outcomes:
            if outcome.failure is None:
                self.metrics = dict(outcome.metrics)
                if outcome.objective is not None:
                    self.curves[outcome.worker].append(outcome.objective)

    def spread(self) -> float:
        """The width of a uniform distribution with the standard deviation of the relative times."""
        return min(1.9, float(np.std(self.relative) * np.sqrt(12))) if self.relative else 0.0

    def memory(self) -> int | None:
        """Bytes of all processes that hold learners; None where the system does not say."""
        import multiprocess

        children = [p.pid for p in multiprocess.active_children() if p.name.startswith("firerl-")]
        sizes = [resident(pid) for pid in (children or [os.getpid()])]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def save_and_copy(self) -> tuple[float, int, float]:
        """Seconds of one save in one process, bytes of one state, seconds of one copy."""
        from firerl.engine.interface import Transfer

        shares = -(-len(self.alive) // self.engine.processes)  # that the busiest process saves
        with TemporaryDirectory(prefix="firerl-probe-") as folder:
            times = []
            for number in range(3):
                began = time.perf_counter()
                saved = self.engine.save(Path(folder), f"p{number}", self.alive)
                times.append(time.perf_counter() - began)
        source = self.alive[0]
        others = [w for w in (*self.values, *self.alive[1:]) if w != source]  # a lone survivor's copy revives another
        target = others[-1] if others else source
        seed = None if target in self.alive else 0
        copies = []
        for _ in range(3):
            began = time.perf_counter()
            self.engine.transfer([Transfer(source, target, self.values[target], seed)])
            copies.append(time.perf_counter() - began)
        return min(times) / shares, max(s.size for s in saved), min(copies)


def _one_network(config: RunConfig, learner: type, run: _Run, seconds: float) -> tuple[float, list[float]]:
    """Seconds of the report on one trained network, and its objectives under different seeds ([]: all the same).

    A learner that cannot do this here costs these figures, not the probe.
    """
    from firerl.engine.host.descendants import contained
    from firerl.engine.host.global_generators import Isolated

    try:
        best = max(run.alive[:-1] or run.alive, key=lambda worker: run.curves[worker][-1:])  # the last was copied over
        device = devices.of_run(config, learner)[0]
        devices.prepare(device, config.engine.deterministic)
        with contained():
            network = Isolated(learner, dict(config.settings), dict(run.values[best]), 0, device)
            network.load(weights=run.engine.weights(best))
            began = time.perf_counter()
            network.report(0)
            report = time.perf_counter() - began
            began, values = time.perf_counter(), []
            for seed in range(SEEDS + 1):
                values.append(network.evaluate(seed))
                if time.perf_counter() - began > max(1.0, seconds):
                    break
        told = [float(v) for v in values[1:] if v is not None]  # the first may clear what training has left
        return report, told if len(set(told)) > 1 else []
    except KeyboardInterrupt:
        raise
    except BaseException:  # anybody's code
        return 0.0, []


def _memory(few: int | None, many: int | None, processes: int, more: int) -> tuple[int | None, int | None]:
    """Bytes of a process without learners and of each learner, from one learner a process and ``more``."""
    if few is None or many is None:
        return None, None
    if not more:
        return few // processes, 0
    each = max(0, many - few) // more
    return max(0, few // processes - each), each


def resident(pid: int) -> int | None:
    """Bytes of memory of a process, its share of what it shares with others; None where the system does not say."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return None


def write(path: Path, measured: Probe) -> None:
    """Keep a probe for other plans of the same learner."""
    from firerl.base.disk import files

    files.write(path, json.dumps(asdict(measured), indent=1).encode())


def read(path: Path, config: RunConfig, device: str = "cpu") -> Probe:
    """A kept probe, for this run on ``device``.

    Raises SettingError on a file that is none, or of another learner, device or settings.
    """
    try:
        kept = build(Probe, untrusted.read_json(path))
        if any(len(times) != 2 for times in kept.rounds):
            raise SettingError("rounds must be a list of pairs of seconds")
        kept = replace(kept, metrics={name: _number(f"metrics.{name}", v) for name, v in kept.metrics.items()})
    except OSError as error:
        raise SettingError(f"--probe {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # SettingError is one
        raise SettingError(f"--probe {path} holds no probe: {error!s:.300}") from error
    if kept.learner != config.learner:
        raise SettingError(f"--probe {path} was made with learner={kept.learner:.300}, not {config.learner}")
    if devices.type_of(kept.device) != devices.type_of(device):
        raise SettingError(f"--probe {path} was made with engine.devices={kept.device:.80}, not {device}: make another")
    now = json.loads(json.dumps(config.settings))
    differing = sorted(k for k in {*now, *kept.settings} if now.get(k) != kept.settings.get(k))
    if differing:
        name = differing[0]
        was, wanted = kept.settings.get(name), now.get(name)
        raise SettingError(
            f"--probe {path} was made with learner.{name}={was!s:.300}, not {wanted!s:.300}: make another"
        )
    return kept


def _number(name: str, value: Any) -> float:
    """A metric, which may be NaN or infinite."""
    return value if isinstance(value, float) else float(convert(name, value, float))


def scaled(kept: Probe, eval_interval: int) -> Probe:
    """The same probe for evaluations every ``eval_interval`` steps: training takes as long a step.

    The noise of an evaluation that averages over its interval changes with the root of it, a gain with the interval:
    the straight parts of the curves are scaled by the one, the rest by the other. Such are V-MPO's and PPO's, but for
    ``objective=fresh``.
    """
    if eval_interval == kept.eval_interval:
        return kept
    factor = eval_interval / kept.eval_interval
    averaging = "objective_episodes" in kept.settings and kept.settings.get("objective") != "fresh"
    by = 1 / np.sqrt(factor) if averaging else 1.0
    longer = []
    for curve in kept.curves:
        smooth = curves.smooth(curve) if curve else np.array([])
        longer.append(tuple((smooth * factor + (np.array(curve) - smooth) * by).tolist()))
    rounds = tuple((train * factor, evaluate) for train, evaluate in kept.rounds)
    return replace(kept, eval_interval=eval_interval, rounds=rounds, curves=tuple(longer))

"""Everything a plan says: the probe, the forecast, the statistics, and the change that would mend them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from firerl.config import RunConfig
from firerl.engine import usable_cores
from firerl.engine.devices import of_run
from firerl.engine.placement import group_count, usual_processes
from firerl.insight import probe as probing
from firerl.insight.forecast import Forecast, forecast
from firerl.insight.mend import Freedom, Mend, Target, freedom_of, mend
from firerl.insight.power import Case, Power, Share, power, settings_case
from firerl.insight.probe import Probe
from firerl.learners import find_learner

Say = Callable[[str], None]


@dataclass(frozen=True)
class Statistics:
    """What evaluators can find, on curves that rise as the probe's and on flat ones."""

    noise: float  # standard deviation of one evaluation, in the objective's unit
    rise: float  # of a curve between two readies, in that unit
    case: Case  # with the probe's rise
    rising: Power
    flat: Power
    good: bool  # the target is reached with the probe's rise
    mend: Mend | None  # None: it is good


@dataclass(frozen=True)
class Prospect:
    """A plan."""

    config: RunConfig
    probe: Probe
    cost: Forecast
    statistics: Statistics | None
    why_none: str  # why there are no statistics
    target: Target
    unkept: str = ""  # why the probe could not be written

    def to_plain(self, seeds: int = 1) -> dict[str, Any]:
        """For ``--json``."""
        cost = {**asdict(self.cost), "seconds_all_seeds": seeds * self.cost.seconds}
        plain: dict[str, Any] = {
            "task": self.config.task,
            "learner": self.config.learner,
            "algo": self.config.algo.name,
            "workers": sum(self.config.sizes) + self.config.evaluators,
            "seeds": seeds,
            "cost": cost,
            "not_counted": not_counted(self.config),
            "statistics": None,
            "why_no_statistics": self.why_none,
            "probe": {k: v for k, v in asdict(self.probe).items() if k not in ("settings", "curves", "rounds")},
        }
        if s := self.statistics:
            plain["statistics"] = {
                "noise": s.noise,
                "rise_between_readies": s.rise,
                "as_in_the_probe": asdict(s.rising),
                "flat": asdict(s.flat),
                "good": s.good,
                "target": asdict(self.target),
                "mend": s.mend and _plain_mend(s.mend),
            }
        return plain


def _plain_mend(found: Mend) -> dict[str, Any]:
    change = found.change and found.change.typed()
    return {"change": change, "power": found.power and asdict(found.power), "both": found.both, "tried": found.tried}


def prospect(
    config: RunConfig, *, seconds: float, kept: Path | None = None, quick: bool = False, say: Say = lambda text: None
) -> Prospect:
    """Probe for so many ``seconds`` (or read the probe in the file ``kept``), play the run, judge its statistics."""
    learner = find_learner(config.learner)
    freedom = freedom_of(config.settings, learner.granularity_of(config.settings))
    workers = sum(config.sizes) + config.evaluators
    cores = usable_cores()
    devices = of_run(config, learner)
    processes = 1
    if config.engine.name != "inline":
        hosts = group_count(workers, learner.stacked_of(config.settings))  # that can have work
        processes = min(config.engine.processes or usual_processes(devices, cores), hosts)
    unkept = ""
    if kept is not None and kept.exists():
        measured = probing.scaled(probing.read(kept, config, devices[0]), config.eval_interval, freedom.over_interval)
    else:
        measured = probing.probe(config, learner, min(processes, cores), seconds, say)
        if kept is not None:
            try:
                probing.write(kept, measured)
            except OSError as error:  # what was paid for with minutes of training is told all the same
                unkept = error.strerror or str(error)
    longest = longest_evaluation(config, measured)
    cost = forecast(config, measured, processes, readies=4 if quick else None, longest=longest, say=say)
    target = Target()
    statistics, why = _statistics(config, measured, freedom, target, quick, say)
    return Prospect(config, measured, cost, statistics, why, target, unkept)


def not_counted(config: RunConfig) -> dict[str, float]:
    """What may end the run before its last step: the plan is of all steps."""
    return {f"stop.{name}": value for name, value in asdict(config.stop).items() if value is not None}


def longest_evaluation(config: RunConfig, measured: Probe) -> float:
    """How many times as long the longest possible evaluation takes: episodes grow while a policy gets better.

    1 where evaluating trains on or where the task sets no limit.
    """
    env, length = config.settings.get("env"), measured.metrics.get("episode_length")
    if not isinstance(env, Mapping) or not length:
        return 1.0
    from firerl import envs

    limit = envs.check(env["name"], env["kwargs"]).max_episode_steps
    return max(1.0, limit / length) if limit else 1.0


def _statistics(
    config: RunConfig, measured: Probe, freedom: Freedom, target: Target, quick: bool, say: Say
) -> tuple[Statistics | None, str]:
    case = settings_case(config)
    if case is None:
        return None, f"none: algo={config.algo.name} has no evaluators here, nothing is tested"
    noise, rise = measured.noise(), measured.rise()
    if noise is None or rise is None:
        return None, "unknown: the probe has too few evaluations of one member (--minutes)"
    if noise == 0:
        return None, "not needed: evaluations have no noise"
    evaluations = 60 if quick else 200
    say("playing evaluations")
    case = replace(case, rise=max(0.0, rise) / noise)
    rising, flat = power(case, evaluations), power(replace(case, rise=0.0), evaluations)
    good = target.reached(rising)
    mended = None
    if not good:
        mended = mend(
            case,
            freedom,
            target,
            changes=2 if quick else 3,
            screening=20 if quick else 40,
            evaluations=evaluations,
            on_try=lambda tried: say(f"searching a change that mends it, {tried}"),
        )
    return Statistics(noise, rise * case.per_ready, case, rising, flat, good, mended), ""


def table(found: Prospect, seeds: int = 1) -> list[str]:
    """For people."""
    config, measured = found.config, found.probe
    workers = sum(config.sizes) + config.evaluators
    lines = [
        f"Plan of {config.task}: algorithm {config.algo.name}, learner {config.learner}, {workers} workers in "
        f"{found.cost.processes} processes, {config.steps:,} steps each",
        f"  probe         {measured.members} members in {measured.processes} processes, {len(measured.rounds)} "
        f"evaluations each, from fresh networks: early training",
    ]
    if found.cost.processes > measured.processes:
        lines.append(
            f"  assumed       {found.cost.processes} cores, each as fast as one of the "
            f"{measured.processes} here with all of them busy"
        )
    elif found.cost.processes < measured.processes:
        lines.append(
            f"  assumed       {found.cost.processes} cores as fast as one of the probe's {measured.processes} with all "
            "of them busy; alone they may be faster"
        )
    if stops := not_counted(config):
        given = ", ".join(f"{name}={value:g}" for name, value in stops.items())
        lines.append(f"  not counted   {given}: the plan is of all steps, the run may end before")
    return [*lines, "", *_cost_lines(found, seeds), "", *_statistics_lines(found)]


def _cost_lines(found: Prospect, seeds: int) -> list[str]:
    from firerl.insight.words import duration_text

    cost = found.cost
    lines = ["What it will cost", f"  duration      {duration_text(cost.seconds)}"]
    if seeds > 1:
        lines[-1] += f" a seed, {duration_text(seeds * cost.seconds)} for {seeds} seeds"
    if cost.seconds_at_most:
        lines.append(
            f"                {duration_text(cost.seconds_at_most)} if every evaluated episode lasted as long "
            "as the task allows"
        )
    names = {
        "train": "training",
        "evaluate": "evaluating",
        "idle": "idle at the barrier",
        "decide": "deciding",
        "copy": "copies",
        "save": "checkpoints",
    }
    lines.append(
        "  of rounds     " + ", ".join(f"{name} {100 * cost.shares[part]:.1f} %" for part, name in names.items())
    )
    lines.append(f"  disk          {_bytes(cost.disk_bytes)}, of it a state {_bytes(found.probe.state_bytes)}")
    memory = "unknown on this system" if cost.memory_bytes is None else _bytes(cost.memory_bytes)
    lines.append(f"  memory        {memory}")
    return lines


def _statistics_lines(found: Prospect) -> list[str]:
    s = found.statistics
    if s is None:
        return ["Can the statistics work?", f"  {found.why_none}"]
    both = (s.rising, s.flat)
    rows: list[tuple[str, list[str]]] = [
        ("points of an evaluator", [str(p.points) for p in both]),
        ("finds an advantage of 0.5", [str(p.found_half) for p in both]),
        ("finds an advantage of 1", [str(p.found_one) for p in both]),
        ("promotes an equal", [str(p.false) for p in both]),
        ("ended by exploit first", [str(p.replaced) for p in both]),
        ("evaluations in the run", [f"{p.begun:,.0f}" for p in both]),
        ("promotions of equals in it", [f"{p.false_promotions:,.1f}" for p in both]),
    ]
    promoted = found.cost.evolution["evaluator_successes"] / found.cost.played
    lines = [
        "Can the statistics work? (advantages in standard deviations of one evaluation's noise)",
        f"  noise of one evaluation {s.noise:.3g}; between two readies a curve gains {s.rise:.3g}",
        f"  {'':28}{'curves as in the probe':>24}{'flat curves':>18}",
        *(f"  {name:28}{cells[0]:>24}{cells[1]:>18}" for name, cells in rows),
        f"  {'promotions, modelled run':28}{promoted:>24,.0f}",
        "",
    ]
    if s.good:
        return [*lines, "They can."]
    return [*lines, *_mend_lines(found, s)]


def _mend_lines(found: Prospect, s: Statistics) -> list[str]:
    goal = f"{found.target.power:.0%} of the advantages of 1, promoting {found.target.false:.0%} of the equals at most"
    head = f"They cannot: the aim is to find {goal}."
    assert s.mend is not None
    change, new = s.mend.change, s.mend.power
    if change is None or new is None:
        return [head, f"  Nothing in range mends it ({s.mend.tried} changes tried)."]
    if s.mend.both:
        first = "  The smallest change found that mends it:"
    else:
        first = "  Nothing in range mends both. The smallest change found with which they find enough:"
    return [
        head,
        first,
        f"    {change.text()}",
        f"    finds {_percent(new.found_one)} of the advantages of 1, {_percent(new.found_half)} of those of 0.5, "
        f"promotes {_percent(new.false)} of the equals",
        f"    costs: {change.cost(s.case, s.rising, new)}",
    ]


def _percent(value: Share) -> str:
    return f"{100 * value.value:.0f} %"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
